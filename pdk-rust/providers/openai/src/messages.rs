//! Messages in the API's form.

use fumehood_pdk::chat::System;
use fumehood_pdk::request::{base64, data_url};
use fumehood_pdk::{ChatMessage, ChatRole, Content, LLMError};
use serde_json::{json, Map, Value};

/// The API's list of messages. `reasoning` says whether thoughts go back with the calls they led to.
pub(crate) fn messages(
    system: &System,
    messages: &[ChatMessage],
    reasoning: bool,
) -> Result<Vec<Value>, LLMError> {
    let mut out = Vec::with_capacity(messages.len() + 1);
    if let Some(text) = system.joined() {
        // one message: several system messages break many chat templates
        out.push(json!({"role": "system", "content": text}));
    }
    for message in messages {
        match message.role {
            ChatRole::User => user(&message.content, &mut out)?,
            ChatRole::Assistant => out.push(assistant(&message.content, reasoning)),
        }
    }
    Ok(out)
}

/// Tool results first, as messages of their own: the API wants them right after the calls.
fn user(content: &[Content], out: &mut Vec<Value>) -> Result<(), LLMError> {
    let mut parts = Vec::new();
    let mut answered = false;
    for block in content {
        match block {
            Content::ToolResult { id, content, .. } => {
                answered = true;
                let mut texts = Vec::new();
                for inner in content {
                    match part(inner)? {
                        Some(Value::String(text)) => texts.push(text),
                        // a tool message holds text only; what else the tool gave follows as the user's
                        Some(other) => parts.push(other),
                        None => {}
                    }
                }
                out.push(json!({"role": "tool", "tool_call_id": id, "content": texts.join("\n")}));
            }
            other => parts.extend(part(other)?),
        }
    }
    if parts.is_empty() && answered {
        return Ok(());
    }
    let content = if parts.iter().all(Value::is_string) {
        let texts: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
        Value::String(texts.join("\n"))
    } else {
        let wrap = |part| match part {
            Value::String(text) => json!({"type": "text", "text": text}),
            other => other,
        };
        Value::Array(parts.into_iter().map(wrap).collect())
    };
    out.push(json!({"role": "user", "content": content}));
    Ok(())
}

/// A block as a part of a user message: a string for text, an object for the rest, nothing for thoughts.
fn part(block: &Content) -> Result<Option<Value>, LLMError> {
    Ok(Some(match block {
        Content::Text { text } => Value::String(text.clone()),
        Content::Image { mime_type, data } => {
            json!({"type": "image_url", "image_url": {"url": data_url(mime_type, data)}})
        }
        Content::ImageUrl { url } => json!({"type": "image_url", "image_url": {"url": url}}),
        Content::Pdf { data } => json!({
            "type": "file",
            "file": {"filename": "document.pdf", "file_data": data_url("application/pdf", data)},
        }),
        Content::Audio { mime_type, data } => json!({
            "type": "input_audio",
            "input_audio": {"data": base64(data), "format": audio_format(mime_type)?},
        }),
        Content::ResourceLink { uri, name, .. } => Value::String(Content::link_text(uri, name.as_deref())),
        Content::Thinking { .. } | Content::ToolUse { .. } | Content::ToolResult { .. } => return Ok(None),
    }))
}

fn audio_format(mime_type: &str) -> Result<&'static str, LLMError> {
    match mime_type {
        "audio/wav" | "audio/x-wav" | "audio/wave" => Ok("wav"),
        "audio/mpeg" | "audio/mp3" => Ok("mp3"),
        other => Err(LLMError::InvalidRequest(format!(
            "audio must be audio/wav or audio/mpeg here, not `{other}`"
        ))),
    }
}

fn assistant(content: &[Content], reasoning: bool) -> Value {
    let mut texts = Vec::new();
    let mut thoughts = Vec::new();
    let mut calls = Vec::new();
    for block in content {
        match block {
            Content::Text { text } => texts.push(text.as_str()),
            Content::Thinking { text, .. } => thoughts.push(text.as_str()),
            Content::ToolUse { id, name, arguments } => calls.push(json!({
                "id": id, "type": "function",
                "function": {"name": name, "arguments": arguments.to_string()},
            })),
            _ => {}
        }
    }
    let mut message = Map::new();
    message.insert("role".into(), "assistant".into());
    let text = texts.join("\n");
    let silent = text.is_empty() && !calls.is_empty();
    message.insert("content".into(), if silent { Value::Null } else { text.into() });
    if !calls.is_empty() {
        message.insert("tool_calls".into(), calls.into());
        if reasoning && !thoughts.is_empty() {
            message.insert("reasoning_content".into(), thoughts.join("\n").into());
        }
    }
    Value::Object(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(list: &str) -> Value {
        let list: Vec<ChatMessage> = serde_json::from_str(list).unwrap();
        Value::Array(messages(&System::default(), &list, true).unwrap())
    }

    #[test]
    fn plain_text_stays_a_string() {
        assert_eq!(
            convert(r#"[{"role":"User","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]"#),
            json!([{"role": "user", "content": "a\nb"}])
        );
        assert_eq!(convert(r#"[{"role":"User","content":[]}]"#), json!([{"role": "user", "content": ""}]));
    }

    #[test]
    fn media() {
        let list = r#"[{"role":"User","content":[
            {"type":"text","text":"see"},{"type":"image","mime_type":"image/png","data":[137,80]},
            {"type":"image_url","url":"https://x/y.png"},{"type":"pdf","data":[37]},
            {"type":"audio","mime_type":"audio/mpeg","data":[82]},{"type":"resource_link","uri":"u","name":"n"}]}]"#;
        assert_eq!(
            convert(list),
            json!([{"role": "user", "content": [
                {"type": "text", "text": "see"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVA="}},
                {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
                {"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,JQ=="}},
                {"type": "input_audio", "input_audio": {"data": "Ug==", "format": "mp3"}},
                {"type": "text", "text": "n (u)"},
            ]}])
        );
        let flac =
            ChatMessage::user("x").with(Content::Audio { mime_type: "audio/flac".into(), data: vec![] });
        let error = messages(&System::default(), &[flac], false).unwrap_err();
        assert!(matches!(error, LLMError::InvalidRequest(m) if m.contains("audio/flac")));
    }

    #[test]
    fn a_turn_with_tools() {
        let list = r#"[
            {"role":"Assistant","content":[{"type":"thinking","text":"t"},{"type":"tool_use","id":"c1","name":"f","arguments":{"q":1}}]},
            {"role":"User","content":[
                {"type":"text","text":"and?"},
                {"type":"tool_result","id":"c1","is_error":false,"content":[
                    {"type":"text","text":"42"},{"type":"image","mime_type":"image/png","data":[1]}]}]}]"#;
        assert_eq!(
            convert(list),
            json!([
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"q\":1}"}}
                ], "reasoning_content": "t"},
                {"role": "tool", "tool_call_id": "c1", "content": "42"},
                {"role": "user", "content": [
                    {"type": "text", "text": "and?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AQ=="}},
                ]},
            ])
        );
    }
}
