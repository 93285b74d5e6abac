//! Requests and replies: the HTTP forms of the provider ABI, and OpenAI's JSON inside them.

use crate::config::Config;
use serde_json::{json, Map, Value};

/// One HTTP request: method, URL, JSON body.
pub struct Request {
    pub method: &'static str,
    pub url: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Request {
    fn new(config: &Config, method: &'static str, endpoint: &str, body: Vec<u8>) -> Request {
        let mut headers = vec![];
        if !body.is_empty() {
            headers.push(("content-type", "application/json".to_string()));
        }
        if !config.api_key.is_empty() {
            headers.push(("authorization", format!("Bearer {}", config.api_key)));
        }
        let url = config.url(endpoint);
        Request {
            method,
            url,
            headers,
            body,
        }
    }

    fn post(config: &Config, endpoint: &str, body: &Value) -> Request {
        Request::new(config, "POST", endpoint, body.to_string().into_bytes())
    }

    fn header_map(&self) -> Map<String, Value> {
        let pairs = self.headers.iter();
        pairs
            .map(|(name, value)| (name.to_string(), json!(value)))
            .collect()
    }

    /// `{"req":{"head":…,"body":[…]}}`, as generations B and C write it.
    pub fn as_wire(&self) -> Value {
        json!({"req": {
            "head": {
                "method": self.method,
                "uri": self.url,
                "headers": self.header_map(),
                "version": "HTTP/1.1",
            },
            "body": self.body,
        }})
    }

    /// `{"url":…,"headers":…,"method":…}`, the plain Extism form of generation A; the body is apart.
    pub fn as_extism(&self) -> Value {
        json!({"url": self.url, "headers": self.header_map(), "method": self.method})
    }
}

/// One HTTP reply, decoded from either form.
pub struct Reply {
    pub status: u16,
    pub headers: Value,
    pub body: Vec<u8>,
}

impl Reply {
    /// From `{"head":…,"body":[…]}`, the inside of a wire reply.
    pub fn from_wire(value: &Value) -> Result<Reply, String> {
        let status = value.pointer("/head/status").and_then(Value::as_u64);
        let bytes = value["body"].as_array().ok_or("a reply has a body")?;
        let body: Option<Vec<u8>> = bytes
            .iter()
            .map(|byte| byte.as_u64().and_then(|byte| u8::try_from(byte).ok()))
            .collect();
        Ok(Reply {
            status: status
                .and_then(|code| u16::try_from(code).ok())
                .ok_or("a reply has a status")?,
            headers: value["head"]["headers"].clone(),
            body: body.ok_or("a body is an array of bytes")?,
        })
    }

    pub fn ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub fn json(&self) -> Result<Value, String> {
        serde_json::from_slice(&self.body).map_err(|error| error.to_string())
    }

    /// What the API says went wrong: `/error/message`, else the body, else the status.
    pub fn complaint(&self) -> String {
        let said = self.json().ok().and_then(|body| {
            body.pointer("/error/message")
                .and_then(Value::as_str)
                .map(str::to_string)
        });
        let text = said.unwrap_or_else(|| String::from_utf8_lossy(&self.body).trim().to_string());
        if text.is_empty() {
            format!("HTTP {}", self.status)
        } else {
            text
        }
    }

    /// Seconds of `retry-after`, if it is a number.
    pub fn retry_after(&self) -> Option<u64> {
        self.headers["retry-after"].as_str()?.parse().ok()
    }
}

// --- requests -----------------------------------------------------------------------------------

/// `messages` in content blocks (B, C) and in the old form (A).
pub fn chat(
    config: &Config,
    messages: &Value,
    tools: &Value,
    stream: bool,
) -> Result<Request, String> {
    let mut list: Vec<Value> = config
        .system_text()
        .map(|text| json!({"role": "system", "content": text}))
        .into_iter()
        .collect();
    for message in messages.as_array().ok_or("messages is a list")? {
        if message.get("message_type").is_some() {
            old_message(message, &mut list)?;
        } else {
            block_message(message, &mut list)?;
        }
    }
    let mut body = json!({"model": config.model()?, "messages": list});
    if stream {
        body["stream"] = json!(true);
        body["stream_options"] = json!({"include_usage": true});
    }
    if let Some(limit) = config.max_tokens {
        body["max_tokens"] = json!(limit);
    }
    if let Some(temperature) = config.temperature {
        body["temperature"] = json!(temperature);
    }
    if tools.as_array().is_some_and(|tools| !tools.is_empty()) {
        body["tools"] = tools.clone();
        if let Some(choice) = &config.tool_choice {
            body["tool_choice"] = choice.clone();
        }
    }
    Ok(Request::post(config, "chat/completions", &body))
}

fn role(message: &Value) -> Result<&'static str, String> {
    match message["role"].as_str() {
        Some("User") => Ok("user"),
        Some("Assistant") => Ok("assistant"),
        other => Err(format!("no role {other:?}")),
    }
}

