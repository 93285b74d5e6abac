//! [`Guest`]: the exports of ABI §1.1 as functions of bytes. The macros put them into a module; on
//! other targets tests call them through [`Guest::call`].

use crate::chat::{ChatChunk, ChatMessage, ChatReply, ChatStreamParser, StreamChunk, Tool};
use crate::completion::CompletionRequest;
use crate::error::LLMError;
use crate::http::{Request, Response};
use crate::msgpack::Bytes;
use crate::plugin::http::{HTTPLLMProvider, HTTPLLMProviderFactory};
use crate::speech::{SttRequest, TtsRequest};
use crate::status::require_success;
use crate::wire::{Wire, WireResponse};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Performs a request for the guest; speech needs it.
pub type HttpCall = fn(&Request<Vec<u8>>) -> Result<Response<Vec<u8>>, LLMError>;

/// An export's output, or the error that the host is told.
pub type Outcome = Result<Vec<u8>, LLMError>;

/// A plugin: a factory and what the macro was told about it.
pub struct Guest {
    /// Makes the providers.
    pub factory: Box<dyn HTTPLLMProviderFactory>,
    /// Instead of the factory's name.
    pub name: Option<&'static str>,
    /// Instead of the factory's base URL.
    pub base_url: Option<&'static str>,
    /// How speech reaches the network.
    pub http: Option<HttpCall>,
}

#[derive(Deserialize)]
struct ChatInput {
    cfg: Value,
    messages: Vec<ChatMessage>,
    #[serde(default)]
    tools: Option<Vec<Tool>>,
}

#[derive(Deserialize)]
struct RespInput {
    // only the models' reply comes without
    cfg: Option<Value>,
    resp: WireResponse,
}

#[derive(Deserialize)]
struct EmbedInput {
    inputs: Vec<String>,
}

#[derive(Deserialize)]
struct CompleteInput {
    req: CompletionRequest,
}

#[derive(Deserialize)]
struct ParserInput {
    parser_id: u32,
    chunk: Bytes,
}

/// The stream parsers of this instance; ids count from 1.
#[derive(Default)]
struct Parsers {
    last: u32,
    open: BTreeMap<u32, Box<dyn ChatStreamParser>>,
}

thread_local! {
    static PARSERS: RefCell<Parsers> = RefCell::default();
}

impl Guest {
    /// A plugin that is all the factory's.
    pub fn new(factory: impl HTTPLLMProviderFactory + 'static) -> Self {
        Guest { factory: Box::new(factory), name: None, base_url: None, http: None }
    }

    /// Calls an export by its name, as a host does: bytes in, bytes or a structured error out.
    pub fn call(&self, export: &str, input: &[u8]) -> Outcome {
        match EXPORTS.iter().find(|(name, _)| *name == export) {
            Some((_, run)) => run(self, input),
            None => Err(LLMError::InvalidRequest(format!("there is no export `{export}`"))),
        }
    }

    /// Export `name`.
    pub fn name(&self, _input: &[u8]) -> Outcome {
        Ok(self.name.unwrap_or_else(|| self.factory.name()).as_bytes().to_vec())
    }

    /// Export `base_url`; empty when there is none.
    pub fn base_url(&self, _input: &[u8]) -> Outcome {
        let own = self.base_url.map(str::to_string).or_else(|| self.factory.base_url());
        Ok(own.unwrap_or_default().into_bytes())
    }

    /// Export `api_key_name`; empty when there is none.
    pub fn api_key_name(&self, _input: &[u8]) -> Outcome {
        Ok(self.factory.api_key_name().unwrap_or_default().into_bytes())
    }

    /// Export `init_logging`.
    pub fn init_logging(&self, input: &[u8]) -> Outcome {
        let level: u8 = read("init_logging", input)?;
        super::guest_log::init(level);
        Ok(Vec::new())
    }

    /// Export `config_schema`.
    pub fn config_schema(&self, input: &[u8]) -> Outcome {
        write(input, &self.factory.config_schema())
    }

    /// Export `from_config`: the configuration comes back unchanged if a provider can be made with it.
    pub fn from_config(&self, input: &[u8]) -> Outcome {
        let cfg: Value = read("from_config", input)?;
        self.provider(&cfg)?;
        write(input, &cfg)
    }

    /// Export `supports_streaming`.
    pub fn supports_streaming(&self, input: &[u8]) -> Outcome {
        let cfg: Value = read("supports_streaming", input)?;
        write(input, &self.provider(&cfg)?.supports_streaming())
    }

    /// Export `list_models_static`; `null` when the models have to be asked for.
    pub fn list_models_static(&self, input: &[u8]) -> Outcome {
        let (cfg, IgnoredAny) = with_cfg("list_models_static", input)?;
        write(input, &self.factory.list_models_static(&cfg))
    }

    /// Export `list_models_request`.
    pub fn list_models_request(&self, input: &[u8]) -> Outcome {
        let (cfg, IgnoredAny) = with_cfg("list_models_request", input)?;
        write_request(input, &self.factory.list_models_request(&cfg)?)
    }

