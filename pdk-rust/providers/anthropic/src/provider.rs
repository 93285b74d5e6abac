//! The requests.

use crate::config::Anthropic;
use crate::{errors, messages, reply, stream};
use fumehood_pdk::chat::http::HTTPChatProvider;
use fumehood_pdk::chat::ChatStreamParser;
use fumehood_pdk::completion::http::HTTPCompletionProvider;
use fumehood_pdk::embedding::http::HTTPEmbeddingProvider;
use fumehood_pdk::http::{Request, Response};
use fumehood_pdk::plugin::http::HTTPLLMProvider;
use fumehood_pdk::request::post_json;
use fumehood_pdk::{
    ChatMessage, ChatResponse, CompletionRequest, CompletionResponse, LLMError, Tool, ToolChoice,
};
use serde_json::{json, Map, Value};
use std::error::Error;

impl Anthropic {
    fn chat(
        &self,
        messages: &[ChatMessage],
        tools: Option<&[Tool]>,
        stream: bool,
    ) -> Result<Request<Vec<u8>>, LLMError> {
        let budget = self.thinking_budget();
        let mut body = Map::new();
        body.insert("model".into(), self.model.clone().into());
        // the budget is part of max_tokens and must leave room for an answer
        let max_tokens = self.max_tokens.max(budget.map_or(0, |budget| budget.saturating_add(1024)));
        body.insert("max_tokens".into(), max_tokens.into());
        if let Some(system) = self.system.joined() {
            body.insert("system".into(), system.into());
        }
        body.insert("messages".into(), messages::messages(messages)?.into());
        body.insert("stream".into(), stream.into());
        match budget {
            Some(budget) => {
                body.insert("thinking".into(), json!({"type": "enabled", "budget_tokens": budget}));
            }
            None => {
                set(&mut body, "temperature", self.temperature);
                set(&mut body, "top_p", self.top_p);
                set(&mut body, "top_k", self.top_k);
            }
        }
        let tools = tools.or(self.tools.as_deref()).unwrap_or_default();
        if !tools.is_empty() {
            let convert = |tool: &Tool| {
                json!({
                    "name": tool.function.name, "description": tool.function.description,
                    "input_schema": tool.function.parameters,
                })
            };
            body.insert("tools".into(), tools.iter().map(convert).collect::<Vec<_>>().into());
            if let Some(choice) = self.choice() {
                body.insert("tool_choice".into(), choice);
            }
        }
        let mut request = post_json(self.endpoint().uri("messages")?, &body)?;
        self.endpoint().authorize(&mut request)?;
        Ok(request)
    }

    fn choice(&self) -> Option<Value> {
        let mut choice = match (&self.tool_choice, self.enable_parallel_tool_use) {
            (None, None) => return None,
            (None | Some(ToolChoice::Auto), _) => json!({"type": "auto"}),
            (Some(ToolChoice::Any), _) => json!({"type": "any"}),
            (Some(ToolChoice::None), _) => return Some(json!({"type": "none"})),
            (Some(ToolChoice::Tool(name)), _) => json!({"type": "tool", "name": name}),
        };
        if let Some(parallel) = self.enable_parallel_tool_use {
            choice["disable_parallel_tool_use"] = (!parallel).into();
        }
        Some(choice)
    }
}

fn set<T: Into<Value>>(body: &mut Map<String, Value>, key: &str, value: Option<T>) {
    if let Some(value) = value {
        body.insert(key.into(), value.into());
    }
}

impl HTTPChatProvider for Anthropic {
    fn chat_request(
        &self,
        messages: &[ChatMessage],
        tools: Option<&[Tool]>,
    ) -> Result<Request<Vec<u8>>, LLMError> {
        self.chat(messages, tools, false)
    }

    fn parse_chat(&self, resp: Response<Vec<u8>>) -> Result<Box<dyn ChatResponse>, Box<dyn Error>> {
        if !resp.status().is_success() {
            return Err(Box::new(errors::classify(&resp)));
        }
        Ok(Box::new(reply::parse(resp.body())?))
    }

