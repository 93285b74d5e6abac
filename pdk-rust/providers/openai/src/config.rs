//! The configuration; keys are QueryMT's.

use fumehood_pdk::chat::System;
use fumehood_pdk::http::{Request, Uri};
use fumehood_pdk::request::{join, set_bearer};
use fumehood_pdk::{LLMError, ReasoningEffort, StructuredOutputFormat, Tool, ToolChoice};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Where requests go unless configured.
pub(crate) const BASE_URL: &str = "https://api.openai.com/v1/";

/// The model of a configuration that names none: the one to say hello with.
const MODEL: &str = "gpt-5-mini";

/// How the key is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize, schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AuthType {
    /// As a bearer token.
    ApiKey,
    /// As a bearer token.
    Oauth,
    /// Not at all.
    None,
}

/// A chat, embedding or completion model behind an OpenAI-compatible endpoint.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OpenAI {
    /// The key; may be empty for endpoints that want none.
    #[serde(default)]
    pub api_key: String,
    /// How the key is presented; by default as a bearer token if there is one.
    #[serde(default)]
    pub auth_type: Option<AuthType>,
    /// Where the API is, `/v1` included.
    #[serde(default = "base_url")]
    #[cfg_attr(test, schemars(extend("format" = "uri")))]
    pub base_url: String,
    /// The model.
    #[serde(default = "model")]
    pub model: String,
    /// At most so many tokens in an answer.
    #[serde(default)]
    pub max_tokens: Option<u32>,
    /// Sampling temperature.
    #[serde(default)]
    pub temperature: Option<f64>,
    /// What the model is told first: a string or a list of strings.
    #[serde(default)]
    pub system: System,
    /// Seconds the host waits for a reply; the plugin itself does not wait.
    #[serde(default)]
    pub timeout_seconds: Option<u64>,
    /// Whether answers are streamed; the host decides by the call it makes.
    #[serde(default)]
    pub stream: Option<bool>,
    /// Whether a stream is asked to report usage (default true; endpoints that refuse `stream_options` need false).
    #[serde(default)]
    pub stream_usage: Option<bool>,
    /// Nucleus sampling.
    #[serde(default)]
    pub top_p: Option<f64>,
    /// Sample from the k likeliest tokens; OpenAI's own endpoint refuses it.
    #[serde(default)]
    pub top_k: Option<u32>,
    /// Tools offered in every chat that brings none of its own.
    #[serde(default)]
    pub tools: Option<Vec<Tool>>,
    /// Which tool must be called.
    #[serde(default)]
    pub tool_choice: Option<ToolChoice>,
    /// Whether several tools may be called at once.
    #[serde(default)]
    pub enable_parallel_tool_use: Option<bool>,
    /// `float` or `base64`; vectors reach the caller the same.
    #[serde(default)]
    pub embedding_encoding_format: Option<String>,
    /// Length of the vectors.
    #[serde(default)]
    pub embedding_dimensions: Option<u32>,
    /// How hard the model should think.
    #[serde(default)]
    pub reasoning_effort: Option<ReasoningEffort>,
    /// A schema that the answer must follow.
    #[serde(default)]
    pub json_schema: Option<StructuredOutputFormat>,
    /// Further fields of the request body; they win over ours.
    #[serde(default)]
    pub extra_body: Option<Map<String, Value>>,
}

fn base_url() -> String {
    BASE_URL.into()
}

fn model() -> String {
    MODEL.into()
}

/// What every request needs. Read leniently: listing models happens without a model.
#[derive(Debug, Deserialize)]
pub(crate) struct Endpoint {
    #[serde(default)]
    api_key: String,
    #[serde(default)]
    auth_type: Option<AuthType>,
    #[serde(default = "base_url")]
    base_url: String,
}

impl Endpoint {
    pub(crate) fn uri(&self, path: &str) -> Result<Uri, LLMError> {
        join(&self.base_url, path)
    }

    /// Adds the key. OpenAI's own endpoint never works without one; others may.
    pub(crate) fn authorize(&self, request: &mut Request<Vec<u8>>) -> Result<(), LLMError> {
        if self.auth_type == Some(AuthType::None) {
            return Ok(());
        }
        if !self.api_key.is_empty() {
            return set_bearer(request, &self.api_key);
        }
        if is_openai(request.uri()) {
            return Err(LLMError::AuthError("api_key is empty; OpenAI's endpoint needs one".into()));
        }
        Ok(())
    }
}

/// Whether an address is OpenAI's own endpoint, where some fields have other names.
pub(crate) fn is_openai(uri: &Uri) -> bool {
    uri.host().is_some_and(|host| host.eq_ignore_ascii_case("api.openai.com"))
}

impl OpenAI {
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint { api_key: self.api_key.clone(), auth_type: self.auth_type, base_url: self.base_url.clone() }
    }
}

/// The JSON Schema of [`OpenAI`]. A file and not derived when asked for: that would put the generator into the module.
pub(crate) const SCHEMA: &str = include_str!("config-schema.json");

#[cfg(test)]
mod tests {
    use super::*;

    /// `UPDATE_SCHEMA=1 cargo test` rewrites the file.
    #[test]
    fn the_schema_file_is_current() {
        let derived = schemars::schema_for!(OpenAI).to_value();
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config-schema.json");
            std::fs::write(path, format!("{derived:#}\n")).expect("the file can be written");
        } else {
            let file: Value = serde_json::from_str(SCHEMA).expect("the file is JSON");
            assert_eq!(file, derived, "run: UPDATE_SCHEMA=1 cargo test -p fumehood-openai");
        }
    }
}
