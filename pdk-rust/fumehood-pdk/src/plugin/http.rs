//! The provider as a whole and the factory that makes it.

use crate::chat::http::HTTPChatProvider;
use crate::completion::http::HTTPCompletionProvider;
use crate::embedding::http::HTTPEmbeddingProvider;
use crate::error::LLMError;
use crate::http::{Request, Response};
use crate::speech::{SttRequest, SttResponse, TtsRequest, TtsResponse};
use serde_json::Value;
use std::error::Error;

/// Everything a provider can do over HTTP; `impl HTTPLLMProvider for MyProvider {}` completes one.
///
/// Speech is optional. In a Wasm plugin it needs `speech = true` in the export macro: the module then
/// imports the host's `qmt_http_request`, which not every Extism host has.
pub trait HTTPLLMProvider: HTTPChatProvider + HTTPEmbeddingProvider + HTTPCompletionProvider {
    /// The request that has a sound written down.
    fn stt_request(&self, _req: &SttRequest) -> Result<Request<Vec<u8>>, LLMError> {
        Err(LLMError::NotImplemented("this provider does not transcribe".into()))
    }

    /// The text in a successful reply.
    fn parse_stt(&self, _resp: Response<Vec<u8>>) -> Result<SttResponse, Box<dyn Error>> {
        Err(Box::new(LLMError::NotImplemented("this provider does not transcribe".into())))
    }

    /// The request that has a text spoken.
    fn tts_request(&self, _req: &TtsRequest) -> Result<Request<Vec<u8>>, LLMError> {
        Err(LLMError::NotImplemented("this provider does not speak".into()))
    }

    /// The sound in a successful reply.
    fn parse_tts(&self, _resp: Response<Vec<u8>>) -> Result<TtsResponse, Box<dyn Error>> {
        Err(Box::new(LLMError::NotImplemented("this provider does not speak".into())))
    }
}

/// Makes providers from configurations. Hosts call it anew for every operation.
#[allow(clippy::wrong_self_convention)] // `from_config(&self)` is the guide's name
pub trait HTTPLLMProviderFactory: Send + Sync {
    /// The plugin's name.
    fn name(&self) -> &str;

    /// The JSON Schema of the configuration; its root `properties` decide which keys the host sends.
    fn config_schema(&self) -> Value;

    /// A provider with this configuration. An [`LLMError`] in the box keeps its structure.
    fn from_config(&self, cfg: &Value) -> Result<Box<dyn HTTPLLMProvider>, Box<dyn Error>>;

    /// The request that asks for the models; `cfg` may lack keys that are otherwise mandatory (`model`).
    fn list_models_request(&self, cfg: &Value) -> Result<Request<Vec<u8>>, LLMError>;

    /// The models' names in a successful reply.
    fn parse_list_models(&self, resp: Response<Vec<u8>>) -> Result<Vec<String>, Box<dyn Error>>;

    /// The models' names if they are known without asking; `None` asks.
    fn list_models_static(&self, _cfg: &Value) -> Option<Vec<String>> {
        None
    }

    /// The environment variable that usually holds the key.
    fn api_key_name(&self) -> Option<String> {
        None
    }

    /// Where requests go unless configured; by default the schema's own default of `base_url`.
    fn base_url(&self) -> Option<String> {
        let schema = self.config_schema();
        Some(schema.pointer("/properties/base_url/default")?.as_str()?.to_string())
    }
}

/// The type of a native plugin's entry point, `plugin_http_factory`.
#[allow(improper_ctypes_definitions)] // a Rust host built by the same compiler calls it, as QueryMT does
pub type HTTPFactoryCtor = unsafe extern "C" fn() -> *mut dyn HTTPLLMProviderFactory;
