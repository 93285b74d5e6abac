//! HTTP requests and replies as the ABI writes them (§3.1), in JSON and in MessagePack.

use crate::error::LLMError;
use crate::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use crate::msgpack::{self, push_array, push_bin, push_map, push_text, Bytes};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A reply in its wrapper: `{"resp":{"head":…,"body":[…]}}`.
pub struct WireResponse(pub Response<Vec<u8>>);

/// How a document is written; hosts choose by what they send (docs/wire.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// Text; bytes are arrays of decimals.
    Json,
    /// Bytes are `bin`.
    MessagePack,
}

impl Wire {
    /// The wire of an input, and so of the answer to it.
    pub fn of(input: &[u8]) -> Self {
        if msgpack::is_map(input) {
            Wire::MessagePack
        } else {
            Wire::Json
        }
    }

    /// The value of a document; the error says what is wrong with it.
    pub fn read<'de, T: Deserialize<'de>>(self, document: &'de [u8]) -> Result<T, String> {
        match self {
            Wire::Json => serde_json::from_slice(document).map_err(|error| error.to_string()),
            Wire::MessagePack => msgpack::from_slice(document).map_err(|error| error.to_string()),
        }
    }

    /// The document of a value.
    pub fn write<T: Serialize + ?Sized>(self, value: &T) -> Result<Vec<u8>, LLMError> {
        match self {
            Wire::Json => Ok(serde_json::to_vec(value)?),
            Wire::MessagePack => Ok(msgpack::to_vec(value)?),
        }
    }

    /// The document of a request, as [`encode_request`].
    pub fn write_request(self, request: &Request<Vec<u8>>) -> Result<Vec<u8>, LLMError> {
        match self {
            Wire::Json => encode_request(request),
            Wire::MessagePack => pack_request(request),
        }
    }
}

/// Writes `{"req":{"head":…,"body":[…]}}`, in JSON.
///
/// A header value that is not visible ASCII cannot be written: [`LLMError::InvalidRequest`] naming it.
pub fn encode_request(request: &Request<Vec<u8>>) -> Result<Vec<u8>, LLMError> {
    let mut out = Vec::with_capacity(256 + request.body().len() * 4);
    out.extend_from_slice(br#"{"req":{"head":{"method":"#);
    push_json(&mut out, request.method().as_str());
    out.extend_from_slice(br#","uri":"#);
    push_json(&mut out, &request.uri().to_string());
    out.extend_from_slice(br#","headers":{"#);
    for (i, name) in request.headers().keys().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push_json(&mut out, name.as_str());
        out.push(b':');
        let values = texts(request, name)?;
        match values.as_slice() {
            [one] => push_json(&mut out, one),
            many => {
                let before = |i| if i == 0 { b'[' } else { b',' };
                for (i, value) in many.iter().enumerate() {
                    out.push(before(i));
                    push_json(&mut out, value);
                }
                out.push(b']');
            }
        }
    }
    out.extend_from_slice(br#"},"version":"#);
    push_json(&mut out, version_name(request.version()));
    out.extend_from_slice(br#"},"body":["#);
    push_decimals(&mut out, request.body());
    out.extend_from_slice(b"]}}");
    Ok(out)
}

/// The same in MessagePack, the body as it is.
fn pack_request(request: &Request<Vec<u8>>) -> Result<Vec<u8>, LLMError> {
    let mut out = Vec::with_capacity(512 + request.body().len());
    push_map(&mut out, 1)?;
    push_text(&mut out, "req")?;
    push_map(&mut out, 2)?;
    push_text(&mut out, "head")?;
    push_map(&mut out, 4)?;
    push_text(&mut out, "method")?;
    push_text(&mut out, request.method().as_str())?;
    push_text(&mut out, "uri")?;
    push_text(&mut out, &request.uri().to_string())?;
    push_text(&mut out, "headers")?;
    push_map(&mut out, request.headers().keys_len())?;
    for name in request.headers().keys() {
        push_text(&mut out, name.as_str())?;
        let values = texts(request, name)?;
        if values.len() > 1 {
            push_array(&mut out, values.len())?;
        }
        for value in values {
            push_text(&mut out, value)?;
        }
    }
    push_text(&mut out, "version")?;
    push_text(&mut out, version_name(request.version()))?;
    push_text(&mut out, "body")?;
    push_bin(&mut out, request.body())?;
    Ok(out)
}

/// The values of a header.
fn texts<'a>(request: &'a Request<Vec<u8>>, name: &HeaderName) -> Result<Vec<&'a str>, LLMError> {
    let text = |value: &'a HeaderValue| {
        value.to_str().map_err(|_| {
            LLMError::InvalidRequest(format!("the value of header `{name}` is not visible ASCII"))
        })
    };
    request.headers().get_all(name).iter().map(text).collect()
}

fn push_json(out: &mut Vec<u8>, text: &str) {
    // writing a string into memory cannot fail
    let _ = serde_json::to_writer(out, text);
}

/// Bytes as decimals with commas between; the table saves a division for each byte of a body.
fn push_decimals(out: &mut Vec<u8>, bytes: &[u8]) {
    for (i, &byte) in bytes.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        let [hundreds, tens, ones] = DECIMALS[byte as usize];
        if byte > 99 {
            out.extend_from_slice(&[hundreds, tens, ones]);
        } else if byte > 9 {
            out.extend_from_slice(&[tens, ones]);
        } else {
            out.push(ones);
        }
    }
}

