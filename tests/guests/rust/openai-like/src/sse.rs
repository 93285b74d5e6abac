//! A stream of server-sent events in OpenAI's shape, turned into stream chunks.

use crate::wire::{finish_reason, usage};
use serde_json::{json, Map, Value};
use std::collections::BTreeMap;

/// What one stream has said so far. Feed it lines; `finish` closes what is still open.
#[derive(Default)]
pub struct Parser {
    tools: BTreeMap<u64, (String, String, String)>,
}

fn chunk(kind: &str, value: Value) -> Value {
    let mut inner = Map::new();
    inner.insert(kind.into(), value);
    json!({"chunk": inner, "usage": null})
}

impl Parser {
    /// The chunks of one line, which may be blank or a comment.
    pub fn line(&mut self, line: &str) -> Result<Vec<Value>, String> {
        let Some(data) = line.trim_end().strip_prefix("data:").map(str::trim) else {
            return Ok(vec![]);
        };
        if data == "[DONE]" {
            let mut chunks = self.finish();
            chunks.push(chunk("done", json!({"finish_reason": "Stop"})));
            return Ok(chunks);
        }
        let event: Value = serde_json::from_str(data).map_err(|error| error.to_string())?;
        if let Some(message) = event.pointer("/error/message").and_then(Value::as_str) {
            return Err(message.into());
        }
        let mut chunks = vec![];
        if let Some(choice) = event.pointer("/choices/0") {
            self.delta(&choice["delta"], &mut chunks);
            if let Some(reason) = choice["finish_reason"].as_str() {
                chunks.extend(self.finish());
                chunks.push(chunk(
                    "done",
                    json!({"finish_reason": finish_reason(reason)}),
                ));
            }
        }
        if event["usage"].is_object() {
            let counted = usage(&event["usage"]);
            chunks.push(json!({"chunk": {"usage": counted}, "usage": counted}));
        }
        Ok(chunks)
    }

    fn delta(&mut self, delta: &Value, chunks: &mut Vec<Value>) {
        for (key, kind) in [("reasoning_content", "thinking"), ("content", "text")] {
            if let Some(text) = delta[key].as_str().filter(|text| !text.is_empty()) {
                chunks.push(chunk(kind, json!(text)));
            }
        }
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let index = call["index"].as_u64().unwrap_or(0);
            if let (Some(id), Some(name)) = (call["id"].as_str(), call["function"]["name"].as_str())
            {
                self.tools
                    .insert(index, (id.into(), name.into(), String::new()));
                let start = json!({"index": index, "id": id, "name": name});
                chunks.push(chunk("tool_use_start", start));
            }
            if let Some(part) = call["function"]["arguments"]
                .as_str()
                .filter(|part| !part.is_empty())
            {
                if let Some((_, _, arguments)) = self.tools.get_mut(&index) {
                    arguments.push_str(part);
                    let delta = json!({"index": index, "partial_json": part});
                    chunks.push(chunk("tool_use_input_delta", delta));
                }
            }
        }
    }

    /// Completes the tool calls that are still open.
    pub fn finish(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.tools)
            .into_iter()
            .map(|(index, (id, name, arguments))| {
                let function = json!({"name": name, "arguments": arguments});
                let call = json!({"id": id, "type": "function", "function": function});
                chunk(
                    "tool_use_complete",
                    json!({"index": index, "tool_call": call}),
                )
            })
            .collect()
    }
}
