use super::*;
use crate::chat::http::HTTPChatProvider;
use crate::chat::{ChatResponse, FinishReason};
use crate::completion::http::HTTPCompletionProvider;
use crate::completion::CompletionResponse;
use crate::embedding::http::HTTPEmbeddingProvider;
use crate::error::{ProviderErrorKind, ProviderFailure};
use crate::speech::{SttResponse, TtsResponse};
use serde_json::json;
use std::error::Error;

/// Echoes what it is given; `mode` makes it fail.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Echo {
    mode: String,
}

impl Echo {
    fn request(&self, body: impl Serialize) -> Result<Request<Vec<u8>>, LLMError> {
        if self.mode == "refuse" {
            return Err(LLMError::ToolConfigError("refused".into()));
        }
        Ok(Request::builder().uri("http://h/").body(serde_json::to_vec(&body)?)?)
    }
}

struct Counting(u32);
impl ChatStreamParser for Counting {
    fn parse(&mut self, line: &[u8]) -> Result<Vec<StreamChunk>, LLMError> {
        if line == b"bad\n" {
            return Err(LLMError::ProviderError("bad line".into()));
        }
        self.0 += 1;
        Ok(vec![StreamChunk::Text(format!("{}", self.0))])
    }
    fn finish(&mut self) -> Result<Vec<StreamChunk>, LLMError> {
        Ok(vec![StreamChunk::Done { finish_reason: FinishReason::Stop }])
    }
}

impl HTTPChatProvider for Echo {
    fn chat_request(
        &self,
        messages: &[ChatMessage],
        tools: Option<&[Tool]>,
    ) -> Result<Request<Vec<u8>>, LLMError> {
        self.request((messages, tools))
    }
    fn parse_chat(&self, resp: Response<Vec<u8>>) -> Result<Box<dyn ChatResponse>, Box<dyn Error>> {
        if self.mode == "limit" {
            let failure = ProviderFailure {
                message: "slow".into(),
                kind: Some(ProviderErrorKind::RateLimited),
                retry_after_secs: Some(4),
                ..ProviderFailure::default()
            };
            return Err(Box::new(LLMError::Provider(failure)));
        }
        let text: String = serde_json::from_slice(resp.body())?;
        Ok(Box::new(CompletionResponse { text }))
    }
    fn chat_stream_parser(&self) -> Result<Box<dyn ChatStreamParser>, LLMError> {
        Ok(Box::new(Counting(0)))
    }
}
impl HTTPEmbeddingProvider for Echo {
    fn embed_request(&self, inputs: &[String]) -> Result<Request<Vec<u8>>, LLMError> {
        self.request(inputs)
    }
    fn parse_embed(&self, resp: Response<Vec<u8>>) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
        if self.mode == "nan" {
            return Ok(vec![vec![f32::NAN]]);
        }
        Ok(serde_json::from_slice(resp.body())?)
    }
}
impl HTTPCompletionProvider for Echo {
    fn complete_request(&self, req: &CompletionRequest) -> Result<Request<Vec<u8>>, LLMError> {
        self.request(req)
    }
    fn parse_complete(&self, _resp: Response<Vec<u8>>) -> Result<CompletionResponse, Box<dyn Error>> {
        Err("it broke".into())
    }
}
impl HTTPLLMProvider for Echo {
    fn stt_request(&self, req: &SttRequest) -> Result<Request<Vec<u8>>, LLMError> {
        if self.mode == "mute" {
            return Err(LLMError::NotImplemented("no ears".into()));
        }
        self.request(&req.audio)
    }
    fn parse_stt(&self, resp: Response<Vec<u8>>) -> Result<SttResponse, Box<dyn Error>> {
        Ok(SttResponse { text: String::from_utf8(resp.into_body())? })
    }
    fn tts_request(&self, req: &TtsRequest) -> Result<Request<Vec<u8>>, LLMError> {
        self.request(&req.text)
    }
    fn parse_tts(&self, resp: Response<Vec<u8>>) -> Result<TtsResponse, Box<dyn Error>> {
        Ok(TtsResponse { audio: resp.into_body(), mime_type: None })
    }
}

