//! Successful replies.

use crate::errors;
use fumehood_pdk::error::response_format;
use fumehood_pdk::{ChatReply, FinishReason, LLMError, ToolCall, Usage};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Message {
    content: Vec<Block>,
    #[serde(default)]
    stop_reason: Option<String>,
    #[serde(default)]
    usage: Option<ApiUsage>,
}

/// A block of an answer; kinds unknown to us carry nothing we could hand on.
#[derive(Deserialize)]
pub(crate) struct Block {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) text: Option<String>,
    #[serde(default)]
    pub(crate) thinking: Option<String>,
    #[serde(default)]
    pub(crate) id: Option<String>,
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) input: Option<Value>,
}

/// Token counts as the API reports them.
#[derive(Deserialize)]
pub(crate) struct ApiUsage {
    #[serde(default)]
    input_tokens: Option<u32>,
    #[serde(default)]
    output_tokens: Option<u32>,
    #[serde(default)]
    cache_read_input_tokens: Option<u32>,
    #[serde(default)]
    cache_creation_input_tokens: Option<u32>,
}

impl From<ApiUsage> for Usage {
    fn from(usage: ApiUsage) -> Usage {
        Usage {
            input_tokens: usage.input_tokens.unwrap_or(0),
            output_tokens: usage.output_tokens.unwrap_or(0),
            reasoning_tokens: 0,
            cache_read: usage.cache_read_input_tokens.unwrap_or(0),
            cache_write: usage.cache_creation_input_tokens.unwrap_or(0),
        }
    }
}

/// A chat's answer.
pub(crate) fn parse(body: &[u8]) -> Result<ChatReply, LLMError> {
    let message: Message = serde_json::from_slice(body).map_err(|error| {
        // some gateways say 200 and mean otherwise
        errors::in_body(body).unwrap_or_else(|| response_format(format!("chat: {error}"), body))
    })?;
    let mut text: Option<String> = None;
    let mut thinking: Option<String> = None;
    let mut calls = Vec::new();
    for block in message.content {
        match block.kind.as_str() {
            "text" => text.get_or_insert_default().push_str(&block.text.unwrap_or_default()),
            "thinking" => thinking.get_or_insert_default().push_str(&block.thinking.unwrap_or_default()),
            "tool_use" => {
                let (Some(id), Some(name)) = (block.id, block.name) else {
                    return Err(response_format("chat: a tool call without id or name", body));
                };
                let input = block.input.map_or_else(|| "{}".to_string(), |input| input.to_string());
                calls.push(ToolCall::new(id, name, input));
            }
            _ => {}
        }
    }
    Ok(ChatReply {
        text,
        thinking,
        tool_calls: (!calls.is_empty()).then_some(calls),
        usage: message.usage.map(Usage::from),
        finish_reason: message.stop_reason.map(|word| FinishReason::from_vendor(&word)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_with_everything() {
        let body = json!({
            "id": "msg", "type": "message", "role": "assistant", "model": "m", "stop_sequence": null,
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "redacted_thinking", "data": "x"},
                {"type": "text", "text": "a"}, {"type": "text", "text": "b"},
                {"type": "tool_use", "id": "c1", "name": "f", "input": {"q": 1}},
            ],
            "stop_reason": "tool_use",
            "usage": {"input_tokens": 5, "output_tokens": 4, "cache_read_input_tokens": 3, "cache_creation_input_tokens": null},
        });
        let reply = parse(body.to_string().as_bytes()).unwrap();
        assert_eq!(
            serde_json::to_value(reply).unwrap(),
            json!({
                "text": "ab", "thinking": "hm", "finish_reason": "ToolCalls",
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"q\":1}"}}],
                "usage": {"input_tokens": 5, "output_tokens": 4, "reasoning_tokens": 0, "cache_read": 3, "cache_write": 0},
            })
        );
    }

    #[test]
    fn not_an_answer() {
        for body in ["junk", "{}", r#"{"content":[{"type":"tool_use"}]}"#, r#"{"content":"a"}"#] {
            assert!(matches!(parse(body.as_bytes()), Err(LLMError::ResponseFormatError { .. })), "{body}");
        }
        let error =
            parse(br#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#).unwrap_err();
        assert!(matches!(error, LLMError::Provider(failure) if failure.message == "m"));
    }
}
