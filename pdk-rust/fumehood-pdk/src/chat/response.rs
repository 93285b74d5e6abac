//! What a chat answers (ABI §3.4, §3.5).

use super::ToolCall;
use crate::usage::Usage;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;

/// Why the model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FinishReason {
    /// It was done.
    Stop,
    /// The limit of tokens was reached.
    Length,
    /// The vendor's filter cut in.
    ContentFilter,
    /// It wants tools called.
    ToolCalls,
    /// It failed.
    Error,
    /// Another reason the vendor knows.
    Other,
    /// A reason we do not know.
    Unknown,
}

impl FinishReason {
    /// The reason behind a vendor's word for it.
    pub fn from_vendor(word: &str) -> Self {
        match word {
            "stop" | "end_turn" | "stop_sequence" | "eos" => Self::Stop,
            "length" | "max_tokens" | "model_context_window_exceeded" => Self::Length,
            "content_filter" | "safety" => Self::ContentFilter,
            "tool_calls" | "tool_use" | "function_call" => Self::ToolCalls,
            "error" => Self::Error,
            "refusal" | "pause_turn" => Self::Other,
            _ => Self::Unknown,
        }
    }
}

/// A chat's answer, whatever the vendor calls its parts.
pub trait ChatResponse: Debug {
    /// The text.
    fn text(&self) -> Option<String>;

    /// The tools the model wants called.
    fn tool_calls(&self) -> Option<Vec<ToolCall>> {
        None
    }

    /// What the model thought.
    fn thinking(&self) -> Option<String> {
        None
    }

    /// What it cost.
    fn usage(&self) -> Option<Usage> {
        None
    }

    /// Why it ended.
    fn finish_reason(&self) -> Option<FinishReason> {
        None
    }
}

/// A [`ChatResponse`] that simply holds its parts; also the reply's form on the wire.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChatReply {
    /// The text.
    pub text: Option<String>,
    /// The tools the model wants called.
    pub tool_calls: Option<Vec<ToolCall>>,
    /// What the model thought.
    pub thinking: Option<String>,
    /// What it cost.
    pub usage: Option<Usage>,
    /// Why it ended.
    pub finish_reason: Option<FinishReason>,
}

impl ChatReply {
    /// The wire form of any answer.
    pub fn from_response(response: &dyn ChatResponse) -> Self {
        Self {
            text: response.text(),
            tool_calls: response.tool_calls(),
            thinking: response.thinking(),
            usage: response.usage(),
            finish_reason: response.finish_reason(),
        }
    }
}

impl ChatResponse for ChatReply {
    fn text(&self) -> Option<String> {
        self.text.clone()
    }
    fn tool_calls(&self) -> Option<Vec<ToolCall>> {
        self.tool_calls.clone()
    }
    fn thinking(&self) -> Option<String> {
        self.thinking.clone()
    }
    fn usage(&self) -> Option<Usage> {
        self.usage
    }
    fn finish_reason(&self) -> Option<FinishReason> {
        self.finish_reason
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_written() {
        assert_eq!(
            serde_json::to_string(&ChatReply::default()).unwrap(),
            r#"{"text":null,"tool_calls":null,"thinking":null,"usage":null,"finish_reason":null}"#
        );
        let reply: ChatReply = serde_json::from_str("{}").unwrap();
        assert_eq!(reply, ChatReply::default());
    }
}
