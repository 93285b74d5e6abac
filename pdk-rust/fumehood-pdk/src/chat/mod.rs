//! Chat: messages, tools, replies, stream chunks and the trait that turns them into HTTP.

mod content;
pub mod http;
mod message;
mod options;
mod response;
mod stream;
mod tool;

pub use content::Content;
pub use message::{CacheHint, ChatMessage, ChatRole};
pub use options::{ReasoningEffort, StructuredOutputFormat, System};
pub use response::{ChatReply, ChatResponse, FinishReason};
pub use stream::{ChatChunk, ChatStreamParser, StreamChunk};
pub use tool::{FunctionCall, FunctionTool, Tool, ToolCall, ToolChoice};
