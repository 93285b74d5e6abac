//! The configuration; keys are QueryMT's.

use fumehood_pdk::chat::System;
use fumehood_pdk::http::{Request, Uri};
use fumehood_pdk::request::{join, set_bearer};
use fumehood_pdk::{LLMError, ReasoningEffort, StructuredOutputFormat, Tool};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Where requests go unless configured.
const BASE_URL: &str = "http://localhost:11434";

/// A model run by Ollama.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Ollama {
    /// The key; a local server wants none.
    #[serde(default)]
    pub api_key: String,
    /// Where the server is, without `/api`.
    #[serde(default = "base_url")]
    #[cfg_attr(test, schemars(extend("format" = "uri")))]
    pub base_url: String,
    /// The model.
    pub model: String,
    /// At most so many tokens in an answer (`num_predict`).
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
    /// Nucleus sampling.
    #[serde(default)]
    pub top_p: Option<f64>,
    /// Sample from the k likeliest tokens.
    #[serde(default)]
    pub top_k: Option<u32>,
    /// Tools offered in every chat that brings none of its own.
    #[serde(default)]
    pub tools: Option<Vec<Tool>>,
    /// Length of the vectors.
    #[serde(default)]
    pub embedding_dimensions: Option<u32>,
    /// Any effort lets the model think; models that cannot think refuse it.
    #[serde(default)]
    pub reasoning_effort: Option<ReasoningEffort>,
    /// A schema that the answer must follow.
    #[serde(default)]
    pub json_schema: Option<StructuredOutputFormat>,
    /// How long the server keeps the model loaded, such as `5m`.
    #[serde(default)]
    pub keep_alive: Option<String>,
    /// Further entries of the request's `options`, such as `num_ctx`; they win over ours.
    #[serde(default)]
    pub options: Option<Map<String, Value>>,
}

fn base_url() -> String {
    BASE_URL.into()
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

    /// Adds the key if there is one.
    pub(crate) fn authorize(&self, request: &mut Request<Vec<u8>>) -> Result<(), LLMError> {
        if self.api_key.is_empty() {
            return Ok(());
        }
        set_bearer(request, &self.api_key)
    }
}

impl Ollama {
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint { api_key: self.api_key.clone(), base_url: self.base_url.clone() }
    }
}

/// The JSON Schema of [`Ollama`]. A file and not derived when asked for: that would put the generator into the module.
pub(crate) const SCHEMA: &str = include_str!("config-schema.json");

#[cfg(test)]
mod tests {
    use super::*;

    /// `UPDATE_SCHEMA=1 cargo test` rewrites the file.
    #[test]
    fn the_schema_file_is_current() {
        let derived = schemars::schema_for!(Ollama).to_value();
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config-schema.json");
            std::fs::write(path, format!("{derived:#}\n")).expect("the file can be written");
        } else {
            let file: Value = serde_json::from_str(SCHEMA).expect("the file is JSON");
            assert_eq!(file, derived, "run: UPDATE_SCHEMA=1 cargo test -p fumehood-ollama");
        }
    }
}
