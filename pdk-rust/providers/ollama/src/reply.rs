//! Successful replies. A line of a stream has the same form as a whole answer.

use crate::errors;
use fumehood_pdk::error::response_format;
use fumehood_pdk::{ChatReply, FinishReason, LLMError, ToolCall, Usage};
use serde::Deserialize;
use serde_json::Value;

/// An answer, or a piece of one.
#[derive(Deserialize)]
pub(crate) struct Chat {
    pub(crate) message: Message,
    #[serde(default)]
    pub(crate) done: bool,
    #[serde(default)]
    done_reason: Option<String>,
    #[serde(default)]
    prompt_eval_count: Option<u32>,
    #[serde(default)]
    eval_count: Option<u32>,
}

#[derive(Deserialize)]
pub(crate) struct Message {
    #[serde(default)]
    pub(crate) content: Option<String>,
    #[serde(default)]
    pub(crate) thinking: Option<String>,
    #[serde(default)]
    pub(crate) tool_calls: Option<Vec<Call>>,
}

#[derive(Deserialize)]
pub(crate) struct Call {
    #[serde(default)]
    id: Option<String>,
    function: Function,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    #[serde(default)]
    arguments: Value,
}

impl Chat {
    /// One document, whole answer or line.
    pub(crate) fn read(text: &[u8]) -> Result<Chat, LLMError> {
        serde_json::from_slice(text).map_err(|error| {
            errors::in_body(text).unwrap_or_else(|| response_format(format!("chat: {error}"), text))
        })
    }

    pub(crate) fn usage(&self) -> Option<Usage> {
        if self.prompt_eval_count.is_none() && self.eval_count.is_none() {
            return None;
        }
        Some(Usage {
            input_tokens: self.prompt_eval_count.unwrap_or(0),
            output_tokens: self.eval_count.unwrap_or(0),
            ..Usage::default()
        })
    }

    /// The API says `stop` after calling tools as well.
    pub(crate) fn finish(&self, called: bool) -> FinishReason {
        match FinishReason::from_vendor(self.done_reason.as_deref().unwrap_or("stop")) {
            FinishReason::Stop if called => FinishReason::ToolCalls,
            other => other,
        }
    }
}

impl Call {
    /// The API gives no ids of its own: the position in the answer serves.
    pub(crate) fn tool_call(self, index: usize) -> ToolCall {
        let arguments = match self.function.arguments {
            Value::Null => "{}".to_string(),
            Value::String(text) => text,
            other => other.to_string(),
        };
        let id = self.id.filter(|id| !id.is_empty()).unwrap_or_else(|| format!("call_{index}"));
        ToolCall::new(id, self.function.name, arguments)
    }
}

/// A chat's answer.
pub(crate) fn parse(body: &[u8]) -> Result<ChatReply, LLMError> {
    let mut chat = Chat::read(body)?;
    let calls: Vec<ToolCall> = chat
        .message
        .tool_calls
        .take()
        .unwrap_or_default()
        .into_iter()
        .enumerate()
        .map(|(index, call)| call.tool_call(index))
        .collect();
    Ok(ChatReply {
        text: chat.message.content.take().filter(|text| calls.is_empty() || !text.is_empty()),
        thinking: chat.message.thinking.take().filter(|text| !text.is_empty()),
        finish_reason: chat.done.then(|| chat.finish(!calls.is_empty())),
        usage: chat.usage(),
        tool_calls: (!calls.is_empty()).then_some(calls),
    })
}

#[derive(Deserialize)]
struct Embeddings {
    embeddings: Vec<Vec<f32>>,
}

/// The vectors in the order of the inputs.
pub(crate) fn parse_embeddings(body: &[u8]) -> Result<Vec<Vec<f32>>, LLMError> {
    let reply: Embeddings = serde_json::from_slice(body)
        .map_err(|error| response_format(format!("embeddings: {error}"), body))?;
    Ok(reply.embeddings)
}

#[derive(Deserialize)]
struct Generated {
    response: String,
}

/// The continuation.
pub(crate) fn parse_completion(body: &[u8]) -> Result<String, LLMError> {
    let reply: Generated = serde_json::from_slice(body)
        .map_err(|error| response_format(format!("completion: {error}"), body))?;
    Ok(reply.response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer() {
        let body = json!({"model": "m", "message": {"role": "assistant", "content": "hi", "thinking": "hm"},
                          "done": true, "done_reason": "length", "prompt_eval_count": 3, "eval_count": 2});
        assert_eq!(
            serde_json::to_value(parse(body.to_string().as_bytes()).unwrap()).unwrap(),
            json!({"text": "hi", "thinking": "hm", "tool_calls": null, "finish_reason": "Length",
                   "usage": {"input_tokens": 3, "output_tokens": 2, "reasoning_tokens": 0, "cache_read": 0, "cache_write": 0}})
        );
    }

    #[test]
    fn calls() {
        let body = json!({"message": {"content": "", "tool_calls": [
            {"function": {"name": "f", "arguments": {"q": 1}}}, {"function": {"name": "g"}}]}, "done": true});
        let reply = parse(body.to_string().as_bytes()).unwrap();
        assert_eq!((reply.text, reply.finish_reason), (None, Some(FinishReason::ToolCalls)));
        let expected = vec![ToolCall::new("call_0", "f", "{\"q\":1}"), ToolCall::new("call_1", "g", "{}")];
        assert_eq!(reply.tool_calls, Some(expected));
    }

    #[test]
    fn not_an_answer() {
        for body in ["junk", "{}", r#"{"message":{"tool_calls":[{}]}}"#] {
            assert!(matches!(parse(body.as_bytes()), Err(LLMError::ResponseFormatError { .. })), "{body}");
        }
        assert!(matches!(parse(br#"{"error":"no"}"#), Err(LLMError::Provider(f)) if f.message == "no"));
    }

    #[test]
    fn vectors_and_texts() {
        assert_eq!(parse_embeddings(br#"{"embeddings":[[1,2.5],[3,4]]}"#).unwrap(), [[1.0, 2.5], [3.0, 4.0]]);
        assert!(parse_embeddings(br#"{"embedding":[1]}"#).is_err());
        assert_eq!(parse_completion(br#"{"response":"t","done":true}"#).unwrap(), "t");
        assert!(parse_completion(b"{}").is_err());
    }
}
