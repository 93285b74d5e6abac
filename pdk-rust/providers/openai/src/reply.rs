//! Successful replies. Endpoints differ, so whatever the caller does not need may be missing.

use crate::errors;
use fumehood_pdk::error::response_format;
use fumehood_pdk::http::Response;
use fumehood_pdk::request::unbase64;
use fumehood_pdk::{ChatReply, FinishReason, LLMError, ToolCall, Usage};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Chat {
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<ApiUsage>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    message: Message,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize, Default)]
struct Message {
    #[serde(default)]
    content: Option<Value>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    reasoning_content: Option<String>,
    #[serde(default)]
    reasoning: Option<Value>,
    #[serde(default)]
    tool_calls: Option<Vec<ApiCall>>,
}

#[derive(Deserialize)]
struct ApiCall {
    #[serde(default)]
    id: Option<String>,
    function: ApiFunction,
}

#[derive(Deserialize)]
struct ApiFunction {
    name: String,
    #[serde(default)]
    arguments: Value,
}

/// Token counts as the API reports them.
#[derive(Deserialize, Default)]
pub(crate) struct ApiUsage {
    #[serde(default)]
    prompt_tokens: Option<u32>,
    #[serde(default)]
    completion_tokens: Option<u32>,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default)]
    completion_tokens_details: Option<CompletionDetails>,
    /// DeepSeek's name for cached tokens.
    #[serde(default)]
    prompt_cache_hit_tokens: Option<u32>,
}

#[derive(Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<u32>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    #[serde(default)]
    reasoning_tokens: Option<u32>,
}

impl From<ApiUsage> for Usage {
    fn from(usage: ApiUsage) -> Usage {
        let cached = usage.prompt_tokens_details.and_then(|details| details.cached_tokens);
        Usage {
            input_tokens: usage.prompt_tokens.unwrap_or(0),
            output_tokens: usage.completion_tokens.unwrap_or(0),
            reasoning_tokens: usage.completion_tokens_details.and_then(|d| d.reasoning_tokens).unwrap_or(0),
            cache_read: cached.or(usage.prompt_cache_hit_tokens).unwrap_or(0),
            cache_write: 0,
        }
    }
}

/// A chat's answer: the first choice.
pub(crate) fn parse(resp: &Response<Vec<u8>>) -> Result<ChatReply, LLMError> {
    let body = resp.body();
    let chat: Chat = serde_json::from_slice(body).map_err(|error| {
        // some gateways say 200 and mean otherwise
        errors::in_body(body).unwrap_or_else(|| response_format(format!("chat: {error}"), body))
    })?;
    let usage = chat.usage.map(Usage::from);
    let Some(choice) = chat.choices.into_iter().next() else {
        return Ok(ChatReply { usage, ..ChatReply::default() });
    };
    let message = choice.message;
    let calls: Vec<ToolCall> =
        message.tool_calls.unwrap_or_default().into_iter().enumerate().map(call).collect();
    let text = message.content.as_ref().and_then(text_of).or(message.refusal);
    let thinking = message.reasoning_content.or_else(|| message.reasoning.as_ref().and_then(text_of));
    Ok(ChatReply {
        text: text.filter(|text| calls.is_empty() || !text.is_empty()),
        thinking: thinking.filter(|text| !text.is_empty()),
        finish_reason: choice.finish_reason.map(|word| finish(&word, !calls.is_empty())),
        tool_calls: (!calls.is_empty()).then_some(calls),
        usage,
    })
}

/// Endpoints that say `stop` after calling tools mean that the tools are to be called.
pub(crate) fn finish(word: &str, called: bool) -> FinishReason {
    match FinishReason::from_vendor(word) {
        FinishReason::Stop if called => FinishReason::ToolCalls,
        other => other,
    }
}

fn call((index, call): (usize, ApiCall)) -> ToolCall {
    let arguments = match call.function.arguments {
        Value::String(text) => text,
        Value::Null => String::new(),
        object => object.to_string(),
    };
    let id = call.id.filter(|id| !id.is_empty()).unwrap_or_else(|| format!("call_{index}"));
    ToolCall::new(id, call.function.name, arguments)
}

/// Text, or the texts of a list of parts.
pub(crate) fn text_of(content: &Value) -> Option<String> {
    match content {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => {
            let texts: Vec<&str> =
                parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect();
            Some(texts.concat())
        }
        _ => None,
    }
}

#[derive(Deserialize)]
struct Embeddings {
    data: Vec<Embedding>,
}