fn block_message(message: &Value, list: &mut Vec<Value>) -> Result<(), String> {
    let role = role(message)?;
    let (mut parts, mut calls) = (vec![], vec![]);
    for block in message["content"].as_array().ok_or("content is a list")? {
        match block["type"].as_str().ok_or("a block has a type")? {
            "text" => parts.push(json!({"type": "text", "text": block["text"]})),
            "image_url" => {
                parts.push(json!({"type": "image_url", "image_url": {"url": block["url"]}}));
            }
            "image" => {
                let data = block["data"].as_array().map_or(0, Vec::len);
                let note = format!(
                    "[{} of {data} bytes]",
                    block["mime_type"].as_str().unwrap_or("")
                );
                parts.push(json!({"type": "text", "text": note}));
            }
            "tool_use" => calls.push(json!({
                "id": block["id"],
                "type": "function",
                "function": {"name": block["name"], "arguments": block["arguments"].to_string()},
            })),
            "tool_result" => {
                let texts = block["content"].as_array().into_iter().flatten();
                let text: Vec<&str> = texts.filter_map(|part| part["text"].as_str()).collect();
                let id = &block["id"];
                list.push(json!({"role": "tool", "tool_call_id": id, "content": text.join("\n")}));
            }
            "thinking" | "pdf" | "audio" | "resource_link" => {}
            other => return Err(format!("unknown variant `{other}`")),
        }
    }
    if !calls.is_empty() {
        list.push(json!({"role": role, "content": parts, "tool_calls": calls}));
    } else if !parts.is_empty() {
        let only_text = parts.len() == 1 && parts[0]["type"] == "text";
        let content = if only_text {
            parts[0]["text"].clone()
        } else {
            json!(parts)
        };
        list.push(json!({"role": role, "content": content}));
    }
    Ok(())
}

fn old_message(message: &Value, list: &mut Vec<Value>) -> Result<(), String> {
    let role = role(message)?;
    let text = &message["content"];
    let kind = &message["message_type"];
    if let Some(calls) = kind.get("ToolUse") {
        list.push(json!({"role": role, "content": text, "tool_calls": calls}));
    } else if let Some(results) = kind.get("ToolResult").and_then(Value::as_array) {
        for result in results {
            let said = &result["function"]["arguments"];
            list.push(json!({"role": "tool", "tool_call_id": result["id"], "content": said}));
        }
    } else if let Some(url) = kind.get("ImageURL") {
        let picture = json!({"type": "image_url", "image_url": {"url": url}});
        let words = json!({"type": "text", "text": text});
        list.push(json!({"role": role, "content": [words, picture]}));
    } else if kind == "Text" {
        list.push(json!({"role": role, "content": text}));
    } else if let Some(picture) = kind.get("Image") {
        let size = picture[1].as_array().map_or(0, Vec::len);
        let note = format!(
            "{} [{} of {size} bytes]",
            text.as_str().unwrap_or(""),
            picture[0]
        );
        list.push(json!({"role": role, "content": note}));
    } else {
        return Err(format!("unknown message_type {kind}"));
    }
    Ok(())
}

pub fn embed(config: &Config, inputs: &Value) -> Result<Request, String> {
    let body = json!({"model": config.model()?, "input": inputs});
    Ok(Request::post(config, "embeddings", &body))
}

pub fn complete(config: &Config, request: &Value) -> Result<Request, String> {
    let mut body = json!({"model": config.model()?, "prompt": request["prompt"]});
    for key in ["suffix", "max_tokens", "temperature"] {
        if !request[key].is_null() {
            body[key] = request[key].clone();
        }
    }
    Ok(Request::post(config, "completions", &body))
}

