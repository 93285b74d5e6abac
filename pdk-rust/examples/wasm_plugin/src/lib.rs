//! A Wasm plugin whose configuration is its provider: the guide's listing, its ellipses filled in.
//! It speaks to an imaginary API: `POST <base>/chat {"prompt"} -> {"answer"}` and so on.

// src/lib.rs
use querymt::chat::http::HTTPChatProvider;
use querymt::plugin::extism_impl::impl_extism_http_plugin;
use querymt::plugin::http::HTTPLLMProviderFactory;
// ... other trait imports
use querymt::completion::http::HTTPCompletionProvider;
use querymt::embedding::http::HTTPEmbeddingProvider;
use querymt::log::info;
use querymt::request::{get, join, post_json, set_bearer};
use querymt::{
    ChatMessage, ChatResponse, CompletionRequest, CompletionResponse, HTTPLLMProvider, LLMError, Tool,
};
use serde_json::{json, Value};
use std::error::Error;

// 1. Define your config struct (same as native example)
#[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema, Clone, Debug)]
pub struct MyPluginConfig {
    pub api_key: String,
    pub model_name: Option<String>,
    #[serde(default = "default_base_url")]
    pub base_url: String,
}
// ... with default_base_url() function
fn default_base_url() -> String {
    "https://api.examplellm.com/v1".to_string()
}

impl MyPluginConfig {
    fn post(&self, path: &str, mut body: Value) -> Result<http::Request<Vec<u8>>, LLMError> {
        body["model"] = self.model_name.clone().unwrap_or_else(|| "default".to_string()).into();
        let mut request = post_json(join(&self.base_url, path)?, &body)?;
        set_bearer(&mut request, &self.api_key)?;
        Ok(request)
    }
}

// 2. Implement the HTTP provider traits for your config struct
impl HTTPChatProvider for MyPluginConfig {
    fn chat_request(
        &self,
        messages: &[ChatMessage],
        _tools: Option<&[Tool]>,
    ) -> Result<http::Request<Vec<u8>>, LLMError> {
        info!("a chat of {} messages", messages.len());
        let prompt: Vec<String> = messages.iter().map(ChatMessage::text).collect();
        self.post("chat", json!({"prompt": prompt.join("\n")}))
    }

    fn parse_chat(&self, resp: http::Response<Vec<u8>>) -> Result<Box<dyn ChatResponse>, Box<dyn Error>> {
        Ok(Box::new(CompletionResponse { text: answer(resp.body())? }))
    }
}
// ... HTTPEmbeddingProvider, HTTPCompletionProvider ...
impl HTTPEmbeddingProvider for MyPluginConfig {
    fn embed_request(&self, inputs: &[String]) -> Result<http::Request<Vec<u8>>, LLMError> {
        self.post("embed", json!({"inputs": inputs}))
    }

    fn parse_embed(&self, resp: http::Response<Vec<u8>>) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
        Ok(serde_json::from_slice(resp.body())?)
    }
}
impl HTTPCompletionProvider for MyPluginConfig {
    fn complete_request(&self, req: &CompletionRequest) -> Result<http::Request<Vec<u8>>, LLMError> {
        self.post("complete", json!({"prompt": req.prompt}))
    }

    fn parse_complete(&self, resp: http::Response<Vec<u8>>) -> Result<CompletionResponse, Box<dyn Error>> {
        Ok(CompletionResponse { text: answer(resp.body())? })
    }
}
impl HTTPLLMProvider for MyPluginConfig {}

fn answer(body: &[u8]) -> Result<String, Box<dyn Error>> {
    let reply: Value = serde_json::from_slice(body)?;
    match reply["answer"].as_str() {
        Some(text) => Ok(text.to_string()),
        None => Err(Box::new(LLMError::ProviderError("there is no answer in the reply".into()))),
    }
}

// 3. Create a marker struct for your factory logic
struct MyPluginFactory;

// 4. Implement the factory trait for the marker struct
impl HTTPLLMProviderFactory for MyPluginFactory {
    fn name(&self) -> &str {
        "My Example Extism HTTP Plugin"
    }

    fn config_schema(&self) -> Value {
        serde_json::to_value(schemars::schema_for!(MyPluginConfig)).unwrap()
    }

    fn from_config(&self, cfg: &Value) -> Result<Box<dyn HTTPLLMProvider>, Box<dyn Error>> {
        let config: MyPluginConfig = serde_json::from_value(cfg.clone())?;
        Ok(Box::new(config))
    }

    fn list_models_request(&self, cfg: &Value) -> Result<http::Request<Vec<u8>>, LLMError> {
        // keys that are otherwise mandatory may be missing here
        let base = cfg["base_url"].as_str().map_or_else(default_base_url, str::to_string);
        Ok(get(join(&base, "models")?))
    }

    fn parse_list_models(&self, resp: http::Response<Vec<u8>>) -> Result<Vec<String>, Box<dyn Error>> {
        Ok(serde_json::from_slice(resp.body())?)
    }

    fn api_key_name(&self) -> Option<String> {
        Some("EXAMPLELLM_API_KEY".to_string())
    }
}

// 5. Use the macro to export all necessary Extism functions
impl_extism_http_plugin!(
    config = MyPluginConfig,
    factory = MyPluginFactory,
    name = "My Example Extism HTTP Plugin"
);

#[cfg(test)]
mod tests {
    use super::*;
    use querymt::plugin::guest::Guest;

    #[test]
    fn a_chat_through_the_exports() {
        let guest = Guest::new(MyPluginFactory);
        let input = json!({
            "cfg": {"api_key": "K", "base_url": "http://127.0.0.1:1"},
            "messages": [ChatMessage::user("hi")], "tools": null,
        });
        let output = guest.call("chat_request", input.to_string().as_bytes()).unwrap();
        let request: Value = serde_json::from_slice(&output).unwrap();
        assert_eq!(request["req"]["head"]["uri"], "http://127.0.0.1:1/chat");
        assert_eq!(guest.call("base_url", b"null").unwrap(), b"https://api.examplellm.com/v1");
        assert_eq!(guest.call("list_models_static", br#"{"cfg":{}}"#).unwrap(), b"null");
    }

    #[test]
    fn a_structured_error_crosses_the_box() {
        let reply = http::Response::new(b"{}".to_vec());
        let config: MyPluginConfig = serde_json::from_value(json!({"api_key": "K"})).unwrap();
        let error = LLMError::from_boxed(config.parse_chat(reply).unwrap_err());
        assert_eq!(error, LLMError::ProviderError("there is no answer in the reply".into()));
    }
}