#[derive(Deserialize)]
struct Embedding {
    #[serde(default)]
    index: Option<usize>,
    embedding: Vector,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Vector {
    Floats(Vec<f32>),
    Base64(String),
}

/// The vectors in the order of the inputs, whatever order and encoding the endpoint chose.
pub(crate) fn parse_embeddings(body: &[u8]) -> Result<Vec<Vec<f32>>, LLMError> {
    let broken = |what: String| response_format(format!("embeddings: {what}"), body);
    let reply: Embeddings = serde_json::from_slice(body).map_err(|error| broken(error.to_string()))?;
    let mut data = reply.data;
    if data.iter().all(|one| one.index.is_some()) {
        data.sort_by_key(|one| one.index);
    }
    data.into_iter()
        .map(|one| match one.embedding {
            Vector::Floats(floats) => Ok(floats),
            Vector::Base64(text) => {
                let bytes = unbase64(&text).ok_or_else(|| broken("a vector is not base64".into()))?;
                let floats = bytes.chunks_exact(4);
                if !floats.remainder().is_empty() {
                    return Err(broken("a vector is cut off".into()));
                }
                Ok(floats.map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect())
            }
        })
        .collect()
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<CompletionChoice>,
}

#[derive(Deserialize)]
struct CompletionChoice {
    text: String,
}

/// The continuation: the first choice.
pub(crate) fn parse_completion(body: &[u8]) -> Result<String, LLMError> {
    let reply: Completion = serde_json::from_slice(body)
        .map_err(|error| response_format(format!("completion: {error}"), body))?;
    match reply.choices.into_iter().next() {
        Some(choice) => Ok(choice.text),
        None => Err(response_format("completion: no choice", body)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn chat(body: Value) -> Result<ChatReply, LLMError> {
        parse(&Response::new(body.to_string().into_bytes()))
    }

    #[test]
    fn an_answer() {
        let reply = chat(json!({
            "choices": [{"message": {"role": "assistant", "content": "hi", "reasoning_content": "th"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5,
                      "prompt_tokens_details": {"cached_tokens": 1}, "completion_tokens_details": {"reasoning_tokens": 1}},
        }))
        .unwrap();
        assert_eq!(
            reply,
            ChatReply {
                text: Some("hi".into()),
                thinking: Some("th".into()),
                tool_calls: None,
                usage: Some(Usage {
                    input_tokens: 3,
                    output_tokens: 2,
                    reasoning_tokens: 1,
                    cache_read: 1,
                    cache_write: 0
                }),
                finish_reason: Some(FinishReason::Stop),
            }
        );
    }

    #[test]
    fn calls() {
        let reply = chat(json!({"choices": [{"message": {"content": "", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"q\":1}"}},
            {"function": {"name": "g", "arguments": {"x": 2}}},
        ]}, "finish_reason": "stop"}]}))
        .unwrap();
        assert_eq!(reply.text, None);
        assert_eq!(reply.finish_reason, Some(FinishReason::ToolCalls));
        let expected = vec![ToolCall::new("c1", "f", "{\"q\":1}"), ToolCall::new("call_1", "g", "{\"x\":2}")];
        assert_eq!(reply.tool_calls, Some(expected));
    }

    #[test]
    fn odd_but_good() {
        let parts = chat(
            json!({"choices": [{"message": {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}}], "usage": null}),
        );
        assert_eq!(parts.unwrap().text.as_deref(), Some("ab"));
        let refusal = chat(
            json!({"choices": [{"message": {"content": null, "refusal": "no"}, "finish_reason": "stop"}]}),
        );
        assert_eq!(refusal.unwrap().text.as_deref(), Some("no"));
        assert_eq!(chat(json!({"choices": []})).unwrap(), ChatReply::default());
    }

    #[test]
    fn not_an_answer() {
        assert!(
            matches!(chat(json!({"error": {"message": "x"}})), Err(LLMError::Provider(f)) if f.message == "x")
        );
        for body in
            [json!({}), json!([]), json!("x"), json!({"choices": [{"message": {"tool_calls": [{}]}}]})]
        {
            assert!(matches!(chat(body), Err(LLMError::ResponseFormatError { .. })));
        }
        let error = parse(&Response::new(b"<html>".to_vec())).unwrap_err();
        assert!(
            matches!(error, LLMError::ResponseFormatError { raw_response, .. } if raw_response == "<html>")
        );
    }

    #[test]
    fn vectors() {
        let body = json!({"data": [
            {"index": 1, "embedding": "AACAPwAAIMA="}, {"index": 0, "embedding": [3.0, 4.5]},
        ]});
        let vectors = parse_embeddings(body.to_string().as_bytes()).unwrap();
        assert_eq!(vectors, [vec![3.0, 4.5], vec![1.0, -2.5]]);
        for bad in
            [json!({}), json!({"data": [{"embedding": "AAA="}]}), json!({"data": [{"embedding": [null]}]})]
        {
            assert!(parse_embeddings(bad.to_string().as_bytes()).is_err());
        }
    }

    #[test]
    fn completions() {
        assert_eq!(parse_completion(br#"{"choices":[{"text":"t"}]}"#).unwrap(), "t");
        assert!(parse_completion(br#"{"choices":[]}"#).is_err());
    }
}
