//! Small helpers for building requests.

use crate::error::LLMError;
use crate::http::{header, HeaderValue, Request, Uri};
use base64::engine::general_purpose::STANDARD;
use base64::Engine as _;
use serde::Serialize;

/// `base` and `path` with exactly one slash between: `join("http://h/v1", "models")` and
/// `join("http://h/v1/", "/models")` are the same.
///
/// [`LLMError::InvalidUrl`] unless the result is an absolute `http(s)` address.
pub fn join(base: &str, path: &str) -> Result<Uri, LLMError> {
    let text = format!("{}/{}", base.trim_end_matches('/'), path.trim_start_matches('/'));
    let uri: Uri =
        text.parse().map_err(|error| LLMError::InvalidUrl(format!("base_url `{base}`: {error}")))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(uri),
        _ => Err(LLMError::InvalidUrl(format!(
            "base_url `{base}` must begin with http:// or https:// and name a host"
        ))),
    }
}

/// A `GET`.
pub fn get(uri: Uri) -> Request<Vec<u8>> {
    let mut request = Request::new(Vec::new());
    *request.uri_mut() = uri;
    request
}

/// A `POST` of JSON.
pub fn post_json<T: Serialize + ?Sized>(uri: Uri, body: &T) -> Result<Request<Vec<u8>>, LLMError> {
    let mut request = Request::new(serde_json::to_vec(body)?);
    *request.method_mut() = crate::http::Method::POST;
    *request.uri_mut() = uri;
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(request)
}

/// Sets a header; [`LLMError::AuthError`] when `value` cannot stand in one. `name` is lower-case.
///
/// For keys: the error does not repeat the value.
pub fn set_secret(request: &mut Request<Vec<u8>>, name: &'static str, value: &str) -> Result<(), LLMError> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| LLMError::AuthError("the key holds characters that cannot stand in a header".into()))?;
    value.set_sensitive(true);
    request.headers_mut().insert(name, value);
    Ok(())
}

/// Sets `authorization: Bearer <key>`.
pub fn set_bearer(request: &mut Request<Vec<u8>>, key: &str) -> Result<(), LLMError> {
    set_secret(request, "authorization", &format!("Bearer {key}"))
}

/// Standard base64 with padding.
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The bytes of standard base64 with padding.
pub fn unbase64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// `data:<mime type>;base64,<bytes>`.
pub fn data_url(mime_type: &str, bytes: &[u8]) -> String {
    let mut out = format!("data:{mime_type};base64,");
    STANDARD.encode_string(bytes, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joining() {
        for base in ["http://h:1/v1", "http://h:1/v1/", "http://h:1/v1//"] {
            assert_eq!(
                join(base, "/chat/completions").unwrap().to_string(),
                "http://h:1/v1/chat/completions"
            );
        }
        assert_eq!(
            join("http://127.0.0.1:11434", "api/tags").unwrap().to_string(),
            "http://127.0.0.1:11434/api/tags"
        );
        for bad in ["", "localhost:11434", "ftp://h", "http://", "http://a b", "/v1"] {
            assert!(matches!(join(bad, "x"), Err(LLMError::InvalidUrl(_))), "{bad}");
        }
    }

    #[test]
    fn keys_are_checked_and_not_repeated() {
        let mut request = get(join("http://h", "x").unwrap());
        set_bearer(&mut request, "k").unwrap();
        assert_eq!(request.headers()["authorization"], "Bearer k");
        let error = set_bearer(&mut request, "se\ncret").unwrap_err();
        assert!(!error.to_string().contains("cret"));
    }

    #[test]
    fn data_urls() {
        assert_eq!(data_url("image/png", &[137, 80]), "data:image/png;base64,iVA=");
    }
}
