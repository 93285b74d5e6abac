//! Exports of your own, beside or instead of a provider's: functions of bytes, text or JSON.
//!
//! [`export_functions!`](crate::export_functions) puts them into a module; tests call them as the
//! functions that they are, or through [`call`] as the host does.

use crate::error::LLMError;
use serde::de::DeserializeOwned;
use serde::Serialize;
use std::error::Error;

/// A JSON document as input or output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Json<T>(pub T);

/// What a function may take: bytes, text, [`Json`], or `()` for nothing.
pub trait Input: Sized {
    /// Reads the input of a call; bytes and text are not copied.
    fn read(bytes: Vec<u8>) -> Result<Self, Failure>;
}

/// What a function may give back: bytes, text, [`Json`], or `()` for nothing.
pub trait Output {
    /// The output of the call; bytes and text are not copied.
    fn write(self) -> Result<Vec<u8>, Failure>;
}

/// What the host is told when a function fails: an [`LLMError`] in its structured form, or a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(Vec<u8>);

impl Failure {
    /// The bytes for the host; never empty.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Calls `function` as an export does: bytes in, bytes or the error's bytes out.
pub fn call<I, O, E>(function: impl FnOnce(I) -> Result<O, E>, input: Vec<u8>) -> Result<Vec<u8>, Vec<u8>>
where
    I: Input,
    O: Output,
    E: Into<Failure>,
{
    I::read(input)
        .and_then(|input| function(input).map_err(Into::into))
        .and_then(Output::write)
        .map_err(Failure::into_bytes)
}

impl Input for Vec<u8> {
    fn read(bytes: Vec<u8>) -> Result<Self, Failure> {
        Ok(bytes)
    }
}

impl Input for String {
    fn read(bytes: Vec<u8>) -> Result<Self, Failure> {
        Self::from_utf8(bytes).map_err(|e| format!("the input is not UTF-8: {}", e.utf8_error()).into())
    }
}

impl Input for () {
    fn read(_bytes: Vec<u8>) -> Result<Self, Failure> {
        Ok(())
    }
}

impl<T: DeserializeOwned> Input for Json<T> {
    fn read(bytes: Vec<u8>) -> Result<Self, Failure> {
        serde_json::from_slice(&bytes).map(Json).map_err(|e| format!("the input cannot be read: {e}").into())
    }
}

impl Output for Vec<u8> {
    fn write(self) -> Result<Vec<u8>, Failure> {
        Ok(self)
    }
}

impl Output for String {
    fn write(self) -> Result<Vec<u8>, Failure> {
        Ok(self.into_bytes())
    }
}

impl Output for &str {
    fn write(self) -> Result<Vec<u8>, Failure> {
        Ok(self.into())
    }
}

impl Output for () {
    fn write(self) -> Result<Vec<u8>, Failure> {
        Ok(Vec::new())
    }
}

impl<T: Serialize> Output for Json<T> {
    fn write(self) -> Result<Vec<u8>, Failure> {
        serde_json::to_vec(&self.0).map_err(|e| format!("the output cannot be written: {e}").into())
    }
}

impl From<LLMError> for Failure {
    fn from(error: LLMError) -> Self {
        Self(error.to_json())
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        if text.is_empty() {
            return Self(b"the plugin failed without saying why".into());
        }
        Self(text.into_bytes())
    }
}

impl From<&str> for Failure {
    fn from(text: &str) -> Self {
        text.to_string().into()
    }
}

impl From<Box<dyn Error>> for Failure {
    fn from(error: Box<dyn Error>) -> Self {
        match error.downcast::<LLMError>() {
            Ok(own) => (*own).into(),
            Err(other) => other.to_string().into(),
        }
    }
}

impl From<Box<dyn Error + Send + Sync>> for Failure {
    fn from(error: Box<dyn Error + Send + Sync>) -> Self {
        let error: Box<dyn Error> = error;
        error.into()
    }
}

#[cfg(test)]
#[path = "function_tests.rs"]
mod tests;
