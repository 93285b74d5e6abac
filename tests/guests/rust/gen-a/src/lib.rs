//! A provider of generation A: it sends its own requests through Extism's `http_request`, takes
//! messages in the old shape, cannot stream and fails with plain text.

use extism_pdk::*;
use openai_like::config::{schema, DEFAULT_BASE_URL};
use openai_like::wire::{self, Reply, Request};
use openai_like::Config;
use serde_json::{json, Map, Value};

fn config(input: &Value) -> Result<Config, Error> {
    Ok(serde_json::from_value(input.clone())?)
}

fn send(request: &Request) -> Result<Reply, Error> {
    let asked: HttpRequest = serde_json::from_value(request.as_extism())?;
    let body = (!request.body.is_empty()).then(|| request.body.clone());
    let answer = http::request(&asked, body)?;
    let headers = answer.headers().iter();
    let headers: Map<String, Value> = headers
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    let reply = Reply {
        status: answer.status_code(),
        headers: headers.into(),
        body: answer.body(),
    };
    if reply.ok() {
        return Ok(reply);
    }
    let wait = reply
        .retry_after()
        .map_or(String::new(), |wait| format!(" (retry after {wait} s)"));
    Err(Error::msg(format!(
        "HTTP {}: {}{wait}",
        reply.status,
        reply.complaint()
    )))
}

#[plugin_fn]
pub fn name() -> FnResult<String> {
    Ok("gen-a".into())
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
pub fn from_config(Json(input): Json<Value>) -> FnResult<Json<Config>> {
    let config = config(&input)?;
    config.model().map_err(Error::msg)?;
    Ok(Json(config))
}

/// The reply of this generation: no finish reason, and two counts for usage.
#[plugin_fn]
pub fn chat(Json(input): Json<Value>) -> FnResult<Json<Value>> {
    let config = config(&input["cfg"])?;
    let messages = &input["messages"];
    let old = |message: &Value| {
        message["message_type"].is_string() || message["message_type"].is_object()
    };
    if !messages.as_array().is_some_and(|list| list.iter().all(old)) {
        return Err(Error::msg("missing field `message_type`").into());
    }
    let request = wire::chat(&config, messages, &input["tools"], false).map_err(Error::msg)?;
    let answer = wire::chat_reply(&send(&request)?).map_err(Error::msg)?;
    let usage = &answer["usage"];
    let counts = json!({
        "input_tokens": usage["input_tokens"],
        "output_tokens": usage["output_tokens"],
    });
    Ok(Json(json!({
        "text": answer["text"],
        "tool_calls": answer["tool_calls"],
        "thinking": answer["thinking"],
        "usage": if usage.is_object() { counts } else { Value::Null },
    })))
}

#[plugin_fn]
pub fn embed(Json(input): Json<Value>) -> FnResult<Json<Value>> {
    let config = config(&input["cfg"])?;
    let request = wire::embed(&config, &input["inputs"]).map_err(Error::msg)?;
    Ok(Json(
        wire::embed_reply(&send(&request)?).map_err(Error::msg)?,
    ))
}

#[plugin_fn]
pub fn complete(Json(input): Json<Value>) -> FnResult<Json<Value>> {
    let config = config(&input["cfg"])?;
    let request = wire::complete(&config, &input["req"]).map_err(Error::msg)?;
    Ok(Json(
        wire::complete_reply(&send(&request)?).map_err(Error::msg)?,
    ))
}

/// Its input is the config itself, not wrapped.
#[plugin_fn]
pub fn list_models(Json(input): Json<Value>) -> FnResult<Json<Value>> {
    let config = config(&input)?;
    Ok(Json(
        wire::models_reply(&send(&wire::list_models(&config))?).map_err(Error::msg)?,
    ))
}
