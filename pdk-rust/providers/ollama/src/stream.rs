//! The streamed answer: one JSON document a line.

use crate::reply::Chat;
use fumehood_pdk::chat::ChatStreamParser;
use fumehood_pdk::lines::Lines;
use fumehood_pdk::{LLMError, StreamChunk};

/// Parser of one stream.
#[derive(Default)]
pub(crate) struct Parser {
    lines: Lines,
    /// Calls so far; each comes whole, in one line.
    calls: usize,
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
        Ok(out)
    }
}

impl Parser {
    fn line(&mut self, line: &[u8], out: &mut Vec<StreamChunk>) -> Result<(), LLMError> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let mut chat = Chat::read(line)?;
        if let Some(text) = chat.message.thinking.take().filter(|text| !text.is_empty()) {
            out.push(StreamChunk::Thinking(text));
        }
        if let Some(text) = chat.message.content.take().filter(|text| !text.is_empty()) {
            out.push(StreamChunk::Text(text));
        }
        for call in chat.message.tool_calls.take().unwrap_or_default() {
            let index = self.calls;
            self.calls += 1;
            let tool_call = call.tool_call(index);
            let (id, name) = (tool_call.id.clone(), tool_call.function.name.clone());
            out.push(StreamChunk::ToolUseStart { index, id, name });
            let partial_json = tool_call.function.arguments.clone();
            out.push(StreamChunk::ToolUseInputDelta { index, partial_json });
            out.push(StreamChunk::ToolUseComplete { index, tool_call });
        }
        if let Some(usage) = chat.usage() {
            out.push(StreamChunk::Usage(usage));
        }
        if chat.done && !self.done {
            self.done = true;
            out.push(StreamChunk::Done { finish_reason: chat.finish(self.calls > 0) });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fumehood_pdk::{FinishReason, ToolCall, Usage};

    fn run(body: &str, size: usize) -> Result<Vec<StreamChunk>, LLMError> {
        let mut parser = Parser::default();
        let mut out = Vec::new();
        for piece in body.as_bytes().chunks(size) {
            out.extend(parser.parse(piece)?);
        }
        out.extend(parser.finish()?);
        Ok(out)
    }

    #[test]
    fn a_whole_answer_however_it_is_cut() {
        let body = concat!(
            r#"{"message":{"role":"assistant","content":"","thinking":"hm"},"done":false}"#,
            "\r\n\n",
            r#"{"message":{"content":"héy"},"done":false}"#,
            "\n",
            r#"{"message":{"content":"","tool_calls":[{"function":{"name":"f","arguments":{"q":1}}}]},"done":false}"#,
            "\n",
            r#"{"message":{"content":""},"done":true,"done_reason":"stop","prompt_eval_count":3,"eval_count":2}"#,
        );
        let expected = vec![
            StreamChunk::Thinking("hm".into()),
            StreamChunk::Text("héy".into()),
            StreamChunk::ToolUseStart { index: 0, id: "call_0".into(), name: "f".into() },
            StreamChunk::ToolUseInputDelta { index: 0, partial_json: "{\"q\":1}".into() },
            StreamChunk::ToolUseComplete { index: 0, tool_call: ToolCall::new("call_0", "f", "{\"q\":1}") },
            StreamChunk::Usage(Usage { input_tokens: 3, output_tokens: 2, ..Usage::default() }),
            StreamChunk::Done { finish_reason: FinishReason::ToolCalls },
        ];
        for size in 1..100 {
            assert_eq!(run(body, size).unwrap(), expected, "{size}");
        }
    }

    #[test]
    fn errors_in_the_stream() {
        assert!(
            matches!(run("{\"error\":\"boom\"}\n", 99), Err(LLMError::Provider(f)) if f.message == "boom")
        );
        assert!(matches!(run("junk\n", 99), Err(LLMError::ResponseFormatError { .. })));
    }
}
