use super::*;
use serde_json::{json, Value};

fn run(body: &str, size: usize) -> Result<Vec<StreamChunk>, LLMError> {
    let mut parser = Parser::default();
    let mut out = Vec::new();
    for piece in body.as_bytes().chunks(size) {
        out.extend(parser.parse(piece)?);
    }
    out.extend(parser.finish()?);
    Ok(out)
}

fn body(events: &[Value]) -> String {
    events.iter().map(|event| format!("event: {}\r\ndata: {event}\r\n\r\n", event["type"])).collect()
}

fn usage(input_tokens: u32, output_tokens: u32) -> StreamChunk {
    StreamChunk::Usage(Usage { input_tokens, output_tokens, ..Usage::default() })
}

#[test]
fn a_whole_answer_however_it_is_cut() {
    let body = body(&[
        json!({"type": "message_start", "message": {"id": "m", "content": [], "usage": {"input_tokens": 9, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}),
        json!({"type": "ping"}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "s"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "héy"}}),
        json!({"type": "content_block_stop", "index": 1}),
        json!({"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "c1", "name": "f", "input": {}}}),
        json!({"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": ""}}),
        json!({"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "{\"q\":"}}),
        json!({"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "1}"}}),
        json!({"type": "content_block_stop", "index": 2}),
        json!({"type": "content_block_start", "index": 3, "content_block": {"type": "tool_use", "id": "c2", "name": "g", "input": {}}}),
        json!({"type": "content_block_stop", "index": 3}),
        json!({"type": "something_new", "index": 4}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null}, "usage": {"output_tokens": 20}}),
        json!({"type": "message_stop"}),
    ]);
    let start =
        |index, id: &str, name: &str| StreamChunk::ToolUseStart { index, id: id.into(), name: name.into() };
    let delta =
        |partial_json: &str| StreamChunk::ToolUseInputDelta { index: 0, partial_json: partial_json.into() };
    let complete = |index, id: &str, name: &str, arguments: &str| StreamChunk::ToolUseComplete {
        index,
        tool_call: ToolCall::new(id, name, arguments),
    };
    let expected = vec![
        usage(9, 1),
        StreamChunk::Thinking("hm".into()),
        StreamChunk::ThinkingSignature("s".into()),
        StreamChunk::Text("héy".into()),
        start(0, "c1", "f"),
        delta("{\"q\":"),
        delta("1}"),
        complete(0, "c1", "f", "{\"q\":1}"),
        start(1, "c2", "g"),
        complete(1, "c2", "g", "{}"),
        usage(0, 20),
        StreamChunk::Done { finish_reason: FinishReason::ToolCalls },
    ];
    for size in 1..100 {
        assert_eq!(run(&body, size).unwrap(), expected, "{size}");
    }
}

#[test]
fn errors_in_the_stream() {
    let overloaded =
        body(&[json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})]);
    let error = run(&overloaded, 1000).unwrap_err();
    assert!(matches!(
        error,
        LLMError::Provider(f) if f.kind == Some(fumehood_pdk::ProviderErrorKind::ServerOverloaded)
    ));
    for bad in ["data: junk\n", "data: {}\n", "data: {\"type\":\"error\"}\n"] {
        assert!(matches!(run(bad, 1000), Err(LLMError::ResponseFormatError { .. })), "{bad}");
    }
}

#[test]
fn a_call_cut_in_half_is_not_made() {
    let body = body(&[
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "c", "name": "f"}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{\"q\":"}}),
    ]);
    let chunks = run(&body, 1000).unwrap();
    assert!(!chunks.iter().any(|chunk| matches!(chunk, StreamChunk::ToolUseComplete { .. })));
}
