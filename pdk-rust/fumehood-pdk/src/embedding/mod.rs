//! Embedding: texts as vectors (ABI §3.7).

pub mod http;
