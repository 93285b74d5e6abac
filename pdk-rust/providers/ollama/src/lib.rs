//! Ollama's own API: chat, tools, images, streams, embeddings, completions, models.
#![deny(missing_docs)]

mod config;
mod errors;
mod factory;
mod messages;
mod provider;
mod reply;
mod stream;

pub use config::Ollama;
pub use factory::Factory;

fumehood_pdk::impl_extism_http_plugin!(config = Ollama, factory = Factory, name = "ollama");
