//! The configuration; keys are QueryMT's, and `base_url`.

use fumehood_pdk::chat::System;
use fumehood_pdk::http::{HeaderValue, Request, Uri};
use fumehood_pdk::request::{join, set_secret};
use fumehood_pdk::{LLMError, ReasoningEffort, Tool, ToolChoice};
use serde::Deserialize;
#[cfg(test)]
use serde_json::Value;

/// Where requests go unless configured.
const BASE_URL: &str = "https://api.anthropic.com/v1/";

/// The version of the API that this plugin speaks.
const API_VERSION: &str = "2023-06-01";

/// A chat model behind Anthropic's Messages API.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Anthropic {
    /// The key; may be empty for endpoints that want none.
    #[serde(default)]
    pub api_key: String,
    /// Where the API is, `/v1` included.
    #[serde(default = "base_url")]
    #[cfg_attr(test, schemars(extend("format" = "uri")))]
    pub base_url: String,
    /// The model.
    pub model: String,
    /// At most so many tokens in an answer, thinking included.
    #[serde(default = "max_tokens")]
    pub max_tokens: u32,
    /// Sampling temperature; not sent while the model thinks, as the API then refuses it.
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
    /// Nucleus sampling.
    #[serde(default)]
    pub top_p: Option<f64>,
    /// Sample from the k likeliest tokens.
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
    /// How hard the model should think; without this and a budget it does not.
    #[serde(default)]
    pub reasoning_effort: Option<ReasoningEffort>,
    /// At most so many tokens of thinking (1024 or more); wins over `reasoning_effort`.
    #[serde(default)]
    pub reasoning_budget_tokens: Option<u32>,
}

fn base_url() -> String {
    BASE_URL.into()
}

fn max_tokens() -> u32 {
    4096
}

/// What every request needs. Read leniently: listing models happens without a model.
#[derive(Debug, Deserialize)]
pub(crate) struct Endpoint {
    #[serde(default)]
    api_key: String,
    #[serde(default = "base_url")]
    base_url: String,
}

impl Endpoint {
    pub(crate) fn uri(&self, path: &str) -> Result<Uri, LLMError> {
        join(&self.base_url, path)
    }

    /// Adds version and key. Anthropic's own endpoint never works without a key; others may.
    pub(crate) fn authorize(&self, request: &mut Request<Vec<u8>>) -> Result<(), LLMError> {
        request.headers_mut().insert("anthropic-version", HeaderValue::from_static(API_VERSION));
        if !self.api_key.is_empty() {
            return set_secret(request, "x-api-key", &self.api_key);
        }
        if request.uri().host().is_some_and(|host| host.eq_ignore_ascii_case("api.anthropic.com")) {
            return Err(LLMError::AuthError("api_key is empty; Anthropic's endpoint needs one".into()));
        }
        Ok(())
    }
}

impl Anthropic {
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint { api_key: self.api_key.clone(), base_url: self.base_url.clone() }
    }

    /// Tokens the model may think with, if it is to think.
    pub(crate) fn thinking_budget(&self) -> Option<u32> {
        let effort = |effort| match effort {
            ReasoningEffort::Low => 1024,
            ReasoningEffort::Medium => 4096,
            ReasoningEffort::High => 16384,
            ReasoningEffort::Max => 32000,
        };
        // the API refuses less than 1024
        self.reasoning_budget_tokens.map(|tokens| tokens.max(1024)).or(self.reasoning_effort.map(effort))
    }
}

/// The JSON Schema of [`Anthropic`]. A file and not derived when asked for: that would put the generator into the module.
pub(crate) const SCHEMA: &str = include_str!("config-schema.json");

#[cfg(test)]
mod tests {
    use super::*;

    /// `UPDATE_SCHEMA=1 cargo test` rewrites the file.
    #[test]
    fn the_schema_file_is_current() {
        let derived = schemars::schema_for!(Anthropic).to_value();
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config-schema.json");
            std::fs::write(path, format!("{derived:#}\n")).expect("the file can be written");
        } else {
            let file: Value = serde_json::from_str(SCHEMA).expect("the file is JSON");
            assert_eq!(file, derived, "run: UPDATE_SCHEMA=1 cargo test -p fumehood-anthropic");
        }
    }
}
