//! MessagePack with serde, for the documents of the wire (docs/wire.md, `fumehood_msgpack`).
//!
//! Types that are written and read as JSON by `serde_json` work here as they are: structs are maps with text
//! keys, enums are externally tagged, [`Bytes`] is `bin` here and an array of decimals there. What JSON has not
//! is refused both ways: extension types, numbers that are not finite, keys that are no text. Of its own because
//! the crates for it are made for Rust on both sides and weigh more than the whole of this.

mod bytes;
mod de;
mod ser;
#[cfg(test)]
mod tests;

pub use bytes::{Bytes, Slice};
pub use ser::to_vec;
pub(crate) use ser::{push_array, push_bin, push_map, push_text};

use serde::Deserialize;
use std::fmt;

/// Arrays and maps inside each other; the outermost counts as one.
pub const MAX_DEPTH: usize = 128;

/// Why a document could not be read or a value not be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Error(message.to_string())
    }
}

impl serde::ser::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Error(message.to_string())
    }
}

/// Whether a document is MessagePack: it begins with a map, as no JSON text does.
pub fn is_map(document: &[u8]) -> bool {
    matches!(document.first(), Some(0x80..=0x8f | 0xde | 0xdf))
}

/// The value of a document.
pub fn from_slice<'de, T: Deserialize<'de>>(document: &'de [u8]) -> Result<T, Error> {
    let mut reader = de::Reader::new(document);
    let value = T::deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}
