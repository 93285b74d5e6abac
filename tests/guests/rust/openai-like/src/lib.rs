//! What the provider guests of all generations share: an OpenAI-shaped API seen from a guest.
//!
//! Written from the provider ABI's description alone. `wire` builds requests and reads replies;
//! the generations differ in who sends them and in how errors and stream ends are spelled.

pub mod config;
pub mod sse;
pub mod wire;

pub use config::Config;