struct Factory;
impl HTTPLLMProviderFactory for Factory {
    fn name(&self) -> &str {
        "echo"
    }
    fn config_schema(&self) -> Value {
        json!({"properties": {"mode": {}, "base_url": {"default": "http://d/"}}})
    }
    fn from_config(&self, cfg: &Value) -> Result<Box<dyn HTTPLLMProvider>, Box<dyn Error>> {
        Ok(Box::new(Echo::deserialize(cfg)?))
    }
    fn list_models_request(&self, cfg: &Value) -> Result<Request<Vec<u8>>, LLMError> {
        Ok(Request::builder().uri("http://h/models").body(cfg.to_string().into_bytes())?)
    }
    fn parse_list_models(&self, resp: Response<Vec<u8>>) -> Result<Vec<String>, Box<dyn Error>> {
        Ok(serde_json::from_slice(resp.body())?)
    }
}

fn call(export: &str, input: Value) -> Result<Value, LLMError> {
    let output = Guest::new(Factory).call(export, input.to_string().as_bytes())?;
    Ok(serde_json::from_slice(&output).expect("a JSON output"))
}

fn resp(status: u16, body: &str) -> Value {
    json!({"resp": {"head": {"status": status, "headers": {}, "version": "HTTP/1.1"}, "body": body.as_bytes()}})
}

