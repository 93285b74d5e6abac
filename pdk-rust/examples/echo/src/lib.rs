//! Functions of one's own: bytes in, bytes out. `bench/` measures `echo` and `count_vowels`.

use fumehood_pdk::export_functions;
use fumehood_pdk::plugin::function::Json;
use fumehood_pdk::LLMError;
use std::collections::BTreeMap;

/// The input itself: neither side of it is copied here.
fn echo(input: Vec<u8>) -> Result<Vec<u8>, LLMError> {
    Ok(input)
}

/// `{"count": n}`, as the plugins of Extism's tutorials answer.
fn count_vowels(input: String) -> Result<Json<BTreeMap<&'static str, usize>>, LLMError> {
    let count = input.bytes().filter(|byte| b"aeiouAEIOU".contains(byte)).count();
    Ok(Json(BTreeMap::from([("count", count)])))
}

/// Fails with its input as the error text.
fn fail(input: String) -> Result<(), String> {
    Err(input)
}

/// Fails with a structured error.
fn refuse(_input: ()) -> Result<(), LLMError> {
    Err(LLMError::InvalidRequest("refused".into()))
}

export_functions!(echo, count_vowels, fail, refuse);
