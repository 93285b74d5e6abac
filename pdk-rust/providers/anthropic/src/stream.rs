//! The streamed answer: one JSON event in each `data:` line.

use crate::errors;
use crate::reply::{ApiUsage, Block};
use fumehood_pdk::chat::ChatStreamParser;
use fumehood_pdk::error::response_format;
use fumehood_pdk::lines::{sse_data, Lines};
use fumehood_pdk::{FinishReason, LLMError, StreamChunk, ToolCall, Usage};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    index: usize,
    #[serde(default)]
    message: Option<Start>,
    #[serde(default)]
    content_block: Option<Block>,
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default)]
    usage: Option<ApiUsage>,
}

#[derive(Deserialize)]
struct Start {
    #[serde(default)]
    usage: Option<ApiUsage>,
}

#[derive(Deserialize)]
struct Delta {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    thinking: Option<String>,
    #[serde(default)]
    signature: Option<String>,
    #[serde(default)]
    partial_json: Option<String>,
    #[serde(default)]
    stop_reason: Option<String>,
}

struct Call {
    /// Which call of the answer: blocks of text and thinking do not count.
    index: usize,
    id: String,
    name: String,
    arguments: String,
}

/// Parser of one stream.
#[derive(Default)]
pub(crate) struct Parser {
    lines: Lines,
    /// Calls begun and not yet complete, by the index of their block.
    calls: BTreeMap<usize, Call>,
    begun: usize,
    done: bool,
}

impl ChatStreamParser for Parser {
    fn parse(&mut self, line: &[u8]) -> Result<Vec<StreamChunk>, LLMError> {
        let mut out = Vec::new();
        let mut lines = std::mem::take(&mut self.lines);
        let result = lines.feed(line, |line| self.line(line, &mut out));
        self.lines = lines;
        result.map(|()| out)
    }

    /// Calls still open when the stream broke off are dropped: their arguments may be cut in half.
    fn finish(&mut self) -> Result<Vec<StreamChunk>, LLMError> {
        let mut out = Vec::new();
        let rest = self.lines.finish();
        self.line(&rest, &mut out)?;
        Ok(out)
    }
}

impl Parser {
    fn line(&mut self, line: &[u8], out: &mut Vec<StreamChunk>) -> Result<(), LLMError> {
        let Some(data) = sse_data(line).filter(|data| *data != b"[DONE]") else { return Ok(()) };
        let event: Event = serde_json::from_slice(data).map_err(|error| {
            errors::in_body(data).unwrap_or_else(|| response_format(format!("stream: {error}"), data))
        })?;
        match event.kind.as_str() {
            "message_start" => {
                if let Some(usage) = event.message.and_then(|message| message.usage) {
                    out.push(StreamChunk::Usage(Usage::from(usage)));
                }
            }
            "content_block_start" => {
                if let Some(block) = event.content_block {
                    self.begin(event.index, block, out);
                }
            }
            "content_block_delta" => {
                if let Some(delta) = event.delta {
                    self.delta(event.index, delta, out);
                }
            }
            "content_block_stop" => {
                if let Some(call) = self.calls.remove(&event.index) {
                    let arguments = if call.arguments.is_empty() { "{}".into() } else { call.arguments };
                    let tool_call = ToolCall::new(call.id, call.name, arguments);
                    out.push(StreamChunk::ToolUseComplete { index: call.index, tool_call });
                }
            }
            "message_delta" => {
                if let Some(usage) = event.usage {
                    out.push(StreamChunk::Usage(Usage::from(usage)));
                }
                if let Some(word) = event.delta.and_then(|delta| delta.stop_reason) {
                    self.end(FinishReason::from_vendor(&word), out);
                }
            }
            "message_stop" => self.end(FinishReason::Stop, out),
            "error" => {
                let unnamed = || response_format("stream: an error without a text", data);
                return Err(errors::in_body(data).unwrap_or_else(unnamed));
            }
            // `ping`, and what may come to be
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, index: usize, block: Block, out: &mut Vec<StreamChunk>) {
        match block.kind.as_str() {
            "text" => push_text(out, block.text, StreamChunk::Text),
            "thinking" => push_text(out, block.thinking, StreamChunk::Thinking),
            "tool_use" => {
                let call = Call {
                    index: self.begun,
                    id: block.id.unwrap_or_else(|| format!("call_{}", self.begun)),
                    name: block.name.unwrap_or_default(),
                    arguments: String::new(),
                };
                self.begun += 1;
                out.push(StreamChunk::ToolUseStart {
                    index: call.index,
                    id: call.id.clone(),
                    name: call.name.clone(),
                });
                self.calls.insert(index, call);
            }
            _ => {}
        }
    }

    fn delta(&mut self, index: usize, delta: Delta, out: &mut Vec<StreamChunk>) {
        push_text(out, delta.text, StreamChunk::Text);
        push_text(out, delta.thinking, StreamChunk::Thinking);
        push_text(out, delta.signature, StreamChunk::ThinkingSignature);
        if let (Some(piece), Some(call)) = (delta.partial_json, self.calls.get_mut(&index)) {
            call.arguments.push_str(&piece);
            let index = call.index;
            push_text(out, Some(piece), |partial_json| StreamChunk::ToolUseInputDelta {
                index,
                partial_json,
            });
        }
    }

    fn end(&mut self, finish_reason: FinishReason, out: &mut Vec<StreamChunk>) {
        if !self.done {
            self.done = true;
            out.push(StreamChunk::Done { finish_reason });
        }
    }
}

fn push_text(out: &mut Vec<StreamChunk>, text: Option<String>, wrap: impl FnOnce(String) -> StreamChunk) {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        out.push(wrap(text));
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