    /// Export `parse_list_models_response`.
    pub fn parse_list_models_response(&self, input: &[u8]) -> Outcome {
        let RespInput { resp, .. } = read("parse_list_models_response", input)?;
        write(input, &parsed(resp.0, |resp| self.factory.parse_list_models(resp))?)
    }

    /// Export `chat_request`.
    pub fn chat_request(&self, input: &[u8]) -> Outcome {
        let ChatInput { cfg, messages, tools } = read("chat_request", input)?;
        write_request(input, &self.provider(&cfg)?.chat_request(&messages, tools.as_deref())?)
    }

    /// Export `chat_stream_request`.
    pub fn chat_stream_request(&self, input: &[u8]) -> Outcome {
        let ChatInput { cfg, messages, tools } = read("chat_stream_request", input)?;
        write_request(input, &self.provider(&cfg)?.chat_stream_request(&messages, tools.as_deref())?)
    }

    /// Export `parse_chat_response`.
    pub fn parse_chat_response(&self, input: &[u8]) -> Outcome {
        let (cfg, resp) = reply("parse_chat_response", input)?;
        let provider = self.provider(&cfg)?;
        let response = parsed(resp.0, |resp| provider.parse_chat(resp))?;
        write(input, &ChatReply::from_response(&*response))
    }

    /// Export `classify_chat_error`: the error is the *output*.
    pub fn classify_chat_error(&self, input: &[u8]) -> Outcome {
        let (cfg, resp) = reply("classify_chat_error", input)?;
        Ok(self.provider(&cfg)?.classify_chat_error(resp.0).to_json())
    }

    /// Export `chat_stream_parser_start`.
    pub fn chat_stream_parser_start(&self, input: &[u8]) -> Outcome {
        let cfg: Value = read("chat_stream_parser_start", input)?;
        let parser = self.provider(&cfg)?.chat_stream_parser()?;
        let id = PARSERS.with_borrow_mut(|parsers| {
            parsers.last += 1;
            parsers.open.insert(parsers.last, parser);
            parsers.last
        });
        write(input, &id)
    }

    /// Export `chat_stream_parser_parse`.
    pub fn chat_stream_parser_parse(&self, input: &[u8]) -> Outcome {
        let ParserInput { parser_id, chunk } = read("chat_stream_parser_parse", input)?;
        let chunks = PARSERS.with_borrow_mut(|parsers| match parsers.open.get_mut(&parser_id) {
            Some(parser) => parser.parse(&chunk.0),
            None => Err(unknown_parser(parser_id)),
        })?;
        write_chunks(input, chunks)
    }

    /// Export `chat_stream_parser_finish`; the parser is gone even when this fails.
    pub fn chat_stream_parser_finish(&self, input: &[u8]) -> Outcome {
        let id: u32 = read("chat_stream_parser_finish", input)?;
        let parser = PARSERS.with_borrow_mut(|parsers| parsers.open.remove(&id));
        write_chunks(input, parser.ok_or_else(|| unknown_parser(id))?.finish()?)
    }

    /// Export `chat_stream_parser_close`; an unknown id is no error.
    pub fn chat_stream_parser_close(&self, input: &[u8]) -> Outcome {
        let id: u32 = read("chat_stream_parser_close", input)?;
        PARSERS.with_borrow_mut(|parsers| parsers.open.remove(&id));
        Ok(Vec::new())
    }

    /// Export `embed_request`.
    pub fn embed_request(&self, input: &[u8]) -> Outcome {
        let (cfg, EmbedInput { inputs }) = with_cfg("embed_request", input)?;
        write_request(input, &self.provider(&cfg)?.embed_request(&inputs)?)
    }

    /// Export `parse_embed_response`.
    pub fn parse_embed_response(&self, input: &[u8]) -> Outcome {
        let (cfg, resp) = reply("parse_embed_response", input)?;
        let provider = self.provider(&cfg)?;
        let vectors = parsed(resp.0, |resp| provider.parse_embed(resp))?;
        if vectors.iter().flatten().any(|x| !x.is_finite()) {
            // JSON has no word for them; serde_json would write null
            return Err(LLMError::ProviderError("an embedding holds a number that is not finite".into()));
        }
        write(input, &vectors)
    }

    /// Export `complete_request`.
    pub fn complete_request(&self, input: &[u8]) -> Outcome {
        let (cfg, CompleteInput { req }) = with_cfg("complete_request", input)?;
        write_request(input, &self.provider(&cfg)?.complete_request(&req)?)
    }

    /// Export `parse_complete_response`.
    pub fn parse_complete_response(&self, input: &[u8]) -> Outcome {
        let (cfg, resp) = reply("parse_complete_response", input)?;
        let provider = self.provider(&cfg)?;
        write(input, &parsed(resp.0, |resp| provider.parse_complete(resp))?)
    }

    /// Export `transcribe`; does its own HTTP.
    pub fn transcribe(&self, input: &[u8]) -> Outcome {
        let (cfg, req): (Value, SttRequest) = with_cfg("transcribe", input)?;
        let provider = self.provider(&cfg)?;
        let request = provider.stt_request(&req)?;
        write(input, &parsed(self.fetch(&request)?, |resp| provider.parse_stt(resp))?)
    }

