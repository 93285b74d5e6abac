//! OpenAI and every endpoint that speaks its API: chat, tools, images, streams, embeddings, completions, models.
#![deny(missing_docs)]

mod config;
mod errors;
mod factory;
mod messages;
mod provider;
mod reply;
mod stream;

pub use config::{AuthType, OpenAI};
pub use factory::Factory;

fumehood_pdk::impl_extism_http_plugin!(config = OpenAI, factory = Factory, name = "openai");