static DECIMALS: [[u8; 3]; 256] = {
    let mut table = [[0u8; 3]; 256];
    let mut i = 0;
    while i < 256 {
        table[i] = [b'0' + (i / 100) as u8, b'0' + (i / 10 % 10) as u8, b'0' + (i % 10) as u8];
        i += 1;
    }
    table
};

fn version_name(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

fn version(name: &str) -> Option<Version> {
    Some(match name {
        "HTTP/0.9" => Version::HTTP_09,
        "HTTP/1.0" => Version::HTTP_10,
        "HTTP/1.1" => Version::HTTP_11,
        "HTTP/2.0" => Version::HTTP_2,
        "HTTP/3.0" => Version::HTTP_3,
        _ => return None,
    })
}

impl<'de> Deserialize<'de> for WireResponse {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Outer {
            resp: Inner,
        }
        #[derive(Deserialize)]
        struct Inner {
            head: Head,
            body: Bytes,
        }
        #[derive(Deserialize)]
        struct Head {
            status: u16,
            headers: Headers,
            version: String,
        }
        let Inner { head, body } = Outer::deserialize(input)?.resp;
        let mut response = Response::new(body.0);
        *response.status_mut() = StatusCode::from_u16(head.status)
            .map_err(|_| D::Error::custom(format!("{} is no HTTP status", head.status)))?;
        *response.version_mut() = version(&head.version)
            .ok_or_else(|| D::Error::custom(format!("`{}` is no HTTP version", head.version)))?;
        *response.headers_mut() = head.headers.0;
        Ok(WireResponse(response))
    }
}

struct Headers(HeaderMap);

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Headers;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of headers")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
                let mut headers = HeaderMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    let name = HeaderName::from_bytes(name.as_bytes())
                        .map_err(|_| A::Error::custom(format!("`{name}` is no header name")))?;
                    headers.remove(&name);
                    map.next_value_seed(Values { name, headers: &mut headers })?;
                }
                Ok(Headers(headers))
            }
        }
        input.deserialize_map(Names)
    }
}

struct Values<'a> {
    name: HeaderName,
    headers: &'a mut HeaderMap,
}

impl<'de> DeserializeSeed<'de> for Values<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Values<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the value of header `{}` or a list of values", self.name)
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.headers.append(self.name.clone(), value(&self.name, text)?);
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut any = false;
        while let Some(text) = list.next_element::<String>()? {
            self.headers.append(self.name.clone(), value(&self.name, &text)?);
            any = true;
        }
        if any {
            Ok(())
        } else {
            Err(A::Error::custom(format!("header `{}` has no value", self.name)))
        }
    }
}

