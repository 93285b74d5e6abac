//! [`ChatMessage`]: who said what (ABI §3.2).

use super::Content;
use serde::{Deserialize, Serialize};

/// Who speaks. There is no system or tool role: system text is configuration, tool results are the user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChatRole {
    /// The caller.
    User,
    /// The model.
    Assistant,
}

/// Asks the vendor to cache the conversation up to and including a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheHint {
    /// For a while.
    Ephemeral {
        /// How long; the vendor's default when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ttl_seconds: Option<u64>,
    },
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// Who speaks.
    pub role: ChatRole,
    /// What is said, in order.
    pub content: Vec<Content>,
    /// Whether to cache up to here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheHint>,
}

impl ChatMessage {
    /// A message of the caller holding one text.
    pub fn user(text: impl Into<String>) -> Self {
        Self { role: ChatRole::User, content: vec![Content::text(text)], cache: None }
    }

    /// A message of the model holding one text.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self { role: ChatRole::Assistant, content: vec![Content::text(text)], cache: None }
    }

    /// Adds a block.
    pub fn with(mut self, block: Content) -> Self {
        self.content.push(block);
        self
    }

    /// The message's texts, a newline between them.
    pub fn text(&self) -> String {
        Content::join_text(&self.content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_form() {
        let text = r#"{"role":"User","content":[{"type":"text","text":"hi"}],"cache":{"ephemeral":{"ttl_seconds":300}}}"#;
        let message: ChatMessage = serde_json::from_str(text).unwrap();
        assert_eq!(message.cache, Some(CacheHint::Ephemeral { ttl_seconds: Some(300) }));
        assert_eq!(serde_json::to_string(&message).unwrap(), text);
        let bare = ChatMessage::assistant("a").with(Content::text("b"));
        assert_eq!(bare.text(), "a\nb");
        assert_eq!(
            serde_json::to_string(&bare).unwrap(),
            r#"{"role":"Assistant","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}"#
        );
        for bad in [
            r#"{"role":"user","content":[]}"#,
            r#"{"role":"User","content":"hi"}"#,
            r#"{"role":"User","content":[],"cache":"ephemeral"}"#,
        ] {
            assert!(serde_json::from_str::<ChatMessage>(bad).is_err(), "{bad}");
        }
        let empty = r#"{"role":"User","content":[],"cache":{"ephemeral":{}}}"#;
        let message: ChatMessage = serde_json::from_str(empty).unwrap();
        assert_eq!(serde_json::to_string(&message).unwrap(), empty);
    }
}
