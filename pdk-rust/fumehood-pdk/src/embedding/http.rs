//! [`HTTPEmbeddingProvider`]: an embedding as one HTTP exchange.

use crate::error::LLMError;
use crate::http::{Request, Response};
use std::error::Error;

/// Builds the request of an embedding and reads its reply.
pub trait HTTPEmbeddingProvider: Send + Sync {
    /// The request that embeds `inputs`.
    fn embed_request(&self, inputs: &[String]) -> Result<Request<Vec<u8>>, LLMError>;

    /// One vector for each input, in the order of the inputs.
    fn parse_embed(&self, resp: Response<Vec<u8>>) -> Result<Vec<Vec<f32>>, Box<dyn Error>>;
}
