use fumehood_pdk::chat::http::HTTPChatProvider;
use fumehood_pdk::chat::ChatStreamParser;
use fumehood_pdk::completion::http::HTTPCompletionProvider;
use fumehood_pdk::embedding::http::HTTPEmbeddingProvider;
use fumehood_pdk::http::{Request, Response};
use fumehood_pdk::lines::{sse_data, Lines};
use fumehood_pdk::plugin::http::{HTTPLLMProvider, HTTPLLMProviderFactory};
use fumehood_pdk::request::{get, join, post_json, set_bearer};
use fumehood_pdk::{
    impl_extism_http_plugin, ChatMessage, ChatReply, ChatResponse, ChatRole, CompletionRequest,
    CompletionResponse, FinishReason, LLMError, StreamChunk, Tool,
};
use serde_json::{json, Value};
use std::error::Error;

/// What a user writes into plugins.toml; the JSON Schema follows from it.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default)]
    api_key: String,
    model: String,
    #[serde(default = "base_url")]
    base_url: String,
}

fn base_url() -> String {
    "https://api.openai.com/v1/".into()
}

impl Config {
    fn ask(&self, messages: &[ChatMessage], stream: bool) -> Result<Request<Vec<u8>>, LLMError> {
        let messages: Vec<Value> = messages
            .iter()
            .map(|message| {
                let role = if message.role == ChatRole::User { "user" } else { "assistant" };
                json!({"role": role, "content": message.text()})
            })
            .collect();
        let body = json!({"model": self.model, "messages": messages, "stream": stream});
        let mut request = post_json(join(&self.base_url, "chat/completions")?, &body)?;
        set_bearer(&mut request, &self.api_key)?;
        Ok(request)
    }
}

impl HTTPChatProvider for Config {
    fn chat_request(
        &self,
        messages: &[ChatMessage],
        _tools: Option<&[Tool]>,
    ) -> Result<Request<Vec<u8>>, LLMError> {
        self.ask(messages, false)
    }

    fn parse_chat(&self, resp: Response<Vec<u8>>) -> Result<Box<dyn ChatResponse>, Box<dyn Error>> {
        let body: Value = serde_json::from_slice(resp.body())?;
        let text = body["choices"][0]["message"]["content"].as_str();
        let text = text.ok_or_else(|| LLMError::ProviderError("the reply holds no text".into()))?;
        Ok(Box::new(ChatReply { text: Some(text.into()), ..ChatReply::default() }))
    }

    fn supports_streaming(&self) -> bool {
        true
    }

    fn chat_stream_request(
        &self,
        messages: &[ChatMessage],
        _tools: Option<&[Tool]>,
    ) -> Result<Request<Vec<u8>>, LLMError> {
        self.ask(messages, true)
    }

    fn chat_stream_parser(&self) -> Result<Box<dyn ChatStreamParser>, LLMError> {
        Ok(Box::new(Parser::default()))
    }
}

/// One stream; the host feeds it line by line.
#[derive(Default)]
struct Parser(Lines);

impl ChatStreamParser for Parser {
    fn parse(&mut self, line: &[u8]) -> Result<Vec<StreamChunk>, LLMError> {
        let mut chunks = Vec::new();
        self.0.feed(line, |line| {
            match sse_data(line) {
                None => {}
                Some(b"[DONE]") => chunks.push(StreamChunk::Done { finish_reason: FinishReason::Stop }),
                Some(data) => {
                    let event: Value = serde_json::from_slice(data)?;
                    if let Some(text) = event["choices"][0]["delta"]["content"].as_str() {
                        chunks.push(StreamChunk::Text(text.into()));
                    }
                }
            }
            Ok::<(), LLMError>(())
        })?;
        Ok(chunks)
    }
}

fn only_chat<T>() -> Result<T, LLMError> {
    Err(LLMError::NotImplemented("this plugin only chats".into()))
}

impl HTTPEmbeddingProvider for Config {
    fn embed_request(&self, _inputs: &[String]) -> Result<Request<Vec<u8>>, LLMError> {
        only_chat()
    }
    fn parse_embed(&self, _resp: Response<Vec<u8>>) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
        Ok(only_chat()?)
    }
}

impl HTTPCompletionProvider for Config {
    fn complete_request(&self, _req: &CompletionRequest) -> Result<Request<Vec<u8>>, LLMError> {
        only_chat()
    }
    fn parse_complete(&self, _resp: Response<Vec<u8>>) -> Result<CompletionResponse, Box<dyn Error>> {
        Ok(only_chat()?)
    }
}

impl HTTPLLMProvider for Config {}

struct Factory;

impl HTTPLLMProviderFactory for Factory {
    fn name(&self) -> &str {
        "my-provider"
    }

    fn api_key_name(&self) -> Option<String> {
        Some("OPENAI_API_KEY".into())
    }

    fn config_schema(&self) -> Value {
        schemars::schema_for!(Config).to_value()
    }

    fn from_config(&self, cfg: &Value) -> Result<Box<dyn HTTPLLMProvider>, Box<dyn Error>> {
        let config: Config = serde_json::from_value(cfg.clone())?;
        Ok(Box::new(config))
    }

    fn list_models_request(&self, cfg: &Value) -> Result<Request<Vec<u8>>, LLMError> {
        let base = cfg["base_url"].as_str().map_or_else(base_url, str::to_string);
        let mut request = get(join(&base, "models")?);
        set_bearer(&mut request, cfg["api_key"].as_str().unwrap_or_default())?;
        Ok(request)
    }

    fn parse_list_models(&self, resp: Response<Vec<u8>>) -> Result<Vec<String>, Box<dyn Error>> {
        let body: Value = serde_json::from_slice(resp.body())?;
        let models = body["data"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(models.iter().filter_map(|model| model["id"].as_str()).map(str::to_string).collect())
    }
}

impl_extism_http_plugin!(config = Config, factory = Factory, name = "my-provider");

#[cfg(test)]
mod tests {
    use super::*;
    use fumehood_pdk::plugin::guest::Guest;

    #[test]
    fn asks_and_understands() {
        let config = Config { api_key: "k".into(), model: "m".into(), base_url: base_url() };
        let request = config.chat_request(&[ChatMessage::user("hi")], None).unwrap();
        assert_eq!(request.uri(), "https://api.openai.com/v1/chat/completions");
        let reply = Response::new(br#"{"choices":[{"message":{"content":"hello"}}]}"#.to_vec());
        assert_eq!(config.parse_chat(reply).unwrap().text().as_deref(), Some("hello"));
    }

    #[test]
    fn a_bad_config_is_an_error_with_structure() {
        // the exports of the module, called as a host calls them
        let error = Guest::new(Factory).call("from_config", b"{}").unwrap_err();
        assert!(matches!(error, LLMError::JsonError(text) if text.contains("model")));
    }
}
