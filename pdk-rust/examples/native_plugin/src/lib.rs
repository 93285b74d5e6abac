//! A native plugin, provider and factory apart: the guide's listing, its ellipses filled in.
//! The last line exports the same factory from a Wasm module.

// src/lib.rs
use querymt::chat::http::HTTPChatProvider;
use querymt::completion::http::HTTPCompletionProvider;
use querymt::embedding::http::HTTPEmbeddingProvider;
use querymt::plugin::http::{HTTPFactoryCtor, HTTPLLMProviderFactory};
use querymt::{
    ChatMessage, ChatReply, ChatResponse, CompletionRequest, CompletionResponse, HTTPLLMProvider, LLMError,
    Tool, ToolCall,
};
use schemars::{schema_for, JsonSchema};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::error::Error;

// 1. Define your plugin's configuration structure
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug)]
pub struct MyPluginConfig {
    pub api_key: String,
    pub model_name: Option<String>,
    #[serde(default = "default_base_url")]
    pub base_url: String,
}
fn default_base_url() -> String {
    "https://api.examplellm.com/v1".to_string()
}

// 2. Define your provider struct. It holds the config.
#[derive(Clone)]
pub struct MyProvider {
    config: MyPluginConfig,
}

impl MyProvider {
    fn post(&self, path: &str, body: &impl Serialize) -> Result<http::Request<Vec<u8>>, LLMError> {
        Ok(http::Request::builder()
            .method("POST")
            .uri(format!("{}/{path}", self.config.base_url.trim_end_matches('/')))
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", self.config.api_key))
            .body(serde_json::to_vec(body)?)?)
    }
}

/// What the imaginary API answers to a chat: a text, or calls by the tool's name.
#[derive(Deserialize)]
struct Answer {
    answer: Option<String>,
    #[serde(default)]
    calls: HashMap<String, serde_json::Value>,
}

// 3. Implement the core HTTP provider traits for your provider struct.
// This defines how to build requests and parse responses.
impl HTTPChatProvider for MyProvider {
    // ... implement chat_request() and parse_chat() ...
    fn chat_request(
        &self,
        messages: &[ChatMessage],
        _tools: Option<&[Tool]>,
    ) -> Result<http::Request<Vec<u8>>, LLMError> {
        let turns: Vec<String> = messages.iter().map(ChatMessage::text).collect();
        self.post("chat", &serde_json::json!({"model": self.config.model_name, "turns": turns}))
    }
    fn parse_chat(&self, resp: http::Response<Vec<u8>>) -> Result<Box<dyn ChatResponse>, Box<dyn Error>> {
        let Answer { answer, calls } = serde_json::from_slice(resp.body())?;
        if calls.is_empty() {
            let text = answer.ok_or_else(|| LLMError::ProviderError("neither answer nor calls".into()))?;
            return Ok(Box::new(querymt::completion::CompletionResponse { text }));
        }
        let call = |(name, arguments): (String, serde_json::Value)| {
            ToolCall::new(format!("call_{name}"), name, arguments.to_string())
        };
        let tool_calls = Some(calls.into_iter().map(call).collect());
        Ok(Box::new(ChatReply { text: answer, tool_calls, ..ChatReply::default() }))
    }
}
impl HTTPEmbeddingProvider for MyProvider {
    /* ... */
    fn embed_request(&self, inputs: &[String]) -> Result<http::Request<Vec<u8>>, LLMError> {
        self.post("embed", &inputs)
    }
    fn parse_embed(&self, resp: http::Response<Vec<u8>>) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
        Ok(serde_json::from_slice(resp.body())?)
    }
}
impl HTTPCompletionProvider for MyProvider {
    /* ... */
    fn complete_request(&self, req: &CompletionRequest) -> Result<http::Request<Vec<u8>>, LLMError> {
        self.post("complete", req)
    }
    fn parse_complete(&self, resp: http::Response<Vec<u8>>) -> Result<CompletionResponse, Box<dyn Error>> {
        Ok(serde_json::from_slice(resp.body())?)
    }
}

