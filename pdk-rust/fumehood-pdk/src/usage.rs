//! [`Usage`]: the token counts of one operation (ABI §3.4).

use serde::{Deserialize, Serialize};

/// Token counts; every field defaults to 0 on input and is always written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Tokens of the prompt.
    #[serde(alias = "prompt_tokens", alias = "prompt_eval_count", alias = "promptTokenCount")]
    pub input_tokens: u32,
    /// Tokens of the answer.
    #[serde(alias = "completion_tokens", alias = "eval_count", alias = "candidatesTokenCount")]
    pub output_tokens: u32,
    /// Tokens spent on reasoning.
    pub reasoning_tokens: u32,
    /// Prompt tokens read from the vendor's cache.
    #[serde(alias = "cache_read_input_tokens")]
    pub cache_read: u32,
    /// Prompt tokens written to the vendor's cache.
    #[serde(alias = "cache_creation_input_tokens")]
    pub cache_write: u32,
}

impl Usage {
    /// Merges two reports about the same operation: the larger count of each field.
    pub fn merge(self, other: Usage) -> Usage {
        Usage {
            input_tokens: self.input_tokens.max(other.input_tokens),
            output_tokens: self.output_tokens.max(other.output_tokens),
            reasoning_tokens: self.reasoning_tokens.max(other.reasoning_tokens),
            cache_read: self.cache_read.max(other.cache_read),
            cache_write: self.cache_write.max(other.cache_write),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_and_merge() {
        let a: Usage = serde_json::from_str(r#"{"prompt_tokens":3,"completion_tokens":2}"#).unwrap();
        let b: Usage = serde_json::from_str(r#"{"input_tokens":1,"cache_read_input_tokens":7}"#).unwrap();
        let both = a.merge(b);
        assert_eq!(
            serde_json::to_string(&both).unwrap(),
            r#"{"input_tokens":3,"output_tokens":2,"reasoning_tokens":0,"cache_read":7,"cache_write":0}"#
        );
        assert!(serde_json::from_str::<Usage>(r#"{"input_tokens":1,"prompt_tokens":1}"#).is_err());
        assert!(serde_json::from_str::<Usage>(r#"{"input_tokens":-1}"#).is_err());
    }
}
