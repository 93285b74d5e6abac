//! Reading: a [`Deserializer`] over the bytes of one document. Nothing is allocated by what a length announces.

use super::{Error, MAX_DEPTH};
use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

/// What is left of a document.
pub(super) struct Reader<'de> {
    rest: &'de [u8],
    depth: usize,
}

/// A value, of arrays and maps only the beginning.
enum Head<'de> {
    Nil,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Single(f32),
    Double(f64),
    Text(&'de str),
    Bin(&'de [u8]),
    Array(usize),
    Map(usize),
}

impl<'de> Reader<'de> {
    pub(super) fn new(document: &'de [u8]) -> Self {
        Reader { rest: document, depth: 0 }
    }

    pub(super) fn end(&self) -> Result<(), Error> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(Error::custom(format_args!("{left} bytes follow the document"))),
        }
    }

    fn take(&mut self, length: usize) -> Result<&'de [u8], Error> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// A length of so many bytes.
    fn length(&mut self, width: u8) -> Result<usize, Error> {
        Ok(match width {
            0 => u8::from_be_bytes(self.array()?).into(),
            1 => u16::from_be_bytes(self.array()?).into(),
            _ => u32::from_be_bytes(self.array()?) as usize,
        })
    }

    fn text(&mut self, length: usize) -> Result<&'de str, Error> {
        std::str::from_utf8(self.take(length)?).map_err(|_| Error::custom("a text is not valid UTF-8"))
    }

    /// `items` are to come, each of one byte at least.
    fn items(&self, items: usize) -> Result<usize, Error> {
        if items > self.rest.len() {
            return Err(truncated());
        }
        Ok(items)
    }

    #[inline(never)] // one copy for the many types that are read
    fn head(&mut self) -> Result<Head<'de>, Error> {
        let [first] = self.array()?;
        Ok(match first {
            0x00..=0x7f => Head::Unsigned(first.into()),
            0xe0..=0xff => Head::Signed((first as i8).into()),
            0xa0..=0xbf => Head::Text(self.text((first & 0x1f).into())?),
            0x80..=0x8f => Head::Map(self.items((first & 0xf).into())?),
            0x90..=0x9f => Head::Array(self.items((first & 0xf).into())?),
            0xc0 => Head::Nil,
            0xc2 | 0xc3 => Head::Bool(first == 0xc3),
            0xd9..=0xdb => {
                let length = self.length(first - 0xd9)?;
                Head::Text(self.text(length)?)
            }
            0xc4..=0xc6 => {
                let length = self.length(first - 0xc4)?;
                Head::Bin(self.take(length)?)
            }
            0xdc | 0xdd => {
                let length = self.length(first - 0xdb)?;
                Head::Array(self.items(length)?)
            }
            0xde | 0xdf => {
                let length = self.length(first - 0xdd)?;
                Head::Map(self.items(length)?)
            }
            0xcc => Head::Unsigned(u8::from_be_bytes(self.array()?).into()),
            0xcd => Head::Unsigned(u16::from_be_bytes(self.array()?).into()),
            0xce => Head::Unsigned(u32::from_be_bytes(self.array()?).into()),
            0xcf => Head::Unsigned(u64::from_be_bytes(self.array()?)),
            0xd0 => Head::Signed(i8::from_be_bytes(self.array()?).into()),
            0xd1 => Head::Signed(i16::from_be_bytes(self.array()?).into()),
            0xd2 => Head::Signed(i32::from_be_bytes(self.array()?).into()),
            0xd3 => Head::Signed(i64::from_be_bytes(self.array()?)),
            0xca => Head::Single(f32::from_be_bytes(self.array()?)),
            0xcb => Head::Double(f64::from_be_bytes(self.array()?)),
            0xc1 | 0xc7..=0xc9 | 0xd4..=0xd8 => {
                return Err(Error::custom(format_args!("a value of type {first:#04x} cannot stand here")))
            }
        })
    }

    /// Reads inside an array or a map of `left` items; all of them must have been taken.
    fn inside<T>(
        &mut self,
        left: usize,
        read: impl FnOnce(&mut Items<'_, 'de>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.depth == MAX_DEPTH {
            return Err(Error::custom(format_args!("nested deeper than {MAX_DEPTH}")));
        }
        self.depth += 1;
        let mut items = Items { reader: self, left };
        let value = read(&mut items)?;
        let left = items.left;
        self.depth -= 1;
        if left > 0 {
            return Err(Error::custom(format_args!("{left} items too many")));
        }
        Ok(value)
    }
}

