use super::*;
use crate::chat::{ChatChunk, StreamChunk};
use crate::{ChatMessage, ChatReply, Content, Usage};
use serde::Serialize;
use serde_json::{json, Value};
use std::collections::BTreeMap;

/// Every size that has a head of its own, and the values on both sides of each border.
fn values() -> Vec<Value> {
    let mut found = vec![json!(null), json!(true), json!(false), json!(0.5), json!(-1e300)];
    for power in [0, 4, 5, 7, 8, 15, 16, 31, 32, 63] {
        let border = 1i128 << power;
        for number in [-border - 1, -border, -border + 1, border - 1, border, border + 1] {
            found.extend(u64::try_from(number).map(Value::from));
            found.extend(i64::try_from(number).map(Value::from));
        }
    }
    found.push(json!(u64::MAX));
    for length in [0, 15, 16, 31, 32, 255, 256, 65535, 65536] {
        found.push("é".repeat(length / 2).into());
        found.push(vec![length; length].into());
        found.push(Value::Object((0..length).map(|i| (i.to_string(), i.into())).collect()));
    }
    found
}

#[test]
fn json_values_round_trip() {
    for value in values() {
        let document = to_vec(&value).unwrap();
        assert_eq!(from_slice::<Value>(&document).unwrap(), value);
        for end in 0..document.len().min(70) {
            assert!(from_slice::<Value>(&document[..end]).is_err());
        }
        let longer = [document.as_slice(), &[0xc0]].concat();
        assert!(from_slice::<Value>(&longer).unwrap_err().to_string().contains("1 bytes follow"));
    }
}

#[test]
fn messages_and_chunks_as_in_json() {
    let message =
        ChatMessage::user("hi").with(Content::Image { mime_type: "image/png".into(), data: vec![0; 300] });
    let document = to_vec(&message).unwrap();
    assert!(document.len() < 400, "{}", document.len());
    assert_eq!(from_slice::<ChatMessage>(&document).unwrap(), message);
    for chunk in [
        StreamChunk::Text("a".into()),
        StreamChunk::Usage(Usage::default()),
        StreamChunk::ToolUseStart { index: 1, id: "i".into(), name: "n".into() },
    ] {
        let chunk = ChatChunk::from(chunk);
        assert_eq!(from_slice::<ChatChunk>(&to_vec(&chunk).unwrap()).unwrap(), chunk);
        let value = serde_json::to_value(&chunk).unwrap();
        assert_eq!(from_slice::<Value>(&to_vec(&chunk).unwrap()).unwrap(), value);
        assert_eq!(from_slice::<ChatChunk>(&to_vec(&value).unwrap()).unwrap(), chunk);
    }
    assert_eq!(from_slice::<ChatReply>(b"\x80").unwrap(), ChatReply::default());
}

#[test]
fn bytes_as_bin_and_as_array() {
    for length in [0, 1, 255, 256, 65536] {
        let bytes = Bytes(vec![200; length]);
        assert_eq!(from_slice::<Bytes>(&to_vec(&bytes).unwrap()).unwrap(), bytes);
        let decimals = serde_json::to_string(&bytes).unwrap();
        assert_eq!(serde_json::from_str::<Bytes>(&decimals).unwrap(), bytes);
        assert_eq!(from_slice::<Bytes>(&to_vec(&bytes.0).unwrap()).unwrap(), bytes);
    }
    assert!(serde_json::from_str::<Bytes>("\"ab\"").is_err());
    assert!(from_slice::<Bytes>(b"\xa1a").is_err());
    assert!(from_slice::<Bytes>(b"\x91\xcd\x01\x00").is_err());
    assert!(from_slice::<Vec<String>>(b"\xc4\x01a").is_err());
    assert!(from_slice::<String>(b"\xc4\x01a").is_err());
}

#[test]
fn what_json_has_not_is_refused() {
    let nested = |depth: usize| [vec![0x91; depth], vec![0xc0]].concat();
    assert!(from_slice::<Value>(&nested(MAX_DEPTH)).is_ok());
    for (document, part) in [
        (nested(MAX_DEPTH + 1), "nested deeper"),
        (nested(100_000), "nested deeper"),
        (b"\x81\x01\x02".to_vec(), "a key is not text"),
        (b"\x81\xc4\x01a\x02".to_vec(), "a key is not text"),
        (b"\xc1".to_vec(), "0xc1"),
        (b"\xd4\x01a".to_vec(), "0xd4"),
        (b"\xd6\xff\x00\x00\x00\x00".to_vec(), "0xd6"),
        (b"\xc7\x01\x05a".to_vec(), "0xc7"),
        (b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00".to_vec(), "not finite"),
        (b"\xca\x7f\x80\x00\x00".to_vec(), "not finite"),
        (b"\xa2\xc3\x28".to_vec(), "UTF-8"),
        (b"\xdd\xff\xff\xff\xff".to_vec(), "ends inside"),
        (b"\xdf\xff\xff\xff\xff".to_vec(), "ends inside"),
        (b"\xc6\xff\xff\xff\xff".to_vec(), "ends inside"),
    ] {
        let error = from_slice::<Value>(&document).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    for document in [&b"\x82\xa4text\xa1a\xa1b\x01"[..], b"\x01", b"\xa4none", b"\x81\x01\x02"] {
        assert!(from_slice::<StreamChunk>(document).is_err());
    }
    assert!(from_slice::<[u8; 1]>(b"\x92\x01\x02").unwrap_err().to_string().contains("too many"));
    assert!(to_vec(&f32::NAN).is_err());
    assert!(to_vec(&f64::INFINITY).is_err());
    assert!(to_vec(&BTreeMap::from([(1, 2)])).is_err());
}

#[test]
fn lengths_that_are_not_known_before() {
    #[derive(Serialize)]
    struct Flat {
        a: u8,
        #[serde(flatten)]
        more: BTreeMap<&'static str, u8>,
    }
    let document = to_vec(&Flat { a: 1, more: BTreeMap::from([("b", 2)]) }).unwrap();
    assert_eq!(document[..5], [0xdf, 0, 0, 0, 2]);
    assert_eq!(from_slice::<Value>(&document).unwrap(), json!({"a": 1, "b": 2}));
}

#[test]
fn the_rest_of_serde() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Unit;
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct New(i8);
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Pair(i16, f32);
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Any {
        Nothing,
        One(u16),
        Two(u8, char),
    }
    type All = (Unit, New, Pair, (Any, Any, Any), Option<i32>, Option<i32>);
    let all: All =
        (Unit, New(-1), Pair(-300, 0.5), (Any::Nothing, Any::One(1), Any::Two(2, 'é')), None, Some(70_000));
    assert_eq!(from_slice::<All>(&to_vec(&all).unwrap()).unwrap(), all);
    assert_eq!(from_slice::<Any>(b"\x81\xa7Nothing\xc0").unwrap(), Any::Nothing);
}
