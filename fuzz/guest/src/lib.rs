//! One export, `trip`: its input is the name of a type, a line feed and a document of that type; its output is
//! the document as the PDK's types write it. What the types refuse is an error with serde's words.

use fumehood_pdk::chat::ChatChunk;
use fumehood_pdk::http::Request;
use fumehood_pdk::speech::{SttRequest, TtsRequest, TtsResponse};
use fumehood_pdk::wire::{encode_request, WireResponse};
use fumehood_pdk::{ChatMessage, ChatReply, CompletionRequest, CompletionResponse, Tool, ToolCall, Usage};
use serde::de::DeserializeOwned;
use serde::Serialize;
use serde_json::Value;

#[link(wasm_import_module = "extism:host/env")]
extern "C" {
    fn input_length() -> u64;
    fn input_load_u8(offset: u64) -> u8;
    fn alloc(length: u64) -> u64;
    fn store_u8(address: u64, value: u8);
    fn output_set(handle: u64, length: u64);
    fn error_set(handle: u64);
}

fn store(bytes: &[u8]) -> u64 {
    // SAFETY: host functions of integers; every address lies in the block just allocated
    unsafe {
        let handle = alloc(bytes.len() as u64);
        for (i, byte) in bytes.iter().enumerate() {
            store_u8(handle + i as u64, *byte);
        }
        handle
    }
}

/// See the top of this file.
#[no_mangle]
pub extern "C" fn trip() -> i32 {
    // SAFETY: host functions of integers; the host answers 0 for what is out of range
    let input: Vec<u8> = unsafe { (0..input_length()).map(|at| input_load_u8(at)).collect() };
    match answer(&input) {
        Ok(bytes) => {
            let handle = store(&bytes);
            // SAFETY: a handle of ours and its length
            unsafe { output_set(handle, bytes.len() as u64) };
            0
        }
        Err(text) => {
            let handle = store(text.as_bytes());
            // SAFETY: a handle of ours
            unsafe { error_set(handle) };
            1
        }
    }
}

fn answer(input: &[u8]) -> Result<Vec<u8>, String> {
    let end = input.iter().position(|byte| *byte == b'\n').ok_or("no type")?;
    let document = &input[end + 1..];
    match &input[..end] {
        b"json" => again::<Value>(document),
        b"messages" => again::<Vec<ChatMessage>>(document),
        b"tools" => again::<Option<Vec<Tool>>>(document),
        b"call" => again::<ToolCall>(document),
        b"reply" => again::<ChatReply>(document),
        b"usage" => again::<Usage>(document),
        b"chunk" => again::<ChatChunk>(document),
        b"chunks" => again::<Vec<ChatChunk>>(document),
        b"vectors" => again::<Vec<Vec<f32>>>(document),
        b"models" => again::<Option<Vec<String>>>(document),
        b"text" => again::<CompletionResponse>(document),
        b"completion" => again::<CompletionRequest>(document),
        b"transcription" => again::<SttRequest>(document),
        b"speech" => again::<TtsRequest>(document),
        b"sound" => again::<TtsResponse>(document),
        b"response" => reply(document),
        other => Err(format!("no type is called {}", String::from_utf8_lossy(other))),
    }
}

fn again<T: DeserializeOwned + Serialize>(document: &[u8]) -> Result<Vec<u8>, String> {
    let value: T = serde_json::from_slice(document).map_err(|error| error.to_string())?;
    serde_json::to_vec(&value).map_err(|error| error.to_string())
}

/// Replies are only read and requests only written: the reply comes back as a request whose path is its status.
fn reply(document: &[u8]) -> Result<Vec<u8>, String> {
    let WireResponse(response) = serde_json::from_slice(document).map_err(|error| error.to_string())?;
    let (head, body) = response.into_parts();
    let mut request = Request::new(body);
    *request.uri_mut() = format!("/{}", head.status.as_u16()).parse().map_err(|_| "no path")?;
    *request.version_mut() = head.version;
    *request.headers_mut() = head.headers;
    encode_request(&request).map_err(|error| error.to_string())
}