/// What stands where something else is due. Apart from the visitors, of which there are many.
#[cold]
fn refuse(head: &Head<'_>, due: &dyn Expected) -> Error {
    let found = match *head {
        Head::Nil => Unexpected::Unit,
        Head::Bool(value) => Unexpected::Bool(value),
        Head::Unsigned(value) => Unexpected::Unsigned(value),
        Head::Signed(value) => Unexpected::Signed(value),
        Head::Single(value) => Unexpected::Float(value.into()),
        Head::Double(value) => Unexpected::Float(value),
        Head::Text(value) => Unexpected::Str(value),
        Head::Bin(value) => Unexpected::Bytes(value),
        Head::Array(_) => Unexpected::Seq,
        Head::Map(_) => Unexpected::Map,
    };
    Error::invalid_type(found, due)
}

#[cold]
fn truncated() -> Error {
    Error::custom("the document ends inside a value")
}

fn finite(number: f64) -> Result<f64, Error> {
    if number.is_finite() {
        return Ok(number);
    }
    Err(Error::custom("a number is not finite"))
}

macro_rules! numbers {
    ($($method:ident)*) => {
        $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.head()? {
                Head::Unsigned(value) => visitor.visit_u64(value),
                Head::Signed(value) => visitor.visit_i64(value),
                Head::Single(value) => visitor.visit_f64(finite(value.into())?),
                Head::Double(value) => visitor.visit_f64(finite(value)?),
                other => Err(refuse(&other, &visitor)),
            }
        }
        )*
    };
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.head()? {
            Head::Nil => visitor.visit_unit(),
            Head::Bool(value) => visitor.visit_bool(value),
            Head::Unsigned(value) => visitor.visit_u64(value),
            Head::Signed(value) => visitor.visit_i64(value),
            Head::Single(value) => {
                finite(value.into())?;
                visitor.visit_f32(value)
            }
            Head::Double(value) => visitor.visit_f64(finite(value)?),
            Head::Text(value) => visitor.visit_borrowed_str(value),
            Head::Bin(value) => visitor.visit_borrowed_bytes(value),
            Head::Array(left) => self.inside(left, |items| visitor.visit_seq(items)),
            Head::Map(left) => self.inside(left, |items| visitor.visit_map(items)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.rest.first() == Some(&0xc0) {
            self.rest = &self.rest[1..];
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.head()? {
            Head::Text(name) => visitor.visit_enum(BorrowedStrDeserializer::new(name)),
            Head::Map(1) => self.inside(1, |items| visitor.visit_enum(items)),
            Head::Map(_) => Err(Error::invalid_value(Unexpected::Map, &"a map with one key")),
            _ => Err(Error::custom("a variant is a text or a map with one key")),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.head()? {
            Head::Bool(value) => visitor.visit_bool(value),
            other => Err(refuse(&other, &visitor)),
        }
    }

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16
        deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.head()? {
            Head::Text(value) => visitor.visit_borrowed_str(value),
            other => Err(refuse(&other, &visitor)), // bytes too, which serde's String would take
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.head()? {
            Head::Array(left) => self.inside(left, |items| visitor.visit_seq(items)),
            Head::Bin(value) => visitor.visit_borrowed_bytes(value),
            other => Err(refuse(&other, &visitor)),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.head()? {
            Head::Map(left) => self.inside(left, |items| visitor.visit_map(items)),
            other => Err(refuse(&other, &visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

/// What is inside an array or a map.
struct Items<'a, 'de> {
    reader: &'a mut Reader<'de>,
    left: usize,
}

impl Items<'_, '_> {
    fn next(&mut self) -> bool {
        let any = self.left > 0;
        self.left -= usize::from(any);
        any
    }
}

impl<'de> SeqAccess<'de> for &mut Items<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if !self.next() {
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> MapAccess<'de> for &mut Items<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        if !self.next() {
            return Ok(None);
        }
        match self.reader.head()? {
            Head::Text(key) => seed.deserialize(BorrowedStrDeserializer::new(key)).map(Some),
            _ => Err(Error::custom("a key is not text")),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(&mut *self.reader)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'a, 'b, 'de> EnumAccess<'de> for &'a mut Items<'b, 'de> {
    type Error = Error;
    type Variant = &'a mut Items<'b, 'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self::Variant), Error> {
        self.next();
        let name = match self.reader.head()? {
            Head::Text(name) => name,
            _ => return Err(Error::custom("a key is not text")),
        };
        Ok((seed.deserialize(name.into_deserializer())?, self))
    }
}

impl<'de> VariantAccess<'de> for &mut Items<'_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        serde::Deserialize::deserialize(&mut *self.reader)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(&mut *self.reader)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Error> {
        self.reader.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.reader.deserialize_any(visitor)
    }
}
