//! Requests, and the replies of everything but chat.

use crate::config::{is_openai, OpenAI};
use crate::{errors, messages, reply, stream};
use fumehood_pdk::chat::http::HTTPChatProvider;
use fumehood_pdk::chat::ChatStreamParser;
use fumehood_pdk::completion::http::HTTPCompletionProvider;
use fumehood_pdk::embedding::http::HTTPEmbeddingProvider;
use fumehood_pdk::http::{Request, Response, Uri};
use fumehood_pdk::plugin::http::HTTPLLMProvider;
use fumehood_pdk::request::post_json;
use fumehood_pdk::status::require_success;
use fumehood_pdk::{
    ChatMessage, ChatResponse, CompletionRequest, CompletionResponse, LLMError, ReasoningEffort, Tool,
};
use serde_json::{json, Map, Value};
use std::error::Error;

impl OpenAI {
    fn post(&self, uri: Uri, mut body: Map<String, Value>) -> Result<Request<Vec<u8>>, LLMError> {
        for (key, value) in self.extra_body.iter().flatten() {
            body.insert(key.clone(), value.clone());
        }
        let mut request = post_json(uri, &body)?;
        self.endpoint().authorize(&mut request)?;
        Ok(request)
    }

    fn chat(
        &self,
        messages: &[ChatMessage],
        tools: Option<&[Tool]>,
        stream: bool,
    ) -> Result<Request<Vec<u8>>, LLMError> {
        let uri = self.endpoint().uri("chat/completions")?;
        let openai = is_openai(&uri);
        let mut body = Map::new();
        body.insert("model".into(), self.model.clone().into());
        body.insert("messages".into(), messages::messages(&self.system, messages, !openai)?.into());
        body.insert("stream".into(), stream.into());
        if stream && self.stream_usage.unwrap_or(true) {
            body.insert("stream_options".into(), json!({"include_usage": true}));
        }
        // OpenAI renamed the field and newer models refuse the old name; compatible servers know the old one
        set(&mut body, if openai { "max_completion_tokens" } else { "max_tokens" }, self.max_tokens);
        set(&mut body, "temperature", self.temperature);
        set(&mut body, "top_p", self.top_p);
        set(&mut body, "top_k", self.top_k);
        let tools = tools.or(self.tools.as_deref()).unwrap_or_default();
        if !tools.is_empty() {
            body.insert("tools".into(), serde_json::to_value(tools)?);
            if let Some(choice) = &self.tool_choice {
                body.insert("tool_choice".into(), serde_json::to_value(choice)?);
            }
            set(&mut body, "parallel_tool_calls", self.enable_parallel_tool_use);
        }
        if let Some(effort) = self.reasoning_effort {
            body.insert("reasoning_effort".into(), effort_name(effort).into());
        }
        if let Some(format) = &self.json_schema {
            let mut format = serde_json::to_value(format)?;
            if let Some(schema) = format.get_mut("schema").and_then(Value::as_object_mut) {
                // strict mode demands it, and it is what the caller means
                schema.entry("additionalProperties").or_insert(false.into());
            }
            body.insert("response_format".into(), json!({"type": "json_schema", "json_schema": format}));
        }
        self.post(uri, body)
    }
}

fn set<T: Into<Value>>(body: &mut Map<String, Value>, key: &str, value: Option<T>) {
    if let Some(value) = value {
        body.insert(key.into(), value.into());
    }
}

/// `max` is our word: the API's highest that every reasoning model knows is `high`.
fn effort_name(effort: ReasoningEffort) -> &'static str {
    match effort {
        ReasoningEffort::Low => "low",
        ReasoningEffort::Medium => "medium",
        ReasoningEffort::High | ReasoningEffort::Max => "high",
    }
}

impl HTTPChatProvider for OpenAI {
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
        Ok(Box::new(reply::parse(&resp)?))
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

impl HTTPEmbeddingProvider for OpenAI {
    fn embed_request(&self, inputs: &[String]) -> Result<Request<Vec<u8>>, LLMError> {
        let mut body = Map::new();
        body.insert("model".into(), self.model.clone().into());
        body.insert("input".into(), inputs.into());
        let format = self.embedding_encoding_format.as_deref().unwrap_or("float");
        body.insert("encoding_format".into(), format.into());
        set(&mut body, "dimensions", self.embedding_dimensions);
        self.post(self.endpoint().uri("embeddings")?, body)
    }

    fn parse_embed(&self, resp: Response<Vec<u8>>) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
        require_success(&resp)?;
        Ok(reply::parse_embeddings(resp.body())?)
    }
}

impl HTTPCompletionProvider for OpenAI {
    fn complete_request(&self, req: &CompletionRequest) -> Result<Request<Vec<u8>>, LLMError> {
        let mut body = Map::new();
        body.insert("model".into(), self.model.clone().into());
        body.insert("prompt".into(), req.prompt.clone().into());
        set(&mut body, "suffix", req.suffix.clone());
        set(&mut body, "max_tokens", req.max_tokens.or(self.max_tokens));
        // by way of its shortest text: 0.7 must not become 0.699999988079071
        let asked = req.temperature.and_then(|t| t.to_string().parse::<f64>().ok());
        set(&mut body, "temperature", asked.or(self.temperature));
        set(&mut body, "top_p", self.top_p);
        self.post(self.endpoint().uri("completions")?, body)
    }

    fn parse_complete(&self, resp: Response<Vec<u8>>) -> Result<CompletionResponse, Box<dyn Error>> {
        require_success(&resp)?;
        Ok(CompletionResponse { text: reply::parse_completion(resp.body())? })
    }
}

impl HTTPLLMProvider for OpenAI {}
