//! Writing: a [`Serializer`] that appends to bytes.

use super::Error;
use serde::ser::{
    Error as _, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

/// The document of a value. Fails for what JSON has not, and where a [`Serialize`] fails.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(128);
    value.serialize(Writer(&mut out))?;
    Ok(out)
}

struct Writer<'a>(&'a mut Vec<u8>);

/// A length: in the first byte where it fits, else by the first of `heads` that is wide enough; 0 is no head.
fn push_length(out: &mut Vec<u8>, length: usize, fix: u8, below: usize, heads: [u8; 3]) -> Result<(), Error> {
    match length {
        n if n < below => out.push(fix | n as u8),
        0..=0xff if heads[0] != 0 => out.extend_from_slice(&[heads[0], length as u8]),
        0..=0xffff => {
            out.push(heads[1]);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            let length = u32::try_from(length).map_err(|_| Error::custom("more than 4 GiB"))?;
            out.push(heads[2]);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
    Ok(())
}

pub(crate) fn push_text(out: &mut Vec<u8>, text: &str) -> Result<(), Error> {
    push_length(out, text.len(), 0xa0, 32, [0xd9, 0xda, 0xdb])?;
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

pub(crate) fn push_bin(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Error> {
    push_length(out, bytes.len(), 0, 0, [0xc4, 0xc5, 0xc6])?;
    out.extend_from_slice(bytes);
    Ok(())
}

pub(crate) fn push_map(out: &mut Vec<u8>, length: usize) -> Result<(), Error> {
    push_length(out, length, 0x80, 16, [0, 0xde, 0xdf])
}

pub(crate) fn push_array(out: &mut Vec<u8>, length: usize) -> Result<(), Error> {
    push_length(out, length, 0x90, 16, [0, 0xdc, 0xdd])
}

fn push_unsigned(out: &mut Vec<u8>, value: u64) {
    let bytes = value.to_be_bytes();
    match value {
        n if n < 0x80 => out.push(n as u8),
        n if n < 1 << 8 => push_number(out, 0xcc, &bytes[7..]),
        n if n < 1 << 16 => push_number(out, 0xcd, &bytes[6..]),
        n if n < 1 << 32 => push_number(out, 0xce, &bytes[4..]),
        _ => push_number(out, 0xcf, &bytes),
    }
}

fn push_signed(out: &mut Vec<u8>, value: i64) {
    let bytes = value.to_be_bytes();
    match value {
        n if n >= 0 => push_unsigned(out, n as u64),
        n if n >= -0x20 => out.push(n as u8),
        n if n >= -0x80 => push_number(out, 0xd0, &bytes[7..]),
        n if n >= -0x8000 => push_number(out, 0xd1, &bytes[6..]),
        n if n >= -0x8000_0000 => push_number(out, 0xd2, &bytes[4..]),
        _ => push_number(out, 0xd3, &bytes),
    }
}

fn push_number(out: &mut Vec<u8>, head: u8, bytes: &[u8]) {
    out.push(head);
    out.extend_from_slice(bytes);
}

impl<'a> Serializer for Writer<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Compound<'a>;
    type SerializeTuple = Compound<'a>;
    type SerializeTupleStruct = Compound<'a>;
    type SerializeTupleVariant = Compound<'a>;
    type SerializeMap = Compound<'a>;
    type SerializeStruct = Compound<'a>;
    type SerializeStructVariant = Compound<'a>;

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.0.push(if value { 0xc3 } else { 0xc2 });
        Ok(())
    }
    fn serialize_i8(self, value: i8) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }
    fn serialize_i16(self, value: i16) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }
    fn serialize_i32(self, value: i32) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }
    fn serialize_i64(self, value: i64) -> Result<(), Error> {
        push_signed(self.0, value);
        Ok(())
    }
    fn serialize_u8(self, value: u8) -> Result<(), Error> {
        self.serialize_u64(value.into())
    }
    fn serialize_u16(self, value: u16) -> Result<(), Error> {
        self.serialize_u64(value.into())
    }
    fn serialize_u32(self, value: u32) -> Result<(), Error> {
        self.serialize_u64(value.into())
    }
    fn serialize_u64(self, value: u64) -> Result<(), Error> {
        push_unsigned(self.0, value);
        Ok(())
    }
    fn serialize_f32(self, value: f32) -> Result<(), Error> {
        if !value.is_finite() {
            return Err(Error::custom("a number is not finite"));
        }
        push_number(self.0, 0xca, &value.to_be_bytes());
        Ok(())
    }
    fn serialize_f64(self, value: f64) -> Result<(), Error> {
        if !value.is_finite() {
            return Err(Error::custom("a number is not finite"));
        }
        push_number(self.0, 0xcb, &value.to_be_bytes());
        Ok(())
    }
    fn serialize_char(self, value: char) -> Result<(), Error> {
        push_text(self.0, value.encode_utf8(&mut [0; 4]))
    }
    fn serialize_str(self, value: &str) -> Result<(), Error> {
        push_text(self.0, value)
    }
    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        push_bin(self.0, value)
    }
    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<(), Error> {
        self.0.push(0xc0);
        Ok(())
    }
    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }
    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), Error> {
        push_text(self.0, variant)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        push_map(self.0, 1)?;
        push_text(self.0, variant)?;
        value.serialize(self)
    }
    fn serialize_seq(self, length: Option<usize>) -> Result<Compound<'a>, Error> {
        Compound::begin(self.0, length, push_array, 0xdd)
    }
    fn serialize_tuple(self, length: usize) -> Result<Compound<'a>, Error> {
        self.serialize_seq(Some(length))
    }
    fn serialize_tuple_struct(self, _name: &'static str, length: usize) -> Result<Compound<'a>, Error> {
        self.serialize_seq(Some(length))
    }
    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Compound<'a>, Error> {
        push_map(self.0, 1)?;
        push_text(self.0, variant)?;
        self.serialize_seq(Some(length))
    }
    fn serialize_map(self, length: Option<usize>) -> Result<Compound<'a>, Error> {
        Compound::begin(self.0, length, push_map, 0xdf)
    }
    fn serialize_struct(self, _name: &'static str, length: usize) -> Result<Compound<'a>, Error> {
        self.serialize_map(Some(length))
    }
    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Compound<'a>, Error> {
        push_map(self.0, 1)?;
        push_text(self.0, variant)?;
        self.serialize_map(Some(length))
    }
}

