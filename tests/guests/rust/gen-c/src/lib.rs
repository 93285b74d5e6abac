//! A provider of generation C (up to 0.5.2): it builds requests and reads replies, the host sends.
//! It exports no `classify_chat_error`; `from_config` re-serialises with the defaults filled in.

use extism_pdk::*;
use openai_like::config::{schema, DEFAULT_BASE_URL};
use openai_like::sse::Parser;
use openai_like::wire::{self, Reply, Request};
use openai_like::Config;
use serde_json::{json, Value};
use std::cell::RefCell;
use std::collections::BTreeMap;

#[host_fn]
extern "ExtismHost" {
    fn qmt_http_request(request: Json<Value>) -> Json<Value>;
    fn qmt_log(record: Json<Value>);
}

thread_local! {
    static LEVEL: RefCell<u64> = const { RefCell::new(0) };
    static PARSERS: RefCell<(u64, BTreeMap<u64, Parser>)> = const { RefCell::new((0, BTreeMap::new())) };
}

/// Code 1 and `{"payload":…}`.
fn structured(payload: Value) -> WithReturnCode<Error> {
    WithReturnCode::new(Error::msg(json!({"payload": payload}).to_string()), 1)
}

fn bad_request(message: String) -> WithReturnCode<Error> {
    structured(json!({"type": "invalid_request", "message": message}))
}

fn bad_reply(reply: &Reply) -> impl Fn(String) -> WithReturnCode<Error> + '_ {
    move |message| {
        let raw = String::from_utf8_lossy(&reply.body).into_owned();
        structured(
            json!({"type": "response_format_error", "message": message, "raw_response": raw}),
        )
    }
}

/// The config of every call, decoded strictly: what is missing is a plain text error, code -1.
fn config(input: &Value) -> Result<Config, Error> {
    let config: Config = serde_json::from_value(input.clone())?;
    config.model().map_err(Error::msg)?;
    Ok(config)
}

fn reply(input: &Value) -> Result<Reply, Error> {
    Reply::from_wire(&input["resp"]["resp"]).map_err(Error::msg)
}

fn log(level: u64, message: String) {
    if level <= LEVEL.with_borrow(|enabled| *enabled) {
        let record = json!({"level": level, "target": "gen_c::api", "message": message});
        // A log that cannot be written is no reason to fail.
        let _ = unsafe { qmt_log(Json(record)) };
    }
}

// --- about the plugin ---------------------------------------------------------------------------