fn body(output: &Value) -> Value {
    let bytes: Vec<u8> = serde_json::from_value(output["req"]["body"].clone()).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn raw_outputs_are_not_quoted() {
    let mut guest = Guest::new(Factory);
    assert_eq!(guest.call("name", b"null").unwrap(), b"echo");
    assert_eq!(guest.call("base_url", b"null").unwrap(), b"http://d/");
    assert_eq!(guest.call("api_key_name", b"null").unwrap(), b"");
    assert_eq!(guest.call("init_logging", b"3").unwrap(), b"");
    guest.name = Some("other");
    guest.base_url = Some("http://o/");
    assert_eq!(guest.call("name", b"").unwrap(), b"other");
    assert_eq!(guest.call("base_url", b"").unwrap(), b"http://o/");
}

#[test]
fn configuration() {
    assert_eq!(call("config_schema", Value::Null).unwrap()["properties"]["mode"], json!({}));
    assert_eq!(call("from_config", json!({"mode": "m"})).unwrap(), json!({"mode": "m"}));
    assert_eq!(call("supports_streaming", json!({"mode": "m"})).unwrap(), json!(false));
    for bad in [json!({}), json!({"mode": 1}), json!({"mode": "m", "x": 1}), json!([]), Value::Null] {
        let error = call("from_config", bad).unwrap_err();
        assert!(matches!(error, LLMError::JsonError(m) if m.starts_with("config: ")));
    }
}

#[test]
fn chats() {
    let input = json!({"cfg": {"mode": "m"}, "messages": [ChatMessage::user("hi")], "tools": null});
    let sent = body(&call("chat_request", input.clone()).unwrap());
    assert_eq!(sent, json!([[{"role": "User", "content": [{"type": "text", "text": "hi"}]}], null]));
    let error = call("chat_stream_request", input).unwrap_err();
    assert!(matches!(error, LLMError::NotImplemented(_)));
    let parse = |mode: &str, body: &str| {
        call("parse_chat_response", json!({"cfg": {"mode": mode}, "resp": resp(200, body)}))
    };
    assert_eq!(
        parse("m", r#""hello""#).unwrap(),
        json!({"text": "hello", "tool_calls": null, "thinking": null, "usage": null, "finish_reason": null})
    );
    let error = parse("m", "junk").unwrap_err();
    assert!(matches!(error, LLMError::ResponseFormatError { raw_response, .. } if raw_response == "junk"));
    let error = parse("limit", "").unwrap_err();
    assert!(matches!(error, LLMError::Provider(f) if f.retry_after_secs == Some(4)));
    let refused = json!({"cfg": {"mode": "refuse"}, "messages": []});
    assert_eq!(call("chat_request", refused).unwrap_err(), LLMError::ToolConfigError("refused".into()));
}

#[test]
fn classification_is_an_output() {
    let input = json!({"cfg": {"mode": "m"}, "resp": resp(429, r#"{"error":{"message":"slow"}}"#)});
    assert_eq!(
        call("classify_chat_error", input).unwrap(),
        json!({"payload": {"type": "provider_error", "message": "slow", "kind": "rate_limited"}})
    );
}

#[test]
fn models() {
    assert_eq!(call("list_models_static", json!({"cfg": {}})).unwrap(), Value::Null);
    let sent = call("list_models_request", json!({"cfg": {"api_key": "K"}})).unwrap();
    assert_eq!(sent["req"]["head"]["uri"], "http://h/models");
    let names = call("parse_list_models_response", json!({"resp": resp(200, r#"["a"]"#)})).unwrap();
    assert_eq!(names, json!(["a"]));
}

#[test]
fn embeddings_and_completions() {
    let cfg = json!({"mode": "m"});
    assert_eq!(body(&call("embed_request", json!({"cfg": cfg, "inputs": ["a"]})).unwrap()), json!(["a"]));
    let vectors = call("parse_embed_response", json!({"cfg": cfg, "resp": resp(200, "[[1.5]]")})).unwrap();
    assert_eq!(vectors, json!([[1.5]]));
    let nan = json!({"cfg": {"mode": "nan"}, "resp": resp(200, "")});
    assert!(matches!(call("parse_embed_response", nan), Err(LLMError::ProviderError(_))));
    let sent = call("complete_request", json!({"cfg": cfg, "req": {"prompt": "p"}})).unwrap();
    assert_eq!(body(&sent), json!({"prompt": "p", "suffix": null, "max_tokens": null, "temperature": null}));
    let error = call("parse_complete_response", json!({"cfg": cfg, "resp": resp(200, "")})).unwrap_err();
    assert_eq!(error, LLMError::Generic("it broke".into()));
}

#[test]
fn life_of_a_stream_parser() {
    let start = || call("chat_stream_parser_start", json!({"mode": "m"})).unwrap().as_u64().unwrap();
    let parse = |id: u64, line: &str| {
        call("chat_stream_parser_parse", json!({"parser_id": id, "chunk": line.as_bytes()}))
    };
    let (a, b) = (start(), start());
    assert_ne!(a, b);
    assert_eq!(parse(a, "x\n").unwrap(), json!([{"chunk": {"text": "1"}, "usage": null}]));
    assert_eq!(parse(a, "x\n").unwrap(), json!([{"chunk": {"text": "2"}, "usage": null}]));
    assert_eq!(parse(b, "x\n").unwrap(), json!([{"chunk": {"text": "1"}, "usage": null}]));
    assert!(matches!(parse(b, "bad\n"), Err(LLMError::ProviderError(_))));
    let done = call("chat_stream_parser_finish", json!(a)).unwrap();
    assert_eq!(done, json!([{"chunk": {"done": {"finish_reason": "Stop"}}, "usage": null}]));
    for gone in [parse(a, "x\n"), call("chat_stream_parser_finish", json!(a)), parse(99, "x\n")] {
        assert!(matches!(gone, Err(LLMError::InvalidRequest(_))));
    }
    let guest = Guest::new(Factory);
    for id in [b.to_string(), b.to_string(), "99".to_string()] {
        assert_eq!(guest.call("chat_stream_parser_close", id.as_bytes()).unwrap(), b"");
    }
}

#[test]
fn speech_does_its_own_http() {
    let stt = json!({"cfg": {"mode": "m"}, "audio_base64": "UklG"});
    let without = call("transcribe", stt.clone()).unwrap_err();
    assert!(matches!(without, LLMError::NotImplemented(m) if m.contains("speech = true")));
    let mute = json!({"cfg": {"mode": "mute"}, "audio_base64": "UklG"});
    assert_eq!(call("transcribe", mute).unwrap_err(), LLMError::NotImplemented("no ears".into()));
    let mut guest = Guest::new(Factory);
    guest.http = Some(|request| Ok(Response::new(request.body().clone())));
    assert_eq!(guest.call("transcribe", stt.to_string().as_bytes()).unwrap(), br#"{"text":"[82,73,70]"}"#);
    let tts = json!({"cfg": {"mode": "m"}, "text": "hi"});
    assert_eq!(guest.call("speech", tts.to_string().as_bytes()).unwrap(), br#"{"audio_base64":"ImhpIg=="}"#);
    guest.http = Some(|_| Ok(Response::builder().status(401).body(b"no".to_vec()).unwrap()));
    assert_eq!(guest.call("speech", tts.to_string().as_bytes()), Err(LLMError::AuthError("no".into())));
}

#[test]
fn whatever_comes_in_the_answer_is_an_output_or_a_structured_error() {
    let inputs: [&[u8]; 8] = [
        b"",
        b"null",
        b"{}",
        b"[]",
        b"junk",
        b"\xff\xfe",
        b"{\"cfg\":{\"mode\":\"m\"}}",
        b"99999999999999999999",
    ];
    for (name, _) in EXPORTS {
        for input in inputs {
            if let Err(error) = Guest::new(Factory).call(name, input) {
                assert!(error.to_json().starts_with(br#"{"payload":{"type":""#), "{name}");
            }
        }
    }
    assert!(Guest::new(Factory).call("nothing", b"").is_err());
}

#[test]
fn the_macros_export_the_same_names() {
    let source = include_str!("extism_impl/macros.rs");
    let (_, rest) = source.split_once("guest:\n").unwrap();
    let (list, _) = rest.split_once('}').unwrap();
    let listed: Vec<&str> = list.split_whitespace().collect();
    let known: Vec<&str> = EXPORTS.iter().map(|(name, _)| *name).collect();
    assert_eq!(listed, known);
}

#[test]
fn answers_come_in_the_wire_of_the_input() {
    use crate::msgpack::{from_slice, to_vec, Bytes, Slice};
    fn call(export: &str, input: &impl Serialize) -> Outcome {
        Guest::new(Factory).call(export, &to_vec(input).unwrap())
    }
    let cfg = json!({"mode": "m"});
    let chat = json!({"cfg": cfg, "messages": [{"role": "User", "content": []}], "tools": null});
    #[derive(Deserialize)]
    struct Built {
        req: Inner,
    }
    #[derive(Deserialize)]
    struct Inner {
        head: Value,
        body: Bytes,
    }
    for export in ["chat_request", "list_models_request"] {
        let packed: Built = from_slice(&call(export, &chat).unwrap()).unwrap();
        let text = Guest::new(Factory).call(export, chat.to_string().as_bytes()).unwrap();
        let plain: Built = serde_json::from_slice(&text).unwrap();
        assert_eq!((packed.req.head, packed.req.body), (plain.req.head, plain.req.body));
    }
    // an array of decimals is as good as `bin`
    let reply = |status, body| json!({"cfg": cfg, "resp": resp(status, body)});
    let answer: Value = from_slice(&call("parse_chat_response", &reply(200, "\"hi\"")).unwrap()).unwrap();
    assert_eq!(answer["text"], "hi");
    let back: Value = from_slice(&call("from_config", &cfg).unwrap()).unwrap();
    assert_eq!(back, cfg);
    // errors are JSON always, as output too
    let said = call("classify_chat_error", &reply(500, "x")).unwrap();
    assert!(serde_json::from_slice::<Value>(&said).unwrap()["payload"].is_object());
    assert!(matches!(call("chat_request", &json!({"cfg": 1})), Err(LLMError::JsonError(_))));
    // numbers stay JSON
    let id: u32 = from_slice(&call("chat_stream_parser_start", &cfg).unwrap()).unwrap();
    assert_eq!(id, 1);
    #[derive(Serialize)]
    struct Line<'a> {
        parser_id: u32,
        chunk: Slice<'a>,
    }
    let line = Line { parser_id: id, chunk: Slice(b"a\n") };
    let chunks: Value = from_slice(&call("chat_stream_parser_parse", &line).unwrap()).unwrap();
    assert_eq!(chunks, json!([{"chunk": {"text": "1"}, "usage": null}]));
    let rest = Guest::new(Factory).call("chat_stream_parser_finish", b"1").unwrap();
    assert!(rest.starts_with(b"[{"));
}