/// An array or a map being written.
struct Compound<'a> {
    out: &'a mut Vec<u8>,
    items: usize,
    /// Where the length stands that is filled in at the end, where it was not known.
    open: Option<usize>,
}

impl<'a> Compound<'a> {
    fn begin(
        out: &'a mut Vec<u8>,
        length: Option<usize>,
        push: fn(&mut Vec<u8>, usize) -> Result<(), Error>,
        widest: u8,
    ) -> Result<Self, Error> {
        let mut open = None;
        match length {
            Some(length) => push(out, length)?,
            None => {
                open = Some(out.len() + 1);
                out.extend_from_slice(&[widest, 0, 0, 0, 0]);
            }
        }
        Ok(Compound { out, items: 0, open })
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.items += 1;
        value.serialize(Writer(self.out))
    }

    fn key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        let at = self.out.len();
        key.serialize(Writer(self.out))?;
        match self.out[at] {
            0xa0..=0xbf | 0xd9..=0xdb => Ok(()),
            _ => Err(Error::custom("a key is not text")),
        }
    }

    fn finish(self) -> Result<(), Error> {
        if let Some(at) = self.open {
            let items = u32::try_from(self.items).map_err(|_| Error::custom("too many items"))?;
            self.out[at..at + 4].copy_from_slice(&items.to_be_bytes());
        }
        Ok(())
    }
}

macro_rules! compound {
    ($trait:ident $method:ident) => {
        impl $trait for Compound<'_> {
            type Ok = ();
            type Error = Error;
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                self.value(value)
            }
            fn end(self) -> Result<(), Error> {
                self.finish()
            }
        }
    };
    ($trait:ident) => {
        impl $trait for Compound<'_> {
            type Ok = ();
            type Error = Error;
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), Error> {
                push_text(self.out, key)?;
                self.value(value)
            }
            fn end(self) -> Result<(), Error> {
                self.finish()
            }
        }
    };
}

compound!(SerializeSeq serialize_element);
compound!(SerializeTuple serialize_element);
compound!(SerializeTupleStruct serialize_field);
compound!(SerializeTupleVariant serialize_field);
compound!(SerializeStruct);
compound!(SerializeStructVariant);

impl SerializeMap for Compound<'_> {
    type Ok = ();
    type Error = Error;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.key(key)
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.value(value)
    }
    fn end(self) -> Result<(), Error> {
        self.finish()
    }
}
