//! What the API's refusals mean.

use fumehood_pdk::http::Response;
use fumehood_pdk::status::{chat_kind, describe, describe_body};
use fumehood_pdk::{LLMError, ProviderErrorKind, ProviderFailure};
use serde_json::Value;

/// A reply whose status says failure.
pub(crate) fn classify(resp: &Response<Vec<u8>>) -> LLMError {
    let status = resp.status().as_u16();
    if status == 499 {
        return LLMError::Cancelled;
    }
    let mut failure = describe(resp);
    failure.kind = Some(kind(&failure, Some(status)));
    LLMError::Provider(failure)
}

/// The failure that a body, or an event of a stream, reports.
pub(crate) fn in_body(body: &[u8]) -> Option<LLMError> {
    let body: Value = serde_json::from_slice(body).ok()?;
    body.get("error").filter(|error| !error.is_null())?;
    let mut failure = describe_body(&body)?;
    failure.kind = Some(kind(&failure, None));
    Some(LLMError::Provider(failure))
}

fn kind(failure: &ProviderFailure, status: Option<u16>) -> ProviderErrorKind {
    use ProviderErrorKind::*;
    let message = failure.message.to_ascii_lowercase();
    match failure.error_type.as_deref() {
        Some("invalid_request_error") if message.contains("prompt is too long") => ContextWindowExceeded,
        Some("invalid_request_error") if message.contains("credit balance") => QuotaExceeded,
        Some("invalid_request_error" | "not_found_error" | "request_too_large") => InvalidRequest,
        Some("authentication_error" | "permission_error") => Authentication,
        Some("billing_error") => QuotaExceeded,
        Some("rate_limit_error") => RateLimited,
        Some("overloaded_error") => ServerOverloaded,
        Some("api_error" | "timeout_error") => UnknownTransient,
        _ => match status {
            Some(529) => ServerOverloaded,
            Some(404 | 413) => InvalidRequest,
            Some(status) => chat_kind(status),
            None => UnknownPermanent,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use ProviderErrorKind::*;

    #[test]
    fn kinds() {
        for (status, word, message, expected) in [
            (400, "invalid_request_error", "m", InvalidRequest),
            (400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum", ContextWindowExceeded),
            (400, "invalid_request_error", "Your credit balance is too low", QuotaExceeded),
            (401, "authentication_error", "m", Authentication),
            (403, "permission_error", "m", Authentication),
            (404, "not_found_error", "m", InvalidRequest),
            (413, "request_too_large", "m", InvalidRequest),
            (429, "rate_limit_error", "m", RateLimited),
            (500, "api_error", "m", UnknownTransient),
            (529, "overloaded_error", "m", ServerOverloaded),
            (529, "", "m", ServerOverloaded),
            (502, "", "m", UnknownTransient),
        ] {
            let body =
                json!({"type": "error", "error": {"type": word, "message": message}, "request_id": "B"});
            let resp = Response::builder()
                .status(status)
                .header("request-id", "R")
                .body(body.to_string().into_bytes())
                .unwrap();
            let LLMError::Provider(failure) = classify(&resp) else { panic!("{status}") };
            assert_eq!(failure.kind, Some(expected), "{status} {word} {message}");
            assert_eq!(failure.message, message);
            assert_eq!(failure.request_id.as_deref(), Some("R"));
        }
    }
}