    /// Export `speech`; does its own HTTP.
    pub fn speech(&self, input: &[u8]) -> Outcome {
        let (cfg, req): (Value, TtsRequest) = with_cfg("speech", input)?;
        let provider = self.provider(&cfg)?;
        let request = provider.tts_request(&req)?;
        write(input, &parsed(self.fetch(&request)?, |resp| provider.parse_tts(resp))?)
    }

    fn provider(&self, cfg: &Value) -> Result<Box<dyn HTTPLLMProvider>, LLMError> {
        self.factory.from_config(cfg).map_err(|error| match LLMError::from_boxed(error) {
            LLMError::JsonError(message) => LLMError::JsonError(format!("config: {message}")),
            other => other,
        })
    }

    fn fetch(&self, request: &Request<Vec<u8>>) -> Result<Response<Vec<u8>>, LLMError> {
        let http = self.http.ok_or_else(|| {
            LLMError::NotImplemented("this plugin was exported without `speech = true`".into())
        })?;
        let response = http(request)?;
        require_success(&response)?;
        Ok(response)
    }
}

/// An export as a function of its input.
pub type Export = fn(&Guest, &[u8]) -> Outcome;

/// Every export by name. The macros list the same names; a test compares the two.
pub const EXPORTS: &[(&str, Export)] = &[
    ("name", Guest::name),
    ("base_url", Guest::base_url),
    ("api_key_name", Guest::api_key_name),
    ("init_logging", Guest::init_logging),
    ("config_schema", Guest::config_schema),
    ("from_config", Guest::from_config),
    ("supports_streaming", Guest::supports_streaming),
    ("list_models_static", Guest::list_models_static),
    ("list_models_request", Guest::list_models_request),
    ("parse_list_models_response", Guest::parse_list_models_response),
    ("chat_request", Guest::chat_request),
    ("chat_stream_request", Guest::chat_stream_request),
    ("parse_chat_response", Guest::parse_chat_response),
    ("classify_chat_error", Guest::classify_chat_error),
    ("chat_stream_parser_start", Guest::chat_stream_parser_start),
    ("chat_stream_parser_parse", Guest::chat_stream_parser_parse),
    ("chat_stream_parser_finish", Guest::chat_stream_parser_finish),
    ("chat_stream_parser_close", Guest::chat_stream_parser_close),
    ("embed_request", Guest::embed_request),
    ("parse_embed_response", Guest::parse_embed_response),
    ("complete_request", Guest::complete_request),
    ("parse_complete_response", Guest::parse_complete_response),
    ("transcribe", Guest::transcribe),
    ("speech", Guest::speech),
];

fn unknown_parser(id: u32) -> LLMError {
    LLMError::InvalidRequest(format!("there is no stream parser {id} in this instance"))
}

fn read<T: DeserializeOwned>(export: &str, input: &[u8]) -> Result<T, LLMError> {
    Wire::of(input).read(input).map_err(|error| LLMError::JsonError(format!("input of {export}: {error}")))
}

/// The input of what parses a reply.
fn reply(export: &str, input: &[u8]) -> Result<(Value, WireResponse), LLMError> {
    let RespInput { cfg, resp } = read(export, input)?;
    Ok((cfg.ok_or_else(|| no_cfg(export))?, resp))
}

fn no_cfg(export: &str) -> LLMError {
    LLMError::JsonError(format!("input of {export}: missing field `cfg`"))
}

/// Splits `{"cfg": …, <fields of the request>}`, by way of a value: for what is not called often, one reader for
/// both wires keeps the module small.
fn with_cfg<T: DeserializeOwned>(export: &str, input: &[u8]) -> Result<(Value, T), LLMError> {
    let mut fields: Map<String, Value> = read(export, input)?;
    let cfg = fields.remove("cfg").ok_or_else(|| no_cfg(export))?;
    let rest = T::deserialize(Value::Object(fields));
    Ok((cfg, rest.map_err(|error| LLMError::JsonError(format!("input of {export}: {error}")))?))
}

/// The answer to an input, in its wire.
fn write<T: Serialize + ?Sized>(input: &[u8], value: &T) -> Outcome {
    Wire::of(input).write(value)
}

fn write_request(input: &[u8], request: &Request<Vec<u8>>) -> Outcome {
    Wire::of(input).write_request(request)
}

fn write_chunks(input: &[u8], chunks: Vec<StreamChunk>) -> Outcome {
    let chunks: Vec<ChatChunk> = chunks.into_iter().map(ChatChunk::from).collect();
    write(input, &chunks)
}

/// Runs a parse method; a JSON error becomes a response-format error that shows the body's beginning.
fn parsed<T>(
    resp: Response<Vec<u8>>,
    parse: impl FnOnce(Response<Vec<u8>>) -> Result<T, Box<dyn std::error::Error>>,
) -> Result<T, LLMError> {
    let shown = resp.body()[..resp.body().len().min(4096)].to_vec();
    parse(resp).map_err(|error| LLMError::from_parse(error, &shown))
}

#[cfg(test)]
#[path = "guest_tests.rs"]
mod tests;
