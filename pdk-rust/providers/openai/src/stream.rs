//! The streamed answer: one JSON document in each `data:` line.

use crate::errors;
use crate::reply::{finish, text_of, ApiUsage};
use fumehood_pdk::chat::ChatStreamParser;
use fumehood_pdk::error::response_format;
use fumehood_pdk::lines::{sse_data, Lines};
use fumehood_pdk::{FinishReason, LLMError, StreamChunk, ToolCall, Usage};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Option<ApiUsage>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    #[serde(default)]
    content: Option<Value>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    reasoning_content: Option<String>,
    #[serde(default)]
    reasoning: Option<Value>,
    #[serde(default)]
    tool_calls: Option<Vec<CallDelta>>,
}

#[derive(Deserialize)]
struct CallDelta {
    #[serde(default)]
    index: Option<usize>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: Option<FunctionDelta>,
}

#[derive(Deserialize)]
struct FunctionDelta {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<String>,
}

#[derive(Default)]
struct Call {
    id: String,
    name: String,
    arguments: String,
    started: bool,
}

/// Parser of one stream.
#[derive(Default)]
pub(crate) struct Parser {
    lines: Lines,
    /// Calls begun and not yet complete.
    calls: BTreeMap<usize, Call>,
    called: bool,
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

    fn finish(&mut self) -> Result<Vec<StreamChunk>, LLMError> {
        let mut out = Vec::new();
        let rest = self.lines.finish();
        self.line(&rest, &mut out)?;
        // the stream broke off: a call whose arguments are cut in half must not be made
        self.calls.retain(|_, call| serde_json::from_str::<serde::de::IgnoredAny>(&call.arguments).is_ok());
        self.complete(&mut out);
        Ok(out)
    }
}

impl Parser {
    fn line(&mut self, line: &[u8], out: &mut Vec<StreamChunk>) -> Result<(), LLMError> {
        let Some(data) = sse_data(line) else { return Ok(()) };
        if data == b"[DONE]" {
            self.complete(out);
            if !self.done {
                self.done = true;
                let finish_reason = if self.called { FinishReason::ToolCalls } else { FinishReason::Stop };
                out.push(StreamChunk::Done { finish_reason });
            }
            return Ok(());
        }
        let event: Event = serde_json::from_slice(data).map_err(|error| {
            errors::in_body(data).unwrap_or_else(|| response_format(format!("stream: {error}"), data))
        })?;
        if event.error.is_some_and(|error| !error.is_null()) {
            let unnamed = || response_format("stream: an error without a text", data);
            return Err(errors::in_body(data).unwrap_or_else(unnamed));
        }
        if let Some(choice) = event.choices.unwrap_or_default().into_iter().next() {
            if let Some(delta) = choice.delta {
                self.delta(delta, out);
            }
            if let Some(word) = choice.finish_reason {
                self.complete(out);
                if !self.done {
                    self.done = true;
                    out.push(StreamChunk::Done { finish_reason: finish(&word, self.called) });
                }
            }
        }
        if let Some(usage) = event.usage {
            out.push(StreamChunk::Usage(Usage::from(usage)));
        }
        Ok(())
    }

    fn delta(&mut self, delta: Delta, out: &mut Vec<StreamChunk>) {
        let thought = delta.reasoning_content.or_else(|| delta.reasoning.as_ref().and_then(text_of));
        if let Some(text) = thought.filter(|text| !text.is_empty()) {
            out.push(StreamChunk::Thinking(text));
        }
        let text = delta.content.as_ref().and_then(text_of).or(delta.refusal);
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            out.push(StreamChunk::Text(text));
        }
        for piece in delta.tool_calls.unwrap_or_default() {
            self.call(piece, out);
        }
    }

    /// A piece of a call. Without an index it belongs to the newest call, or begins one if it brings a name.
    fn call(&mut self, piece: CallDelta, out: &mut Vec<StreamChunk>) {
        let (name, arguments) = match piece.function {
            Some(function) => (function.name, function.arguments),
            None => (None, None),
        };
        let newest = self.calls.keys().next_back().copied();
        let index = piece.index.unwrap_or(match newest {
            Some(newest) if name.is_none() => newest,
            Some(newest) => newest + 1,
            None => 0,
        });
        let call = self.calls.entry(index).or_default();
        if let Some(id) = piece.id.filter(|id| !id.is_empty()) {
            call.id = id;
        }
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            call.name = name;
        }
        if !call.started && !call.name.is_empty() {
            call.started = true;
            self.called = true;
            if call.id.is_empty() {
                call.id = format!("call_{index}");
            }
            out.push(StreamChunk::ToolUseStart { index, id: call.id.clone(), name: call.name.clone() });
        }
        if let Some(partial_json) = arguments.filter(|text| !text.is_empty()) {
            call.arguments.push_str(&partial_json);
            if call.started {
                out.push(StreamChunk::ToolUseInputDelta { index, partial_json });
            }
        }
    }

    /// Completes the calls that were begun, in their order.
    fn complete(&mut self, out: &mut Vec<StreamChunk>) {
        for (index, call) in std::mem::take(&mut self.calls) {
            if call.started {
                let tool_call = ToolCall::new(call.id, call.name, call.arguments);
                out.push(StreamChunk::ToolUseComplete { index, tool_call });
            }
        }
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
