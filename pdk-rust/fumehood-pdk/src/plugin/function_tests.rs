use super::{call, Failure, Json};
use crate::error::LLMError;
use serde_json::{json, Value};
use std::error::Error;

fn text(result: Result<Vec<u8>, Vec<u8>>) -> Result<String, String> {
    let read = |bytes| String::from_utf8(bytes).unwrap();
    result.map(read).map_err(read)
}

#[test]
fn bytes_and_text_pass_without_a_copy() {
    let input = b"abc".to_vec();
    let address = input.as_ptr();
    let output = call(|b: Vec<u8>| Ok::<_, Failure>(b), input).unwrap();
    assert_eq!(output.as_ptr(), address);
    let output = call(|s: String| Ok::<_, Failure>(s), output).unwrap();
    assert_eq!((output.as_ptr(), &*output), (address, &b"abc"[..]));
}

#[test]
fn json_goes_both_ways() {
    let double = |Json(n): Json<i64>| Ok::<_, Failure>(Json(json!({ "twice": n * 2 })));
    assert_eq!(text(call(double, b"21".to_vec())), Ok(r#"{"twice":42}"#.into()));
    let failed = text(call(double, b"\"no number\"".to_vec())).unwrap_err();
    assert!(failed.starts_with("the input cannot be read: "), "{failed}");
}

#[test]
fn nothing_is_an_input_and_an_output() {
    assert_eq!(call(|()| Ok::<_, Failure>(()), b"ignored".to_vec()), Ok(Vec::new()));
    assert_eq!(text(call(|()| Ok::<_, Failure>("text"), Vec::new())), Ok("text".into()));
}

#[test]
fn what_is_no_text_is_refused() {
    let failed = text(call(|s: String| Ok::<_, Failure>(s), vec![b'a', 0xff])).unwrap_err();
    assert_eq!(failed, "the input is not UTF-8: invalid utf-8 sequence of 1 bytes from index 1");
}

#[test]
fn what_cannot_be_written_is_an_error() {
    let odd = std::collections::BTreeMap::from([((1, 2), 3)]);
    let failed = text(call(|()| Ok::<_, Failure>(Json(odd)), Vec::new())).unwrap_err();
    assert_eq!(failed, "the output cannot be written: key must be a string");
}

#[test]
fn errors_are_structured_or_text() {
    let structured = |error: Box<dyn Error>| call(|()| Err::<(), _>(error), Vec::new()).unwrap_err();
    let payload: Value =
        serde_json::from_slice(&structured(Box::new(LLMError::AuthError("no".into())))).unwrap();
    assert_eq!(payload, json!({"payload": {"type": "auth_error", "message": "no"}}));
    assert_eq!(structured("plain".into()), b"plain");
    let shared: Box<dyn Error + Send + Sync> = "shared".into();
    assert_eq!(call(|()| Err::<(), _>(shared), Vec::new()), Err(b"shared".to_vec()));
    let own = call(|()| Err::<(), _>(LLMError::Cancelled), Vec::new()).unwrap_err();
    assert_eq!(own, br#"{"payload":{"type":"cancelled"}}"#);
    assert_eq!(text(call(|()| Err::<(), _>("short"), Vec::new())), Err("short".into()));
    let silent = call(|()| Err::<(), _>(String::new()), Vec::new());
    assert_eq!(text(silent), Err("the plugin failed without saying why".into()));
}
