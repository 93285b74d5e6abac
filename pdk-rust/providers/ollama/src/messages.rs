//! Messages in the API's form: one string each, images apart.

use fumehood_pdk::chat::System;
use fumehood_pdk::request::base64;
use fumehood_pdk::{ChatMessage, ChatRole, Content, LLMError};
use serde_json::{json, Map, Value};

/// The API's list of messages.
pub(crate) fn messages(system: &System, messages: &[ChatMessage]) -> Result<Vec<Value>, LLMError> {
    let mut out = Vec::with_capacity(messages.len() + 1);
    if let Some(text) = system.joined() {
        out.push(json!({"role": "system", "content": text}));
    }
    for message in messages {
        match message.role {
            ChatRole::User => user(&message.content, &mut out)?,
            ChatRole::Assistant => out.push(assistant(&message.content)),
        }
    }
    Ok(out)
}

/// Texts and images of a message.
#[derive(Default)]
struct Parts {
    texts: Vec<String>,
    images: Vec<Value>,
}

impl Parts {
    fn add(&mut self, block: &Content) -> Result<(), LLMError> {
        let refused = |what: &str| {
            Err(LLMError::InvalidRequest(format!("Ollama takes text and images by their bytes, not {what}")))
        };
        match block {
            Content::Text { text } => self.texts.push(text.clone()),
            Content::Image { data, .. } => self.images.push(base64(data).into()),
            Content::ResourceLink { uri, name, .. } => {
                self.texts.push(Content::link_text(uri, name.as_deref()));
            }
            Content::ImageUrl { .. } => return refused("an image's address"),
            Content::Pdf { .. } => return refused("PDF"),
            Content::Audio { .. } => return refused("audio"),
            Content::Thinking { .. } | Content::ToolUse { .. } | Content::ToolResult { .. } => {}
        }
        Ok(())
    }

    fn message(self, role: &str) -> Map<String, Value> {
        let mut message = Map::new();
        message.insert("role".into(), role.into());
        message.insert("content".into(), self.texts.join("\n").into());
        if !self.images.is_empty() {
            message.insert("images".into(), self.images.into());
        }
        message
    }
}

/// Tool results first, as messages of their own.
fn user(content: &[Content], out: &mut Vec<Value>) -> Result<(), LLMError> {
    let mut rest = Parts::default();
    let mut answered = false;
    for block in content {
        let Content::ToolResult { id, name, content, .. } = block else {
            rest.add(block)?;
            continue;
        };
        answered = true;
        let mut parts = Parts::default();
        for inner in content {
            parts.add(inner)?;
        }
        let mut message = parts.message("tool");
        // by the tool's name, as the API knows no ids; both are sent, servers in its image know either
        message.insert("tool_name".into(), name.clone().unwrap_or_else(|| id.clone()).into());
        message.insert("tool_call_id".into(), id.clone().into());
        out.push(Value::Object(message));
    }
    if !(answered && rest.texts.is_empty() && rest.images.is_empty()) {
        out.push(Value::Object(rest.message("user")));
    }
    Ok(())
}

fn assistant(content: &[Content]) -> Value {
    let mut thoughts = Vec::new();
    let mut calls = Vec::new();
    for block in content {
        match block {
            Content::Thinking { text, .. } => thoughts.push(text.as_str()),
            Content::ToolUse { id, name, arguments } => {
                let arguments = if arguments.is_object() { arguments.clone() } else { json!({}) };
                calls.push(json!({"id": id, "function": {"name": name, "arguments": arguments}}));
            }
            _ => {}
        }
    }
    let mut message = Map::new();
    message.insert("role".into(), "assistant".into());
    message.insert("content".into(), Content::join_text(content).into());
    if !thoughts.is_empty() {
        message.insert("thinking".into(), thoughts.join("\n").into());
    }
    if !calls.is_empty() {
        message.insert("tool_calls".into(), calls.into());
    }
    Value::Object(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind() {
        let list: Vec<ChatMessage> = serde_json::from_str(
            r#"[
            {"role":"User","content":[{"type":"text","text":"see"},{"type":"image","mime_type":"image/png","data":[137,80]},
                {"type":"resource_link","uri":"u"}]},
            {"role":"Assistant","content":[{"type":"thinking","text":"t"},{"type":"tool_use","id":"c1","name":"f","arguments":{"q":1}}]},
            {"role":"User","content":[{"type":"tool_result","id":"c1","name":"f","is_error":false,"content":[{"type":"text","text":"42"}]}]}]"#,
        )
        .unwrap();
        assert_eq!(
            Value::Array(messages(&System(vec!["s".into()]), &list).unwrap()),
            json!([
                {"role": "system", "content": "s"},
                {"role": "user", "content": "see\nu", "images": ["iVA="]},
                {"role": "assistant", "content": "", "thinking": "t",
                 "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": {"q": 1}}}]},
                {"role": "tool", "content": "42", "tool_name": "f", "tool_call_id": "c1"},
            ])
        );
    }

    #[test]
    fn what_it_cannot_take() {
        for block in [
            Content::ImageUrl { url: "u".into() },
            Content::Pdf { data: vec![] },
            Content::Audio { mime_type: "audio/wav".into(), data: vec![] },
        ] {
            let message = ChatMessage::user("x").with(block);
            assert!(matches!(messages(&System::default(), &[message]), Err(LLMError::InvalidRequest(_))));
        }
    }
}