#[plugin_fn]
pub fn name() -> FnResult<String> {
    Ok("gen-c".into())
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

#[plugin_fn]
pub fn supports_streaming(Json(_): Json<Value>) -> FnResult<Json<bool>> {
    Ok(Json(true))
}

// --- chat ---------------------------------------------------------------------------------------

fn chat(input: &Value, stream: bool) -> Result<Request, WithReturnCode<Error>> {
    let config = config(&input["cfg"])?;
    log(
        3,
        format!("chat with {}", config.model().unwrap_or_default()),
    );
    wire::chat(&config, &input["messages"], &input["tools"], stream).map_err(bad_request)
}

#[plugin_fn]
pub fn chat_request(Json(input): Json<Value>) -> FnResult<Json<Value>> {
    Ok(Json(chat(&input, false)?.as_wire()))
}

#[plugin_fn]
pub fn chat_stream_request(Json(input): Json<Value>) -> FnResult<Json<Value>> {
    Ok(Json(chat(&input, true)?.as_wire()))
}

#[plugin_fn]
pub fn parse_chat_response(Json(input): Json<Value>) -> FnResult<Json<Value>> {
    config(&input["cfg"])?;
    let reply = reply(&input)?;
    Ok(Json(wire::chat_reply(&reply).map_err(bad_reply(&reply))?))
}

#[plugin_fn]
pub fn chat_stream_parser_start(Json(input): Json<Value>) -> FnResult<Json<u64>> {
    config(&input)?;
    PARSERS.with_borrow_mut(|(last, parsers)| {
        *last += 1;
        parsers.insert(*last, Parser::default());
        Ok(Json(*last))
    })
}

#[plugin_fn]
pub fn chat_stream_parser_parse(Json(input): Json<Value>) -> FnResult<Json<Vec<Value>>> {
    let id = input["parser_id"]
        .as_u64()
        .ok_or(Error::msg("parser_id is a number"))?;
    let bytes: Vec<u8> = serde_json::from_value(input["chunk"].clone())?;
    let text = String::from_utf8(bytes)?;
    PARSERS.with_borrow_mut(|(_, parsers)| {
        let parser = parsers.get_mut(&id).ok_or_else(|| unknown_parser(id))?;
        let mut chunks = vec![];
        for line in text.lines() {
            chunks.extend(parser.line(line).map_err(|message| {
                structured(json!({"type": "provider_error", "message": message}))
            })?);
        }
        Ok(Json(chunks))
    })
}

fn unknown_parser(id: u64) -> WithReturnCode<Error> {
    structured(json!({"type": "plugin_error", "message": format!("no stream parser {id}")}))
}

#[plugin_fn]
pub fn chat_stream_parser_finish(Json(id): Json<u64>) -> FnResult<Json<Vec<Value>>> {
    PARSERS.with_borrow_mut(|(_, parsers)| {
        let mut parser = parsers.remove(&id).ok_or_else(|| unknown_parser(id))?;
        Ok(Json(parser.finish()))
    })
}

#[plugin_fn]
pub fn chat_stream_parser_close(Json(id): Json<u64>) -> FnResult<()> {
    PARSERS.with_borrow_mut(|(_, parsers)| parsers.remove(&id));
    Ok(())
}

// --- embeddings, completions, models ------------------------------------------------------------

#[plugin_fn]
pub fn embed_request(Json(input): Json<Value>) -> FnResult<Json<Value>> {
    let config = config(&input["cfg"])?;
    Ok(Json(
        wire::embed(&config, &input["inputs"])
            .map_err(bad_request)?
            .as_wire(),
    ))
}

#[plugin_fn]
pub fn parse_embed_response(Json(input): Json<Value>) -> FnResult<Json<Value>> {
    let reply = reply(&input)?;
    Ok(Json(wire::embed_reply(&reply).map_err(bad_reply(&reply))?))
}

#[plugin_fn]
pub fn complete_request(Json(input): Json<Value>) -> FnResult<Json<Value>> {
    let config = config(&input["cfg"])?;
    Ok(Json(
        wire::complete(&config, &input["req"])
            .map_err(bad_request)?
            .as_wire(),
    ))
}

#[plugin_fn]
pub fn parse_complete_response(Json(input): Json<Value>) -> FnResult<Json<Value>> {
    let reply = reply(&input)?;
    Ok(Json(
        wire::complete_reply(&reply).map_err(bad_reply(&reply))?,
    ))
}

#[plugin_fn]
pub fn list_models_static(Json(_): Json<Value>) -> FnResult<Json<Option<Vec<String>>>> {
    Ok(Json(None))
}

/// The one call whose config may lack `model`.
#[plugin_fn]
pub fn list_models_request(Json(input): Json<Value>) -> FnResult<Json<Value>> {
    let config: Config = serde_json::from_value(input["cfg"].clone())?;
    Ok(Json(wire::list_models(&config).as_wire()))
}

#[plugin_fn]
pub fn parse_list_models_response(Json(input): Json<Value>) -> FnResult<Json<Value>> {
    let reply = reply(&input)?;
    Ok(Json(wire::models_reply(&reply).map_err(bad_reply(&reply))?))
}

// --- speech: the guest asks the host for the request itself ---------------------------------------

fn send(request: &Request) -> Result<Reply, WithReturnCode<Error>> {
    let Json(answer) = unsafe { qmt_http_request(Json(request.as_wire()))? };
    let reply = Reply::from_wire(&answer["resp"]).map_err(Error::msg)?;
    if reply.ok() {
        return Ok(reply);
    }
    let message = reply.complaint();
    Err(structured(match reply.status {
        401 | 403 => json!({"type": "auth_error", "message": message}),
        429 => json!({
            "type": "rate_limited",
            "message": message,
            "retry_after_secs": reply.retry_after(),
        }),
        499 => json!({"type": "cancelled"}),
        500.. => json!({
            "type": "http_status",
            "status_code": reply.status,
            "message": message,
            "retry_after_secs": reply.retry_after(),
        }),
        _ => json!({"type": "provider_error", "message": message}),
    }))
}

#[plugin_fn]
pub fn transcribe(Json(input): Json<Value>) -> FnResult<Json<Value>> {
    let config = config(&input["cfg"])?;
    let reply = send(&wire::transcribe(&config, &input).map_err(bad_request)?)?;
    Ok(Json(
        wire::transcribe_reply(&reply).map_err(bad_reply(&reply))?,
    ))
}

#[plugin_fn]
pub fn speech(Json(input): Json<Value>) -> FnResult<Json<Value>> {
    let config = config(&input["cfg"])?;
    let reply = send(&wire::speech(&config, &input).map_err(bad_request)?)?;
    Ok(Json(wire::speech_reply(&reply)))
}