pub fn list_models(config: &Config) -> Request {
    Request::new(config, "GET", "models", vec![])
}

/// Speech in, as JSON: no multipart, the stub endpoint takes it so.
pub fn transcribe(config: &Config, request: &Value) -> Result<Request, String> {
    let mut body = request.clone();
    body.as_object_mut()
        .ok_or("a request is an object")?
        .remove("cfg");
    if body["model"].is_null() {
        body["model"] = json!(config.model()?);
    }
    Ok(Request::post(config, "audio/transcriptions", &body))
}

pub fn speech(config: &Config, request: &Value) -> Result<Request, String> {
    let voice = request
        .pointer("/voice_config/name")
        .cloned()
        .unwrap_or_else(|| json!("alloy"));
    let mut body = json!({"model": config.model()?, "input": request["text"], "voice": voice});
    for (key, name) in [
        ("format", "response_format"),
        ("speed", "speed"),
        ("model", "model"),
    ] {
        if !request[key].is_null() {
            body[name] = request[key].clone();
        }
    }
    Ok(Request::post(config, "audio/speech", &body))
}

// --- replies ------------------------------------------------------------------------------------

pub fn finish_reason(text: &str) -> &'static str {
    match text {
        "stop" => "Stop",
        "length" => "Length",
        "content_filter" => "ContentFilter",
        "tool_calls" | "function_call" => "ToolCalls",
        _ => "Unknown",
    }
}

pub fn usage(value: &Value) -> Value {
    let number = |pointer: &str| value.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    json!({
        "input_tokens": number("/prompt_tokens"),
        "output_tokens": number("/completion_tokens"),
        "reasoning_tokens": number("/completion_tokens_details/reasoning_tokens"),
        "cache_read": number("/prompt_tokens_details/cached_tokens"),
        "cache_write": 0,
    })
}

pub fn chat_reply(reply: &Reply) -> Result<Value, String> {
    let body = reply.json()?;
    let choice = body
        .pointer("/choices/0")
        .ok_or("the reply has no choices")?;
    let message = &choice["message"];
    Ok(json!({
        "text": message["content"],
        "tool_calls": message.get("tool_calls").cloned().unwrap_or(Value::Null),
        "thinking": message.get("reasoning_content").cloned().unwrap_or(Value::Null),
        "usage": if body["usage"].is_object() { usage(&body["usage"]) } else { Value::Null },
        "finish_reason": choice["finish_reason"].as_str().map(finish_reason),
    }))
}

pub fn embed_reply(reply: &Reply) -> Result<Value, String> {
    let body = reply.json()?;
    let rows = body["data"].as_array().ok_or("the reply has no data")?;
    Ok(rows.iter().map(|row| row["embedding"].clone()).collect())
}

pub fn complete_reply(reply: &Reply) -> Result<Value, String> {
    let body = reply.json()?;
    let text = body
        .pointer("/choices/0/text")
        .ok_or("the reply has no text")?;
    Ok(json!({"text": text}))
}

pub fn models_reply(reply: &Reply) -> Result<Value, String> {
    let body = reply.json()?;
    let rows = body["data"].as_array().ok_or("the reply has no data")?;
    Ok(rows.iter().map(|row| row["id"].clone()).collect())
}

pub fn transcribe_reply(reply: &Reply) -> Result<Value, String> {
    Ok(json!({"text": reply.json()?["text"]}))
}

/// Raw audio, as base64 with its type.
pub fn speech_reply(reply: &Reply) -> Value {
    json!({
        "audio_base64": base64(&reply.body),
        "mime_type": reply.headers["content-type"].as_str().unwrap_or("audio/mpeg"),
    })
}

/// The standard alphabet with padding.
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = group
            .iter()
            .fold(0_u32, |word, byte| (word << 8) | u32::from(*byte));
        let word = word << (8 * (3 - group.len()));
        for place in 0..4 {
            let index = (word >> (18 - 6 * place)) & 63;
            let letter = if place <= group.len() {
                ALPHABET[index as usize]
            } else {
                b'='
            };
            text.push(char::from(letter));
        }
    }
    text
}
