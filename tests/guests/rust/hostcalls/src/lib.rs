//! Host functions, as the PDK's macro declares them (every value behind a handle) and as raw imports.

use extism_pdk::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Text {
    text: String,
    length: Option<u64>,
}

#[host_fn]
extern "ExtismHost" {
    /// Upper-cases a text.
    fn upper(text: String) -> String;
    /// Fills in the length of a JSON object's text.
    fn measure_json(value: Json<Text>) -> Json<Text>;
    /// Doubles eight little-endian bytes: what the macro makes of an integer.
    fn double_boxed(value: u64) -> u64;
    /// Takes a text and returns nothing.
    fn sink(text: String);
    /// Returns the very handle that it was given.
    fn same(text: String) -> String;
    /// Raises in the host.
    fn fails(text: String) -> String;
}

#[host_fn("test:elsewhere")]
extern "ExtismHost" {
    /// Greets, in a namespace of its own.
    fn greet(name: String) -> String;
}

mod raw {
    #[link(wasm_import_module = "extism:host/user")]
    extern "C" {
        pub fn add(left: i64, right: i64) -> i64;
        pub fn mix(a: i32, b: i64, c: f32, d: f64) -> f64;
        pub fn answer() -> i32;
    }
}

#[plugin_fn]
pub fn call_upper(text: String) -> FnResult<String> {
    Ok(unsafe { upper(text)? })
}

/// Many calls with the same text: the last answer.
#[plugin_fn]
pub fn call_upper_often(text: String) -> FnResult<String> {
    let mut last = String::new();
    for _ in 0..100 {
        last = unsafe { upper(text.clone())? };
    }
    Ok(last)
}

#[plugin_fn]
pub fn call_json(text: String) -> FnResult<String> {
    let Json(answer) = unsafe { measure_json(Json(Text { text, length: None }))? };
    Ok(format!("{} {:?}", answer.text, answer.length))
}

#[plugin_fn]
pub fn call_double(number: String) -> FnResult<String> {
    Ok(unsafe { double_boxed(number.parse()?)? }.to_string())
}

#[plugin_fn]
pub fn call_sink(text: String) -> FnResult<String> {
    unsafe { sink(text)? };
    Ok("sunk".into())
}

#[plugin_fn]
pub fn call_same(text: String) -> FnResult<String> {
    Ok(unsafe { same(text)? })
}

#[plugin_fn]
pub fn call_fails(text: String) -> FnResult<String> {
    Ok(unsafe { fails(text)? })
}

#[plugin_fn]
pub fn call_elsewhere(name: String) -> FnResult<String> {
    Ok(unsafe { greet(name)? })
}

/// Raw integers and floats, no handles.
#[plugin_fn]
pub fn call_numbers(_: ()) -> FnResult<String> {
    let sum = unsafe { raw::add(-5, i64::MAX) };
    let mixed = unsafe { raw::mix(-1, 1 << 40, 0.5, 0.25) };
    let answer = unsafe { raw::answer() };
    Ok(format!("{sum} {mixed} {answer}"))
}
