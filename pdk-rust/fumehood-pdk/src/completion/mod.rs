//! Completion: continue a text (ABI §3.7).

pub mod http;

use crate::chat::ChatResponse;
use serde::{Deserialize, Serialize};

/// What to continue.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CompletionRequest {
    /// The text before.
    pub prompt: String,
    /// The text after.
    #[serde(default)]
    pub suffix: Option<String>,
    /// At most so many tokens.
    #[serde(default)]
    pub max_tokens: Option<u32>,
    /// Sampling temperature.
    #[serde(default)]
    pub temperature: Option<f32>,
}

/// The continuation. It also serves as a [`ChatResponse`] that is nothing but text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompletionResponse {
    /// The text.
    pub text: String,
}

impl ChatResponse for CompletionResponse {
    fn text(&self) -> Option<String> {
        Some(self.text.clone())
    }
}
