//! The direct mode of generations B and B′: one export an operation, requests sent by the guest.

use crate::dialect;
use extism_pdk::*;
use openai_like::config::{schema, DEFAULT_BASE_URL};
use openai_like::sse::Parser;
use openai_like::wire::{self, Reply, Request};
use openai_like::Config;
use serde_json::{json, Value};
use std::cell::Cell;

#[host_fn]
extern "ExtismHost" {
    fn qmt_http_request(request: Json<Value>) -> Json<Value>;
    fn qmt_http_stream_open(request: Json<Value>) -> Json<Value>;
    fn qmt_http_stream_next(stream: Json<u64>) -> Vec<u8>;
    fn qmt_http_stream_close(stream: Json<u64>);
    fn qmt_yield_chunk(chunk: Json<Value>);
    fn qmt_log(record: Json<Value>);
}

thread_local! {
    static LEVEL: Cell<u64> = const { Cell::new(0) };
}

fn log(level: u64, message: String) {
    if level <= LEVEL.get() {
        let record = json!({"level": level, "target": "direct::api", "message": message});
        // A log that cannot be written is no reason to fail.
        let _ = unsafe { qmt_log(Json(record)) };
    }
}

fn config(input: &Value) -> Result<Config, WithReturnCode<Error>> {
    let config: Config =
        serde_json::from_value(input.clone()).map_err(|error| invalid(error.to_string()))?;
    config.model().map_err(invalid)?;
    Ok(config)
}

fn invalid(message: String) -> WithReturnCode<Error> {
    dialect::failure("invalid_request", message, None)
}

fn provider(message: String) -> WithReturnCode<Error> {
    dialect::failure("provider_error", message, None)
}

fn send(request: &Request) -> Result<Reply, WithReturnCode<Error>> {
    log(4, format!("{} {}", request.method, request.url));
    let Json(answer) = unsafe { qmt_http_request(Json(request.as_wire()))? };
    let reply = Reply::from_wire(&answer["resp"]).map_err(provider)?;
    if reply.ok() {
        return Ok(reply);
    }
    let kind = match reply.status {
        401 | 403 => "auth_error",
        400 => "invalid_request",
        429 => "rate_limited",
        499 => "cancelled",
        500.. => "http_error",
        _ => "provider_error",
    };
    Err(dialect::failure(
        kind,
        reply.complaint(),
        reply.retry_after(),
    ))
}

// --- about the plugin ---------------------------------------------------------------------------

#[plugin_fn]
pub fn name() -> FnResult<String> {
    Ok(dialect::NAME.into())
}

#[plugin_fn]
pub fn base_url() -> FnResult<String> {
    Ok(DEFAULT_BASE_URL.into())
}

#[plugin_fn]
pub fn api_key_name() -> FnResult<String> {
    Ok("OPENAI_LIKE_API_KEY".into())
}

#[plugin_fn]
pub fn config_schema() -> FnResult<String> {
    Ok(schema().to_string())
}

#[plugin_fn]
pub fn init_logging(Json(level): Json<u64>) -> FnResult<()> {
    LEVEL.set(level);
    Ok(())
}

#[plugin_fn]
pub fn from_config(Json(input): Json<Value>) -> FnResult<Json<Config>> {
    Ok(Json(config(&input)?))
}

/// A model named `no-stream` cannot.
#[plugin_fn]
pub fn supports_streaming(Json(input): Json<Value>) -> FnResult<Json<bool>> {
    Ok(Json(config(&input)?.model() != Ok("no-stream")))
}

// --- operations ---------------------------------------------------------------------------------

#[plugin_fn]
pub fn chat(Json(input): Json<Value>) -> FnResult<Json<Value>> {
    let config = config(&input["cfg"])?;
    log(
        3,
        format!("chat with {}", config.model().unwrap_or_default()),
    );
    let request =
        wire::chat(&config, &input["messages"], &input["tools"], false).map_err(invalid)?;
    Ok(Json(wire::chat_reply(&send(&request)?).map_err(provider)?))
}