// This blanket impl turns your provider struct into an HTTPLLMProvider
impl HTTPLLMProvider for MyProvider {}

// 4. Implement the factory, which knows how to create your provider.
pub struct MyFactory;

impl HTTPLLMProviderFactory for MyFactory {
    fn name(&self) -> &str {
        "My Native HTTP Plugin"
    }

    fn config_schema(&self) -> serde_json::Value {
        serde_json::to_value(schema_for!(MyPluginConfig)).unwrap()
    }

    fn from_config(&self, cfg: &serde_json::Value) -> Result<Box<dyn HTTPLLMProvider>, Box<dyn Error>> {
        let config: MyPluginConfig = serde_json::from_value(cfg.clone())?;
        let provider = MyProvider { config };
        Ok(Box::new(provider))
    }

    // Implement list_models_request, parse_list_models, api_key_name...
    fn list_models_request(&self, cfg: &serde_json::Value) -> Result<http::Request<Vec<u8>>, LLMError> {
        let base = cfg["base_url"].as_str().map_or_else(default_base_url, str::to_string);
        Ok(http::Request::builder().uri(format!("{base}/models")).body(Vec::new())?)
    }
    fn parse_list_models(&self, resp: http::Response<Vec<u8>>) -> Result<Vec<String>, Box<dyn Error>> {
        Ok(serde_json::from_slice(resp.body())?)
    }
    fn api_key_name(&self) -> Option<String> {
        Some("EXAMPLELLM_API_KEY".to_string())
    }
}

// 5. Export the factory constructor function. This is the entry point for the host.
/// # Safety
/// The host and this library must come from the same compiler; the host owns the result.
#[allow(improper_ctypes_definitions)]
#[no_mangle]
pub unsafe extern "C" fn plugin_http_factory() -> *mut dyn HTTPLLMProviderFactory {
    Box::into_raw(Box::new(MyFactory))
}

/// The entry point has the type that hosts look for.
pub const ENTRY_POINT: HTTPFactoryCtor = plugin_http_factory;

// 6. Not in the guide: the same factory as a sandboxed Wasm module.
querymt::impl_extism_http_factory!(factory = MyFactory);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn factory() -> Box<dyn HTTPLLMProviderFactory> {
        // SAFETY: the constructor gives a boxed factory away, once for each call
        unsafe { Box::from_raw(ENTRY_POINT()) }
    }

    #[test]
    fn natively_as_a_host_would() {
        let factory = factory();
        assert_eq!(factory.base_url().as_deref(), Some("https://api.examplellm.com/v1"));
        let provider = factory.from_config(&json!({"api_key": "K", "base_url": "http://h:1/"})).unwrap();
        let request = provider.chat_request(&[ChatMessage::user("hi")], None).unwrap();
        assert_eq!(request.uri(), "http://h:1/chat");
        assert_eq!(request.body(), br#"{"model":null,"turns":["hi"]}"#);
        let reply = http::Response::new(br#"{"answer":"hello"}"#.to_vec());
        assert_eq!(provider.parse_chat(reply).unwrap().text().as_deref(), Some("hello"));
        let reply = http::Response::new(br#"{"calls":{"f":{"q":1}}}"#.to_vec());
        let calls = provider.parse_chat(reply).unwrap().tool_calls();
        assert_eq!(calls, Some(vec![ToolCall::new("call_f", "f", r#"{"q":1}"#)]));
    }

    #[test]
    fn through_the_exports_of_the_wasm_module() {
        let guest = querymt::plugin::guest::Guest::new(MyFactory);
        assert_eq!(guest.call("name", b"null").unwrap(), b"My Native HTTP Plugin");
        let error = guest.call("from_config", b"{}").unwrap_err();
        assert!(matches!(error, LLMError::JsonError(m) if m.contains("api_key")));
    }
}
