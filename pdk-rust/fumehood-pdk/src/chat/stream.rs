//! Streams: the chunks (ABI §3.6) and the parser that makes them from lines.

use super::{FinishReason, ToolCall};
use crate::error::LLMError;
use crate::usage::Usage;
use serde::{Deserialize, Serialize};

/// One step of a streamed answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamChunk {
    /// More text.
    Text(String),
    /// More thinking.
    Thinking(String),
    /// The signature of the thinking so far.
    ThinkingSignature(String),
    /// A tool call begins.
    ToolUseStart {
        /// Which call of the answer, from 0.
        index: usize,
        /// Id of the call.
        id: String,
        /// Name of the tool.
        name: String,
    },
    /// More of a call's arguments.
    ToolUseInputDelta {
        /// Which call of the answer.
        index: usize,
        /// A piece of JSON text.
        partial_json: String,
    },
    /// A tool call is complete.
    ToolUseComplete {
        /// Which call of the answer.
        index: usize,
        /// The whole call.
        tool_call: ToolCall,
    },
    /// What it has cost so far.
    Usage(Usage),
    /// The answer ended; usage may still follow.
    Done {
        /// Why.
        finish_reason: FinishReason,
    },
}

/// A chunk as it is written: `{"chunk": …, "usage": …}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChatChunk {
    /// The step.
    pub chunk: StreamChunk,
    /// Repeats the counts of a usage chunk.
    #[serde(default)]
    pub usage: Option<Usage>,
}

impl From<StreamChunk> for ChatChunk {
    fn from(chunk: StreamChunk) -> Self {
        let usage = match &chunk {
            StreamChunk::Usage(usage) => Some(*usage),
            _ => None,
        };
        Self { chunk, usage }
    }
}

/// Turns the lines of one streamed reply into chunks. One is made for each stream.
///
/// The host feeds every line of the body, line end included and blank lines too, then calls `finish`.
pub trait ChatStreamParser {
    /// The chunks that this line completes.
    fn parse(&mut self, line: &[u8]) -> Result<Vec<StreamChunk>, LLMError>;

    /// What is left when the body has ended.
    fn finish(&mut self) -> Result<Vec<StreamChunk>, LLMError> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chunk_of_the_specification() {
        let cases: [&str; 8] = [
            r#"{"chunk":{"text":"a"},"usage":null}"#,
            r#"{"chunk":{"thinking":"b"},"usage":null}"#,
            r#"{"chunk":{"thinking_signature":"s"},"usage":null}"#,
            r#"{"chunk":{"tool_use_start":{"index":0,"id":"c1","name":"f"}},"usage":null}"#,
            r#"{"chunk":{"tool_use_input_delta":{"index":0,"partial_json":"{\"q\":"}},"usage":null}"#,
            r#"{"chunk":{"tool_use_complete":{"index":0,"tool_call":{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"q\":1}"}}}},"usage":null}"#,
            r#"{"chunk":{"usage":{"input_tokens":10,"output_tokens":5,"reasoning_tokens":0,"cache_read":0,"cache_write":0}},"usage":{"input_tokens":10,"output_tokens":5,"reasoning_tokens":0,"cache_read":0,"cache_write":0}}"#,
            r#"{"chunk":{"done":{"finish_reason":"ToolCalls"}},"usage":null}"#,
        ];
        for text in cases {
            let chunk: ChatChunk = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&ChatChunk::from(chunk.chunk)).unwrap(), text);
        }
    }
}
