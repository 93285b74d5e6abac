//! Plugins: the factory a host asks for a provider, and how it gets out of the module.

#[cfg(feature = "extism_plugin")]
pub mod extism_impl;
pub mod function;
pub mod guest;
mod guest_log;
pub mod http;
