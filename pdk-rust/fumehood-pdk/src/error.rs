//! [`LLMError`]: what went wrong, in the structured form that crosses the boundary (ABI §5.2).

use serde_json::{json, Map, Value};
use std::error::Error;
use std::fmt;

/// How a provider's refusal is to be understood (`provider_error.kind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProviderErrorKind {
    /// The service is up but has no capacity. Retryable.
    ServerOverloaded,
    /// Too many requests or tokens for now. Retryable.
    RateLimited,
    /// The account's allowance is used up; waiting does not help.
    QuotaExceeded,
    /// The conversation does not fit into the model's context window.
    ContextWindowExceeded,
    /// The key is missing, wrong or not allowed to do this.
    Authentication,
    /// The request itself is wrong.
    InvalidRequest,
    /// The model or endpoint cannot do what was asked.
    UnsupportedOperation,
    /// Unknown, but of a sort that passes. Retryable.
    UnknownTransient,
    /// Unknown, and of a sort that stays.
    UnknownPermanent,
}

impl ProviderErrorKind {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServerOverloaded => "server_overloaded",
            Self::RateLimited => "rate_limited",
            Self::QuotaExceeded => "quota_exceeded",
            Self::ContextWindowExceeded => "context_window_exceeded",
            Self::Authentication => "authentication",
            Self::InvalidRequest => "invalid_request",
            Self::UnsupportedOperation => "unsupported_operation",
            Self::UnknownTransient => "unknown_transient",
            Self::UnknownPermanent => "unknown_permanent",
        }
    }
}

/// How a connection failed (`transport.kind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportKind {
    /// Nobody listens there.
    ConnectionRefused,
    /// The peer broke the connection off.
    ConnectionReset,
    /// No answer in time.
    Timeout,
    /// The peer closed before the answer was complete.
    ConnectionClosed,
    /// The name could not be resolved.
    Dns,
    /// The TLS handshake failed.
    Tls,
    /// Anything else.
    Other,
}

impl TransportKind {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionReset => "connection_reset",
            Self::Timeout => "timeout",
            Self::ConnectionClosed => "connection_closed",
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Other => "other",
        }
    }
}

/// A provider's refusal with everything it told us.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProviderFailure {
    /// Text for a person.
    pub message: String,
    /// How to understand it; `None` is "not retryable, cause unknown".
    pub kind: Option<ProviderErrorKind>,
    /// The vendor's own code, such as `rate_limit_exceeded`.
    pub code: Option<String>,
    /// The vendor's own error type, such as `invalid_request_error`.
    pub error_type: Option<String>,
    /// The vendor's id of the request, for support.
    pub request_id: Option<String>,
    /// Seconds after which a retry makes sense.
    pub retry_after_secs: Option<u64>,
}

/// Every failure a provider can report; each keeps its structure on the way to the host.
///
/// Returned as itself or inside a `Box<dyn Error>`; see [`LLMError::from_boxed`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LLMError {
    /// Anything that fits nowhere else. Not retryable.
    Generic(String),
    /// The provider refused; only its text is known.
    ProviderError(String),
    /// The provider refused, with details.
    Provider(ProviderFailure),
    /// The key is missing or was not accepted.
    AuthError(String),
    /// A tool definition is wrong.
    ToolConfigError(String),
    /// The plugin itself failed. Hosts take this one for retryable.
    PluginError(String),
    /// What was asked cannot be asked so.
    InvalidRequest(String),
    /// The reply is not what the API promises.
    ResponseFormatError {
        /// What is wrong with it.
        message: String,
        /// The reply, possibly clipped.
        raw_response: String,
    },
    /// Too many requests.
    RateLimited {
        /// Text for a person.
        message: String,
        /// Seconds after which a retry makes sense.
        retry_after_secs: Option<u64>,
    },
    /// A status that says nothing more.
    HttpStatus {
        /// The HTTP status.
        status_code: u16,
        /// Text for a person.
        message: String,
        /// Seconds after which a retry makes sense.
        retry_after_secs: Option<u64>,
    },
    /// HTTP failed in an unnamed way.
    HttpError(String),
    /// The connection failed.
    Transport {
        /// How.
        kind: TransportKind,
        /// Text for a person.
        message: String,
    },
    /// The caller gave up.
    Cancelled,
    /// This provider cannot do that.
    NotImplemented(String),
    /// A JSON document could not be read.
    JsonError(String),
    /// An address could not be read.
    InvalidUrl(String),
    /// Input or output failed.
    IoError(String),
}

impl LLMError {
    /// The error payload of ABI §5.2, without the outer `{"payload": …}`.
    pub fn payload(&self) -> Value {
        match self {
            Self::Generic(m) => tagged("generic_error", m),
            Self::ProviderError(m) => tagged("provider_error", m),
            Self::AuthError(m) => tagged("auth_error", m),
            Self::ToolConfigError(m) => tagged("tool_config_error", m),
            Self::PluginError(m) => tagged("plugin_error", m),
            Self::InvalidRequest(m) => tagged("invalid_request", m),
            Self::HttpError(m) => tagged("http_error", m),
            Self::NotImplemented(m) => tagged("not_implemented", m),
            Self::JsonError(m) => tagged("json_error", m),
            Self::InvalidUrl(m) => tagged("invalid_url", m),
            Self::IoError(m) => tagged("io_error", m),
            Self::Cancelled => json!({"type": "cancelled"}),
            Self::Provider(failure) => provider_payload(failure),
            Self::ResponseFormatError { message, raw_response } => json!({
                "type": "response_format_error", "message": message, "raw_response": raw_response,
            }),
            Self::RateLimited { message, retry_after_secs } => json!({
                "type": "rate_limited", "message": message, "retry_after_secs": retry_after_secs,
            }),
            Self::HttpStatus { status_code, message, retry_after_secs } => json!({
                "type": "http_status", "status_code": status_code,
                "message": message, "retry_after_secs": retry_after_secs,
            }),
            Self::Transport { kind, message } => json!({
                "type": "transport", "kind": kind.as_str(), "message": message,
            }),
        }
    }

