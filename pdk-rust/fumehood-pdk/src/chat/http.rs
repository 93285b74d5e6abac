//! [`HTTPChatProvider`]: a chat as one HTTP exchange.

use super::{ChatMessage, ChatResponse, ChatStreamParser, Tool};
use crate::error::LLMError;
use crate::http::{Request, Response};
use crate::status::classify_chat;
use std::error::Error;

/// Builds the request of a chat and reads its reply. Pure: no I/O, no clock, no state.
pub trait HTTPChatProvider: Send + Sync {
    /// The request that asks `messages`, offering `tools`.
    fn chat_request(
        &self,
        messages: &[ChatMessage],
        tools: Option<&[Tool]>,
    ) -> Result<Request<Vec<u8>>, LLMError>;

    /// The answer in a reply whose status says success. An [`LLMError`] in the box keeps its structure.
    fn parse_chat(&self, resp: Response<Vec<u8>>) -> Result<Box<dyn ChatResponse>, Box<dyn Error>>;

    /// Whether [`chat_stream_request`](Self::chat_stream_request) and
    /// [`chat_stream_parser`](Self::chat_stream_parser) are implemented.
    fn supports_streaming(&self) -> bool {
        false
    }

    /// The request that asks for a streamed answer.
    fn chat_stream_request(
        &self,
        _messages: &[ChatMessage],
        _tools: Option<&[Tool]>,
    ) -> Result<Request<Vec<u8>>, LLMError> {
        Err(LLMError::NotImplemented("this provider does not stream".into()))
    }

    /// A parser for one streamed reply.
    fn chat_stream_parser(&self) -> Result<Box<dyn ChatStreamParser>, LLMError> {
        Err(LLMError::NotImplemented("this provider does not stream".into()))
    }

    /// What a reply means whose status says failure; by default what the status alone says (ABI §5.4).
    fn classify_chat_error(&self, resp: Response<Vec<u8>>) -> LLMError {
        classify_chat(&resp)
    }
}
