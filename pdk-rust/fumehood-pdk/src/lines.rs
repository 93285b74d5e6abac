//! Lines of a streamed body, and the data lines of server-sent events among them.

/// Cuts a body into lines wherever its pieces were split.
#[derive(Debug, Default)]
pub struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// Calls `each` for every line that `bytes` completes, without its line end.
    ///
    /// The first error stops; the lines after it stay to be read.
    pub fn feed<E>(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        if self.rest.is_empty() {
            // the usual case: the host feeds whole lines, nothing has to be kept
            let mut bytes = bytes;
            while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
                let line = &bytes[..end];
                bytes = &bytes[end + 1..];
                if let Err(error) = each(without_cr(line)) {
                    self.rest.extend_from_slice(bytes);
                    return Err(error);
                }
            }
            self.rest.extend_from_slice(bytes);
            return Ok(());
        }
        self.rest.extend_from_slice(bytes);
        let all = std::mem::take(&mut self.rest);
        if all.contains(&b'\n') {
            self.feed(&all, each)
        } else {
            self.rest = all;
            Ok(())
        }
    }

    /// What came after the last line end.
    pub fn finish(&mut self) -> Vec<u8> {
        let rest = std::mem::take(&mut self.rest);
        without_cr(&rest).to_vec()
    }
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The payload of a server-sent event's `data:` line; `None` for comments, other fields and blank lines.
pub fn sse_data(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let data = line.strip_prefix(b"data:")?.trim_ascii();
    (!data.is_empty()).then_some(data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn cut(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Vec<u8>) {
        let mut lines = Lines::default();
        let mut out = Vec::new();
        for piece in pieces {
            let Ok(()) = lines.feed(piece, |line| {
                out.push(line.to_vec());
                Ok::<(), Infallible>(())
            });
        }
        (out, lines.finish())
    }

    #[test]
    fn the_split_does_not_matter() {
        let body = b"data: a\r\n\r\ndata: b\n: c\nrest";
        let whole = cut(&[body]);
        assert_eq!(whole.0, [b"data: a".to_vec(), b"".to_vec(), b"data: b".to_vec(), b": c".to_vec()]);
        assert_eq!(whole.1, b"rest");
        for i in 0..=body.len() {
            assert_eq!(cut(&[&body[..i], &body[i..]]), whole, "{i}");
        }
        let single: Vec<&[u8]> = body.chunks(1).collect();
        assert_eq!(cut(&single), whole);
    }

    #[test]
    fn data_lines() {
        assert_eq!(sse_data(b"data: {}"), Some(&b"{}"[..]));
        assert_eq!(sse_data(b"data:[DONE]\r"), Some(&b"[DONE]"[..]));
        for nothing in [&b""[..], b": comment", b"event: x", b"data:", b"data"] {
            assert_eq!(sse_data(nothing), None);
        }
    }
}