    /// The document a guest hands to the host: `{"payload": {…}}`. Never empty.
    pub fn to_json(&self) -> Vec<u8> {
        json!({ "payload": self.payload() }).to_string().into_bytes()
    }

    /// The error inside `error`, its structure kept.
    ///
    /// An `LLMError`, at the top or anywhere down the chain of sources, is returned as it is. A JSON
    /// error becomes [`LLMError::JsonError`], an `http` error [`LLMError::InvalidRequest`], anything
    /// else [`LLMError::Generic`] with the texts of the whole chain.
    pub fn from_boxed(error: Box<dyn Error>) -> Self {
        let error = match error.downcast::<LLMError>() {
            Ok(own) => return *own,
            Err(other) => other,
        };
        let mut message = error.to_string();
        let mut link: Option<&(dyn Error + 'static)> = Some(&*error);
        let mut first = true;
        while let Some(inner) = link {
            if let Some(own) = inner.downcast_ref::<LLMError>() {
                return own.clone();
            }
            if first && inner.is::<serde_json::Error>() {
                return Self::JsonError(message);
            }
            if first && inner.is::<crate::http::Error>() {
                return Self::InvalidRequest(message);
            }
            if !first {
                let text = inner.to_string();
                if !message.contains(&text) {
                    message.push_str(": ");
                    message.push_str(&text);
                }
            }
            first = false;
            link = inner.source();
        }
        if message.is_empty() {
            message.push_str("the plugin failed without saying why");
        }
        Self::Generic(message)
    }

    /// [`LLMError::from_boxed`] for a reply that could not be parsed: a JSON error becomes a
    /// [`LLMError::ResponseFormatError`] that shows the beginning of `body`.
    pub fn from_parse(error: Box<dyn Error>, body: &[u8]) -> Self {
        if error.is::<serde_json::Error>() {
            return response_format(format!("the reply is not what the API promises: {error}"), body);
        }
        Self::from_boxed(error)
    }
}

/// A [`LLMError::ResponseFormatError`] showing the first 2 KiB of the reply.
pub fn response_format(message: impl Into<String>, body: &[u8]) -> LLMError {
    const SHOWN: usize = 2048;
    let mut raw_response = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]).into_owned();
    if body.len() > SHOWN {
        raw_response.push('…');
    }
    LLMError::ResponseFormatError { message: message.into(), raw_response }
}

fn tagged(kind: &str, message: &str) -> Value {
    json!({"type": kind, "message": message})
}

fn provider_payload(failure: &ProviderFailure) -> Value {
    let mut out = Map::new();
    out.insert("type".into(), "provider_error".into());
    out.insert("message".into(), failure.message.clone().into());
    if let Some(kind) = failure.kind {
        out.insert("kind".into(), kind.as_str().into());
    }
    for (key, value) in
        [("code", &failure.code), ("error_type", &failure.error_type), ("request_id", &failure.request_id)]
    {
        if let Some(value) = value {
            out.insert(key.into(), value.clone().into());
        }
    }
    if let Some(seconds) = failure.retry_after_secs {
        out.insert("retry_after_secs".into(), seconds.into());
    }
    Value::Object(out)
}

impl fmt::Display for LLMError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Generic(m) => f.write_str(m),
            Self::ProviderError(m) => write!(f, "provider error: {m}"),
            Self::Provider(failure) => match failure.kind {
                Some(kind) => write!(f, "provider error ({}): {}", kind.as_str(), failure.message),
                None => write!(f, "provider error: {}", failure.message),
            },
            Self::AuthError(m) => write!(f, "authentication: {m}"),
            Self::ToolConfigError(m) => write!(f, "tool configuration: {m}"),
            Self::PluginError(m) => write!(f, "plugin error: {m}"),
            Self::InvalidRequest(m) => write!(f, "invalid request: {m}"),
            Self::ResponseFormatError { message, .. } => write!(f, "response format: {message}"),
            Self::RateLimited { message, .. } => write!(f, "rate limited: {message}"),
            Self::HttpStatus { status_code, message, .. } => write!(f, "HTTP {status_code}: {message}"),
            Self::HttpError(m) => write!(f, "HTTP error: {m}"),
            Self::Transport { kind, message } => write!(f, "transport ({}): {message}", kind.as_str()),
            Self::Cancelled => f.write_str("cancelled"),
            Self::NotImplemented(m) => write!(f, "not implemented: {m}"),
            Self::JsonError(m) => write!(f, "JSON: {m}"),
            Self::InvalidUrl(m) => write!(f, "invalid URL: {m}"),
            Self::IoError(m) => write!(f, "I/O: {m}"),
        }
    }
}

impl Error for LLMError {}

impl From<serde_json::Error> for LLMError {
    fn from(error: serde_json::Error) -> Self {
        Self::JsonError(error.to_string())
    }
}

impl From<crate::msgpack::Error> for LLMError {
    fn from(error: crate::msgpack::Error) -> Self {
        LLMError::JsonError(error.to_string())
    }
}

impl From<crate::http::Error> for LLMError {
    fn from(error: crate::http::Error) -> Self {
        Self::InvalidRequest(error.to_string())
    }
}

impl From<std::io::Error> for LLMError {
    fn from(error: std::io::Error) -> Self {
        Self::IoError(error.to_string())
    }
}

impl From<Box<dyn Error>> for LLMError {
    fn from(error: Box<dyn Error>) -> Self {
        Self::from_boxed(error)
    }
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