/// Opens, reads to the end, splits at the last newline, yields; closes on the normal path only.
#[plugin_fn]
pub fn chat_stream(Json(input): Json<Value>) -> FnResult<()> {
    let config = config(&input["cfg"])?;
    if config.stream != Some(true) {
        return Err(invalid("chat_stream without `stream`".into()));
    }
    let request =
        wire::chat(&config, &input["messages"], &input["tools"], true).map_err(invalid)?;
    let Json(opened) = unsafe { qmt_http_stream_open(Json(request.as_wire()))? };
    let stream = match opened["status"].as_str() {
        Some("ok") => opened["stream_id"]
            .as_u64()
            .ok_or_else(|| provider("no stream id".into()))?,
        Some("cancelled") => return Err(dialect::failure("cancelled", String::new(), None)),
        _ => {
            let code = opened["error_code"].as_i64().unwrap_or(1);
            let text = opened["plugin_error"]
                .as_str()
                .unwrap_or("stream not opened");
            return Err(dialect::open_failed(text, code));
        }
    };
    let mut sending = Sending::default();
    let mut waiting = Vec::new();
    loop {
        let bytes = unsafe { qmt_http_stream_next(Json(stream))? };
        if bytes.is_empty() {
            break;
        }
        waiting.extend_from_slice(&bytes);
        if let Some(end) = waiting.iter().rposition(|byte| *byte == b'\n') {
            let rest = waiting.split_off(end + 1);
            sending.lines(&waiting)?;
            waiting = rest;
        }
    }
    sending.lines(&waiting)?;
    if !sending.done {
        yield_chunk(dialect::done("Cancelled"))?;
    }
    unsafe { qmt_http_stream_close(Json(stream))? };
    Ok(())
}

/// The stream on its way out: nothing follows the first `done`.
#[derive(Default)]
struct Sending {
    parser: Parser,
    done: bool,
}

impl Sending {
    fn lines(&mut self, bytes: &[u8]) -> Result<(), WithReturnCode<Error>> {
        for line in String::from_utf8_lossy(bytes).lines() {
            for chunk in self.parser.line(line).map_err(provider)? {
                if self.done {
                    return Ok(());
                }
                let reason = chunk
                    .pointer("/chunk/done/finish_reason")
                    .and_then(Value::as_str);
                self.done = reason.is_some();
                yield_chunk(reason.map_or_else(|| chunk.clone(), dialect::done))?;
            }
        }
        Ok(())
    }
}

fn yield_chunk(chunk: Value) -> Result<(), Error> {
    unsafe { qmt_yield_chunk(Json(chunk)) }
}

#[plugin_fn]
pub fn embed(Json(input): Json<Value>) -> FnResult<Json<Value>> {
    let config = config(&input["cfg"])?;
    let request = wire::embed(&config, &input["inputs"]).map_err(invalid)?;
    Ok(Json(wire::embed_reply(&send(&request)?).map_err(provider)?))
}

/// Models named `chat-only` do not complete.
#[plugin_fn]
pub fn complete(Json(input): Json<Value>) -> FnResult<Json<Value>> {
    let config = config(&input["cfg"])?;
    if config.model() == Ok("chat-only") {
        let message = "this model does not complete".into();
        return Err(dialect::failure("not_implemented", message, None));
    }
    let request = wire::complete(&config, &input["req"]).map_err(invalid)?;
    Ok(Json(
        wire::complete_reply(&send(&request)?).map_err(provider)?,
    ))
}

/// Its input is the config itself, which may lack `model`.
#[plugin_fn]
pub fn list_models(Json(input): Json<Value>) -> FnResult<Json<Value>> {
    let config: Config =
        serde_json::from_value(input).map_err(|error| invalid(error.to_string()))?;
    Ok(Json(
        wire::models_reply(&send(&wire::list_models(&config))?).map_err(provider)?,
    ))
}

#[plugin_fn]
pub fn transcribe(Json(input): Json<Value>) -> FnResult<Json<Value>> {
    let config = config(&input["cfg"])?;
    let request = wire::transcribe(&config, &input).map_err(invalid)?;
    Ok(Json(
        wire::transcribe_reply(&send(&request)?).map_err(provider)?,
    ))
}

#[plugin_fn]
pub fn speech(Json(input): Json<Value>) -> FnResult<Json<Value>> {
    let config = config(&input["cfg"])?;
    let request = wire::speech(&config, &input).map_err(invalid)?;
    Ok(Json(wire::speech_reply(&send(&request)?)))
}