fn value<E: serde::de::Error>(name: &HeaderName, text: &str) -> Result<HeaderValue, E> {
    HeaderValue::from_bytes(text.as_bytes())
        .map_err(|_| E::custom(format!("the value of header `{name}` holds control characters")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{json, Value};

    #[test]
    fn requests() {
        let request = Request::builder()
            .method("POST")
            .uri("https://api.example.com/v1/chat?x=1")
            .header("Content-Type", "application/json")
            .header("x-a", "1")
            .header("x-a", "2")
            .body(b"{}".to_vec())
            .unwrap();
        assert_eq!(
            String::from_utf8(encode_request(&request).unwrap()).unwrap(),
            r#"{"req":{"head":{"method":"POST","uri":"https://api.example.com/v1/chat?x=1","headers":{"content-type":"application/json","x-a":["1","2"]},"version":"HTTP/1.1"},"body":[123,125]}}"#
        );
        let every: Vec<u8> = (0..=255).collect();
        let request = Request::new(every.clone());
        let value: Value = serde_json::from_slice(&encode_request(&request).unwrap()).unwrap();
        assert_eq!(value["req"]["body"], json!(every));
        let latin = Request::builder().header("x-b", HeaderValue::from_bytes(b"\xe9").unwrap()).body(vec![]);
        let error = encode_request(&latin.unwrap()).unwrap_err();
        assert!(matches!(error, LLMError::InvalidRequest(m) if m.contains("x-b")));
    }

    #[test]
    fn requests_in_messagepack() {
        #[derive(Deserialize)]
        struct Outer {
            req: Inner,
        }
        #[derive(Deserialize)]
        struct Inner {
            head: Value,
            body: Bytes,
        }
        for length in [0, 5, 70_000] {
            let request = Request::builder()
                .uri("https://h/v1/chat?x=1")
                .header("x-a", "1")
                .header("x-a", "2")
                .header("authorization", "Bearer k")
                .body(vec![b'x'; length])
                .unwrap();
            let packed = Wire::MessagePack.write_request(&request).unwrap();
            assert!(packed.len() < length + 200);
            let [ours, theirs]: [Outer; 2] = [
                Wire::of(&packed).read(&packed).unwrap(),
                Wire::Json.read(&Wire::Json.write_request(&request).unwrap()).unwrap(),
            ];
            assert_eq!((ours.req.head, ours.req.body), (theirs.req.head, theirs.req.body));
        }
        let latin = Request::builder().header("x-b", HeaderValue::from_bytes(b"\xe9").unwrap()).body(vec![]);
        let error = Wire::MessagePack.write_request(&latin.unwrap()).unwrap_err();
        assert!(matches!(error, LLMError::InvalidRequest(m) if m.contains("x-b")));
    }

    #[test]
    fn replies() {
        let text = r#"{"resp":{"head":{"status":200,"headers":{"Content-Type":"text/plain","set-cookie":["a=1","b=2"]},"version":"HTTP/2.0","extra":1},"body":[111,107]}}"#;
        let WireResponse(response) = serde_json::from_str(text).unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.version(), Version::HTTP_2);
        assert_eq!(response.headers()["content-type"], "text/plain");
        assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
        assert_eq!(response.body(), b"ok");
    }

    #[test]
    fn malformed_replies_are_refused() {
        let with = |head: &str, body: &str| format!(r#"{{"resp":{{"head":{head},"body":{body}}}}}"#);
        let head = |headers: &str| format!(r#"{{"status":200,"headers":{headers},"version":"HTTP/1.1"}}"#);
        for text in [
            with(&head("{}"), "null"),
            with(&head("{}"), r#""ok""#),
            with(&head("{}"), "[256]"),
            with(&head("{}"), "[1.0]"),
            with(&head(r#"{"a":[]}"#), "[]"),
            with(&head(r#"{"a":"x\ny"}"#), "[]"),
            with(&head(r#"{"a b":"x"}"#), "[]"),
            with(r#"{"status":99,"headers":{},"version":"HTTP/1.1"}"#, "[]"),
            with(r#"{"status":200,"headers":{},"version":"HTTP/2"}"#, "[]"),
            with(r#"{"status":200,"headers":{}}"#, "[]"),
            r#"{"head":{}}"#.to_string(),
        ] {
            assert!(serde_json::from_str::<WireResponse>(&text).is_err(), "{text}");
        }
        let last = with(&head(r#"{"A":"1","a":"2"}"#), "[]");
        let WireResponse(response) = serde_json::from_str(&last).unwrap();
        assert_eq!(response.headers()["a"], "2");
    }
}
