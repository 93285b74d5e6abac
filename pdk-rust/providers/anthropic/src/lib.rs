//! Anthropic's Messages API: chat, tools, images, PDF, thinking, streams, models.
#![deny(missing_docs)]

mod config;
mod errors;
mod factory;
mod messages;
mod provider;
mod reply;
mod stream;

pub use config::Anthropic;
pub use factory::Factory;

fumehood_pdk::impl_extism_http_plugin!(config = Anthropic, factory = Factory, name = "anthropic");
