//! [`HTTPCompletionProvider`]: a completion as one HTTP exchange.

use super::{CompletionRequest, CompletionResponse};
use crate::error::LLMError;
use crate::http::{Request, Response};
use std::error::Error;

/// Builds the request of a completion and reads its reply.
pub trait HTTPCompletionProvider: Send + Sync {
    /// The request that asks for `req`.
    fn complete_request(&self, req: &CompletionRequest) -> Result<Request<Vec<u8>>, LLMError>;

    /// The continuation in a successful reply.
    fn parse_complete(&self, resp: Response<Vec<u8>>) -> Result<CompletionResponse, Box<dyn Error>>;
}
