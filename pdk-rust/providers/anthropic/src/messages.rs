//! Messages in the API's form.

use fumehood_pdk::request::base64;
use fumehood_pdk::{CacheHint, ChatMessage, ChatRole, Content, LLMError};
use serde_json::{json, Value};

/// The API's list of messages.
pub(crate) fn messages(messages: &[ChatMessage]) -> Result<Vec<Value>, LLMError> {
    let mut out = Vec::with_capacity(messages.len());
    for message in messages {
        let role = match message.role {
            ChatRole::User => "user",
            ChatRole::Assistant => "assistant",
        };
        // the API wants tool results before everything else
        let (results, others): (Vec<_>, Vec<_>) =
            message.content.iter().partition(|block| matches!(block, Content::ToolResult { .. }));
        let mut blocks = Vec::with_capacity(message.content.len());
        for block in results.into_iter().chain(others) {
            blocks.extend(convert(block)?);
        }
        if blocks.is_empty() {
            // a message of nothing is refused, and so are empty texts
            continue;
        }
        if let (Some(CacheHint::Ephemeral { ttl_seconds }), Some(Value::Object(last))) =
            (message.cache, blocks.last_mut())
        {
            // the vendor knows five minutes, its default, and an hour
            let control = match ttl_seconds {
                Some(seconds) if seconds > 300 => json!({"type": "ephemeral", "ttl": "1h"}),
                _ => json!({"type": "ephemeral"}),
            };
            last.insert("cache_control".into(), control);
        }
        out.push(json!({"role": role, "content": blocks}));
    }
    Ok(out)
}

fn convert(block: &Content) -> Result<Option<Value>, LLMError> {
    Ok(match block {
        Content::Text { text } if text.is_empty() => None,
        Content::Text { text } => Some(json!({"type": "text", "text": text})),
        Content::Image { mime_type, data } => Some(json!({
            "type": "image", "source": {"type": "base64", "media_type": mime_type, "data": base64(data)},
        })),
        Content::ImageUrl { url } => Some(json!({"type": "image", "source": {"type": "url", "url": url}})),
        Content::Pdf { data } => Some(json!({
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": base64(data)},
        })),
        Content::Audio { .. } => {
            return Err(LLMError::InvalidRequest("the Messages API takes no audio".into()));
        }
        // thoughts without the vendor's signature are refused
        Content::Thinking { signature: None, .. } => None,
        Content::Thinking { text, signature: Some(signature) } => {
            Some(json!({"type": "thinking", "thinking": text, "signature": signature}))
        }
        Content::ToolUse { id, name, arguments } => {
            let input = if arguments.is_object() { arguments.clone() } else { json!({}) };
            Some(json!({"type": "tool_use", "id": id, "name": name, "input": input}))
        }
        Content::ToolResult { id, is_error, content, .. } => {
            let mut inner = Vec::with_capacity(content.len());
            for block in content {
                inner.extend(convert(block)?);
            }
            let mut result = json!({"type": "tool_result", "tool_use_id": id, "content": inner});
            if *is_error {
                result["is_error"] = true.into();
            }
            Some(result)
        }
        Content::ResourceLink { uri, name, .. } => {
            Some(json!({"type": "text", "text": Content::link_text(uri, name.as_deref())}))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(list: &str) -> Value {
        let list: Vec<ChatMessage> = serde_json::from_str(list).unwrap();
        Value::Array(messages(&list).unwrap())
    }

    #[test]
    fn every_kind() {
        let list = r#"[
            {"role":"User","content":[{"type":"text","text":"see"},{"type":"text","text":""},
                {"type":"image","mime_type":"image/png","data":[137,80]},{"type":"image_url","url":"https://x/y.png"},
                {"type":"pdf","data":[37]},{"type":"resource_link","uri":"u","name":"n"}],"cache":{"ephemeral":{}}},
            {"role":"Assistant","content":[{"type":"thinking","text":"t","signature":"s"},{"type":"thinking","text":"u"},
                {"type":"tool_use","id":"c1","name":"f","arguments":{"q":1}},{"type":"tool_use","id":"c2","name":"g","arguments":null}]},
            {"role":"User","content":[{"type":"text","text":"and?"},
                {"type":"tool_result","id":"c1","is_error":true,"content":[{"type":"text","text":"42"}]}],
                "cache":{"ephemeral":{"ttl_seconds":3600}}},
            {"role":"Assistant","content":[{"type":"text","text":""}]}]"#;
        assert_eq!(
            convert(list),
            json!([
                {"role": "user", "content": [
                    {"type": "text", "text": "see"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVA="}},
                    {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
                    {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JQ=="}},
                    {"type": "text", "text": "n (u)", "cache_control": {"type": "ephemeral"}},
                ]},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "t", "signature": "s"},
                    {"type": "tool_use", "id": "c1", "name": "f", "input": {"q": 1}},
                    {"type": "tool_use", "id": "c2", "name": "g", "input": {}},
                ]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "42"}], "is_error": true},
                    {"type": "text", "text": "and?", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
                ]},
            ])
        );
    }

    #[test]
    fn audio_is_refused() {
        let message =
            ChatMessage::user("x").with(Content::Audio { mime_type: "audio/wav".into(), data: vec![] });
        assert!(matches!(messages(&[message]), Err(LLMError::InvalidRequest(_))));
    }
}
