//! The provider's config and the JSON Schema that describes it. Unknown keys are refused.

use serde::{Deserialize, Serialize};
use serde_json::{json, Value};

pub const DEFAULT_BASE_URL: &str = "https://api.openai-like.test/v1/";

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub model: Option<String>,
    #[serde(default = "default_base_url")]
    pub base_url: String,
    #[serde(default)]
    pub api_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// A text or a list of texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<Value>,
}

fn default_base_url() -> String {
    DEFAULT_BASE_URL.into()
}

impl Config {
    pub fn model(&self) -> Result<&str, String> {
        self.model
            .as_deref()
            .ok_or_else(|| "missing field `model`".into())
    }

    /// The URL of an endpoint; `base_url` may or may not end in a slash.
    pub fn url(&self, endpoint: &str) -> String {
        format!("{}/{endpoint}", self.base_url.trim_end_matches('/'))
    }

    /// The system text, whichever form it came in.
    pub fn system_text(&self) -> Option<String> {
        match self.system.as_ref()? {
            Value::String(text) => Some(text.clone()),
            Value::Array(parts) => {
                let texts: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
                (!texts.is_empty()).then(|| texts.join("\n\n"))
            }
            _ => None,
        }
    }
}

pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Config",
        "type": "object",
        "properties": {
            "model": {"type": "string"},
            "base_url": {"type": "string", "format": "uri", "default": DEFAULT_BASE_URL},
            "api_key": {"type": "string"},
            "max_tokens": {"type": ["integer", "null"], "minimum": 0},
            "temperature": {"type": ["number", "null"]},
            "system": {"anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}},
                {"type": "null"}
            ]},
            "stream": {"type": ["boolean", "null"]},
            "tool_choice": true
        },
        "required": ["model"],
        "additionalProperties": false
    })
}
