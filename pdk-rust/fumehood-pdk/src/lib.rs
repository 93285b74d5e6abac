//! Write an LLM-provider plugin in Rust.
//!
//! A provider is pure: it *builds* an HTTP request from a chat and *parses* the reply; the host does
//! the I/O. Implement [`chat::http::HTTPChatProvider`] and its siblings, a factory
//! ([`plugin::http::HTTPLLMProviderFactory`]), and export the lot with one macro
//! (`impl_extism_http_plugin!`). The result runs in fumehood and, by its exports, in QueryMT.
//!
//! Module paths, names and signatures are those of QueryMT's plugin guide, so that a crate written
//! for it compiles after `querymt = { package = "fumehood-pdk", … }`. What QueryMT gained since
//! (streaming, error classification, static model lists, speech) are methods with default bodies.
//!
//! Features: `extism_plugin` (the macros), `http-client` (accepted, changes nothing), `schemars`
//! (`JsonSchema` 1.x on config types), `log` (a `log` backend), `http-02` (traits on `http` 0.2).
#![deny(missing_docs)]
#![warn(unreachable_pub)]

pub mod chat;
pub mod completion;
pub mod embedding;
pub mod error;
pub mod lines;
pub mod msgpack;
pub mod plugin;
pub mod request;
pub mod speech;
pub mod status;
pub mod usage;
pub mod wire;

#[cfg(not(feature = "http-02"))]
pub use http1 as http;

#[cfg(feature = "http-02")]
pub use http02 as http;

#[cfg(feature = "log")]
pub use log;

pub use chat::{
    CacheHint, ChatMessage, ChatReply, ChatResponse, ChatRole, Content, FinishReason, FunctionCall,
    FunctionTool, ReasoningEffort, StreamChunk, StructuredOutputFormat, Tool, ToolCall, ToolChoice,
};
pub use completion::{CompletionRequest, CompletionResponse};
pub use error::{LLMError, ProviderErrorKind, ProviderFailure, TransportKind};
pub use plugin::http::HTTPLLMProvider;
pub use usage::Usage;
