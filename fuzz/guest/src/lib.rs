//! One export, `trip`: its input is `json` or `msgpack`, a space, the name of a type, a line feed and a document of
//! that type; its output is the document as the PDK's types write it. What the types refuse is an error with serde's words.

use fumehood_pdk::chat::ChatChunk;
use fumehood_pdk::http::Request;
use fumehood_pdk::speech::{SttRequest, TtsRequest, TtsResponse};
use fumehood_pdk::wire::{Wire, WireResponse};
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
    let (wire, kind) = match &input[..end] {
        [b'j', b's', b'o', b'n', b' ', kind @ ..] => (Wire::Json, kind),
        [b'm', b's', b'g', b'p', b'a', b'c', b'k', b' ', kind @ ..] => (Wire::MessagePack, kind),
        _ => return Err("no wire".into()),
    };
    match kind {
        b"json" => again::<Value>(wire, document),
        b"messages" => again::<Vec<ChatMessage>>(wire, document),
        b"tools" => again::<Option<Vec<Tool>>>(wire, document),
        b"call" => again::<ToolCall>(wire, document),
        b"reply" => again::<ChatReply>(wire, document),
        b"usage" => again::<Usage>(wire, document),
        b"chunk" => again::<ChatChunk>(wire, document),
        b"chunks" => again::<Vec<ChatChunk>>(wire, document),
        b"vectors" => again::<Vec<Vec<f32>>>(wire, document),
        b"models" => again::<Option<Vec<String>>>(wire, document),
        b"text" => again::<CompletionResponse>(wire, document),
        b"completion" => again::<CompletionRequest>(wire, document),
        b"transcription" => again::<SttRequest>(wire, document),
        b"speech" => again::<TtsRequest>(wire, document),
        b"sound" => again::<TtsResponse>(wire, document),
        b"response" => reply(wire, document),
        other => Err(format!("no type is called {}", String::from_utf8_lossy(other))),
    }
}

fn again<T: DeserializeOwned + Serialize>(wire: Wire, document: &[u8]) -> Result<Vec<u8>, String> {
    let value: T = wire.read(document)?;
    wire.write(&value).map_err(|error| error.to_string())
}

/// Replies are only read and requests only written: the reply comes back as a request whose path is its status.
fn reply(wire: Wire, document: &[u8]) -> Result<Vec<u8>, String> {
    let WireResponse(response) = wire.read(document)?;
    let (head, body) = response.into_parts();
    let mut request = Request::new(body);
    *request.uri_mut() = format!("/{}", head.status.as_u16()).parse().map_err(|_| "no path")?;
    *request.version_mut() = head.version;
    *request.headers_mut() = head.headers;
    wire.write_request(&request).map_err(|error| error.to_string())
}
