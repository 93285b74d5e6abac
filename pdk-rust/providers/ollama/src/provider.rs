//! The requests.

use crate::config::Ollama;
use crate::{errors, messages, reply, stream};
use fumehood_pdk::chat::http::HTTPChatProvider;
use fumehood_pdk::chat::ChatStreamParser;
use fumehood_pdk::completion::http::HTTPCompletionProvider;
use fumehood_pdk::embedding::http::HTTPEmbeddingProvider;
use fumehood_pdk::http::{Request, Response};
use fumehood_pdk::plugin::http::HTTPLLMProvider;
use fumehood_pdk::request::post_json;
use fumehood_pdk::status::require_success;
use fumehood_pdk::{ChatMessage, ChatResponse, CompletionRequest, CompletionResponse, LLMError, Tool};
use serde_json::{Map, Value};
use std::error::Error;

impl Ollama {
    fn post(&self, path: &str, mut body: Map<String, Value>) -> Result<Request<Vec<u8>>, LLMError> {
        set(&mut body, "keep_alive", self.keep_alive.clone());
        let endpoint = self.endpoint();
        let mut request = post_json(endpoint.uri(path)?, &body)?;
        endpoint.authorize(&mut request)?;
        Ok(request)
    }

    /// The sampling options; those given win over the configured ones.
    fn sampling(&self, max_tokens: Option<u32>, temperature: Option<f64>) -> Map<String, Value> {
        let mut options = Map::new();
        set(&mut options, "num_predict", max_tokens.or(self.max_tokens));
        set(&mut options, "temperature", temperature.or(self.temperature));
        set(&mut options, "top_p", self.top_p);
        set(&mut options, "top_k", self.top_k);
        for (key, value) in self.options.iter().flatten() {
            options.insert(key.clone(), value.clone());
        }
        options
    }

    fn chat(
        &self,
        messages: &[ChatMessage],
        tools: Option<&[Tool]>,
        stream: bool,
    ) -> Result<Request<Vec<u8>>, LLMError> {
        let mut body = Map::new();
        body.insert("model".into(), self.model.clone().into());
        body.insert("messages".into(), messages::messages(&self.system, messages)?.into());
        body.insert("stream".into(), stream.into());
        let tools = tools.or(self.tools.as_deref()).unwrap_or_default();
        if !tools.is_empty() {
            body.insert("tools".into(), serde_json::to_value(tools)?);
        }
        set(&mut body, "think", self.reasoning_effort.map(|_| true));
        set(&mut body, "format", self.json_schema.as_ref().and_then(|format| format.schema.clone()));
        let options = self.sampling(None, None);
        set(&mut body, "options", (!options.is_empty()).then_some(options));
        self.post("api/chat", body)
    }
}

fn set<T: Into<Value>>(body: &mut Map<String, Value>, key: &str, value: Option<T>) {
    if let Some(value) = value {
        body.insert(key.into(), value.into());
    }
}

impl HTTPChatProvider for Ollama {
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

impl HTTPEmbeddingProvider for Ollama {
    fn embed_request(&self, inputs: &[String]) -> Result<Request<Vec<u8>>, LLMError> {
        let mut body = Map::new();
        body.insert("model".into(), self.model.clone().into());
        body.insert("input".into(), inputs.into());
        set(&mut body, "dimensions", self.embedding_dimensions);
        self.post("api/embed", body)
    }

    fn parse_embed(&self, resp: Response<Vec<u8>>) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
        require_success(&resp)?;
        Ok(reply::parse_embeddings(resp.body())?)
    }
}

impl HTTPCompletionProvider for Ollama {
    fn complete_request(&self, req: &CompletionRequest) -> Result<Request<Vec<u8>>, LLMError> {
        let mut body = Map::new();
        body.insert("model".into(), self.model.clone().into());
        body.insert("prompt".into(), req.prompt.clone().into());
        set(&mut body, "suffix", req.suffix.clone());
        set(&mut body, "system", self.system.joined());
        body.insert("stream".into(), false.into());
        // by way of its shortest text: 0.7 must not become 0.699999988079071
        let temperature = req.temperature.and_then(|t| t.to_string().parse::<f64>().ok());
        let options = self.sampling(req.max_tokens, temperature);
        set(&mut body, "options", (!options.is_empty()).then_some(options));
        self.post("api/generate", body)
    }

    fn parse_complete(&self, resp: Response<Vec<u8>>) -> Result<CompletionResponse, Box<dyn Error>> {
        require_success(&resp)?;
        Ok(CompletionResponse { text: reply::parse_completion(resp.body())? })
    }
}

impl HTTPLLMProvider for Ollama {}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn provider(cfg: Value) -> Ollama {
        serde_json::from_value(cfg).unwrap()
    }

    fn body(request: &Request<Vec<u8>>) -> Value {
        serde_json::from_slice(request.body()).unwrap()
    }

    #[test]
    fn smallest() {
        let request =
            provider(json!({"model": "m"})).chat_stream_request(&[ChatMessage::user("hi")], None).unwrap();
        assert_eq!(request.uri(), "http://localhost:11434/api/chat");
        assert_eq!(request.headers().get("authorization"), None);
        assert_eq!(
            body(&request),
            json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": true})
        );
    }

    #[test]
    fn everything() {
        let cfg = json!({
            "api_key": "K", "model": "m", "base_url": "http://h:1/", "max_tokens": 5, "temperature": 0.7, "top_p": 0.5,
            "top_k": 3, "reasoning_effort": "low", "json_schema": {"name": "S", "schema": {"type": "object"}},
            "keep_alive": "5m", "options": {"num_ctx": 64, "top_k": 9}, "embedding_dimensions": 8, "system": "s",
        });
        let request = provider(cfg.clone()).chat_request(&[], None).unwrap();
        assert_eq!(request.uri(), "http://h:1/api/chat");
        assert_eq!(request.headers()["authorization"], "Bearer K");
        let options = json!({"num_predict": 5, "temperature": 0.7, "top_p": 0.5, "top_k": 9, "num_ctx": 64});
        assert_eq!(
            body(&request),
            json!({"model": "m", "messages": [{"role": "system", "content": "s"}], "stream": false, "think": true,
                   "format": {"type": "object"}, "options": options, "keep_alive": "5m"})
        );
        let embed = provider(cfg.clone()).embed_request(&["a".into()]).unwrap();
        assert_eq!(body(&embed), json!({"model": "m", "input": ["a"], "dimensions": 8, "keep_alive": "5m"}));
        let asked = CompletionRequest { prompt: "p".into(), temperature: Some(0.2), ..Default::default() };
        let complete = body(&provider(cfg).complete_request(&asked).unwrap());
        assert_eq!((&complete["system"], &complete["stream"]), (&json!("s"), &json!(false)));
        assert_eq!(complete["options"]["temperature"], 0.2);
    }
}
