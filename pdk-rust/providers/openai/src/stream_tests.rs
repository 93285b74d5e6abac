use super::*;
use serde_json::json;

/// Everything a body yields, cut into pieces of `size`.
fn run(body: &str, size: usize) -> Result<Vec<StreamChunk>, LLMError> {
    let mut parser = Parser::default();
    let mut out = Vec::new();
    for piece in body.as_bytes().chunks(size) {
        out.extend(parser.parse(piece)?);
    }
    out.extend(parser.finish()?);
    Ok(out)
}

fn data(event: serde_json::Value) -> String {
    format!("data: {event}\n\n")
}

fn done(finish_reason: FinishReason) -> StreamChunk {
    StreamChunk::Done { finish_reason }
}

#[test]
fn text_with_usage_after_the_finish() {
    let body = [
        ": welcome\r\n\r\nevent: message\r\n".to_string(),
        data(json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})),
        data(json!({"choices": [{"delta": {"reasoning_content": "hm"}}]})),
        data(json!({"choices": [{"delta": {"content": "hé"}}]})),
        data(json!({"choices": [{"delta": {"content": "llo"}, "finish_reason": null}], "usage": null})),
        data(json!({"choices": [{"delta": {}, "finish_reason": "stop"}]})),
        data(json!({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})),
        "data: [DONE]\n\ndata: [DONE]\n".to_string(),
    ]
    .concat();
    let expected = vec![
        StreamChunk::Thinking("hm".into()),
        StreamChunk::Text("hé".into()),
        StreamChunk::Text("llo".into()),
        done(FinishReason::Stop),
        StreamChunk::Usage(Usage { input_tokens: 3, output_tokens: 2, ..Usage::default() }),
    ];
    for size in 1..80 {
        assert_eq!(run(&body, size).unwrap(), expected, "{size}");
    }
}

#[test]
fn two_calls() {
    let call = |piece| data(json!({"choices": [{"delta": {"tool_calls": [piece]}}]}));
    let body = [
        call(json!({"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}})),
        call(json!({"index": 0, "function": {"arguments": "{\"q\":"}})),
        call(json!({"index": 1, "function": {"name": "g", "arguments": "{}"}})),
        call(json!({"index": 0, "function": {"arguments": "1}"}})),
        data(json!({"choices": [{"delta": {}, "finish_reason": "stop"}]})),
        "data: [DONE]".to_string(),
    ]
    .concat();
    let delta = |index, text: &str| StreamChunk::ToolUseInputDelta { index, partial_json: text.into() };
    let start =
        |index, id: &str, name: &str| StreamChunk::ToolUseStart { index, id: id.into(), name: name.into() };
    assert_eq!(
        run(&body, 7).unwrap(),
        vec![
            start(0, "c1", "f"),
            delta(0, "{\"q\":"),
            start(1, "call_1", "g"),
            delta(1, "{}"),
            delta(0, "1}"),
            StreamChunk::ToolUseComplete { index: 0, tool_call: ToolCall::new("c1", "f", "{\"q\":1}") },
            StreamChunk::ToolUseComplete { index: 1, tool_call: ToolCall::new("call_1", "g", "{}") },
            done(FinishReason::ToolCalls),
        ]
    );
}

#[test]
fn no_finish_reason_but_done() {
    let body = data(json!({"choices": [{"delta": {"content": "a"}}]})) + "data:[DONE]\n";
    assert_eq!(run(&body, 1000).unwrap(), vec![StreamChunk::Text("a".into()), done(FinishReason::Stop)]);
}

#[test]
fn broken_off() {
    let piece = |arguments: &str| {
        data(json!({"choices": [{"delta": {"tool_calls": [
            {"index": 0, "id": "c", "function": {"name": "f", "arguments": arguments}}]}}]}))
    };
    let complete = |chunks: Vec<StreamChunk>| {
        chunks.iter().any(|chunk| matches!(chunk, StreamChunk::ToolUseComplete { .. }))
    };
    assert!(!complete(run(&piece("{\"q\":"), 1000).unwrap()));
    assert!(complete(run(&piece("{}"), 1000).unwrap()));
}

#[test]
fn errors_in_the_stream() {
    let error = run(&data(json!({"error": {"message": "over", "type": "server_error"}})), 1000).unwrap_err();
    assert!(matches!(
        error,
        LLMError::Provider(f) if f.message == "over" && f.kind == Some(fumehood_pdk::ProviderErrorKind::UnknownTransient)
    ));
    assert!(matches!(
        run("data: junk\n", 1000),
        Err(LLMError::ResponseFormatError { raw_response, .. }) if raw_response == "junk"
    ));
    assert!(matches!(run("data: \u{fffd}\n", 1), Err(LLMError::ResponseFormatError { .. })));
    assert_eq!(run("data: {}\n", 1000).unwrap(), vec![]);
}