    fn supports_streaming(&self) -> bool {
        true
    }

    fn chat_stream_request(
        &self,
        messages: &[ChatMessage],
        tools: Option<&[Tool]>,
    ) -> Result<Request<Vec<u8>>, LLMError> {
        self.chat(messages, tools, true)
    }

    fn chat_stream_parser(&self) -> Result<Box<dyn ChatStreamParser>, LLMError> {
        Ok(Box::new(stream::Parser::default()))
    }

    fn classify_chat_error(&self, resp: Response<Vec<u8>>) -> LLMError {
        errors::classify(&resp)
    }
}

fn not_offered<T>(what: &str) -> Result<T, LLMError> {
    Err(LLMError::NotImplemented(format!("Anthropic offers no {what}")))
}

impl HTTPEmbeddingProvider for Anthropic {
    fn embed_request(&self, _inputs: &[String]) -> Result<Request<Vec<u8>>, LLMError> {
        not_offered("embeddings")
    }

    fn parse_embed(&self, _resp: Response<Vec<u8>>) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
        Ok(not_offered("embeddings")?)
    }
}

impl HTTPCompletionProvider for Anthropic {
    fn complete_request(&self, _req: &CompletionRequest) -> Result<Request<Vec<u8>>, LLMError> {
        not_offered("completions")
    }

    fn parse_complete(&self, _resp: Response<Vec<u8>>) -> Result<CompletionResponse, Box<dyn Error>> {
        Ok(not_offered("completions")?)
    }
}

impl HTTPLLMProvider for Anthropic {}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(cfg: Value, tools: Option<&[Tool]>) -> Value {
        let provider: Anthropic = serde_json::from_value(cfg).unwrap();
        let request = provider.chat_request(&[ChatMessage::user("hi")], tools).unwrap();
        assert_eq!(request.uri(), "http://127.0.0.1:1/v1/messages");
        assert_eq!(request.headers()["anthropic-version"], "2023-06-01");
        assert_eq!(request.headers()["x-api-key"], "K");
        serde_json::from_slice(request.body()).unwrap()
    }

    #[test]
    fn smallest() {
        let cfg = json!({"api_key": "K", "model": "m", "base_url": "http://127.0.0.1:1/v1"});
        assert_eq!(
            body(cfg, None),
            json!({"model": "m", "max_tokens": 4096, "stream": false,
                   "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]})
        );
    }

    #[test]
    fn everything() {
        let cfg = json!({
            "api_key": "K", "model": "m", "base_url": "http://127.0.0.1:1/v1/", "max_tokens": 10,
            "system": ["a", "b"], "temperature": 0.7, "top_p": 0.9, "top_k": 4,
            "tool_choice": "required", "enable_parallel_tool_use": false,
        });
        let tool: Tool = serde_json::from_value(json!({
            "type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}},
        }))
        .unwrap();
        let out = body(cfg.clone(), Some(std::slice::from_ref(&tool)));
        assert_eq!(out["system"], "a\n\nb");
        assert_eq!(
            (&out["temperature"], &out["top_p"], &out["top_k"]),
            (&json!(0.7), &json!(0.9), &json!(4))
        );
        assert_eq!(
            out["tools"],
            json!([{"name": "f", "description": "d", "input_schema": {"type": "object"}}])
        );
        assert_eq!(out["tool_choice"], json!({"type": "any", "disable_parallel_tool_use": true}));
        let mut thinking = cfg;
        thinking["reasoning_effort"] = "medium".into();
        let out = body(thinking, None);
        assert_eq!(out["thinking"], json!({"type": "enabled", "budget_tokens": 4096}));
        assert_eq!(out["max_tokens"], 5120);
        assert_eq!((out.get("temperature"), out.get("tools")), (None, None));
    }

    #[test]
    fn no_key() {
        let provider: Anthropic = serde_json::from_value(json!({"model": "m"})).unwrap();
        assert!(matches!(provider.chat_request(&[], None), Err(LLMError::AuthError(_))));
        assert!(matches!(provider.embed_request(&[]), Err(LLMError::NotImplemented(_))));
    }
}
