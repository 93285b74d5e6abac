//! What the API's refusals mean.

use fumehood_pdk::http::Response;
use fumehood_pdk::status::{chat_kind, describe, describe_body};
use fumehood_pdk::{LLMError, ProviderErrorKind, ProviderFailure};
use serde_json::Value;

/// A reply whose status says failure: the API's code first, its words next, the status last.
pub(crate) fn classify(resp: &Response<Vec<u8>>) -> LLMError {
    let status = resp.status().as_u16();
    if status == 499 {
        return LLMError::Cancelled;
    }
    let mut failure = describe(resp);
    failure.kind = Some(kind(&failure, Some(status)));
    LLMError::Provider(failure)
}

/// The failure that a body reports under a status, or a stream in an event, that said nothing of it.
pub(crate) fn in_body(body: &[u8]) -> Option<LLMError> {
    let body: Value = serde_json::from_slice(body).ok()?;
    body.get("error").filter(|error| !error.is_null())?;
    let mut failure = describe_body(&body)?;
    failure.kind = Some(kind(&failure, None));
    Some(LLMError::Provider(failure))
}

fn kind(failure: &ProviderFailure, status: Option<u16>) -> ProviderErrorKind {
    use ProviderErrorKind::*;
    let word = |word: &Option<String>| {
        Some(match word.as_deref()? {
            "context_length_exceeded" | "exceed_context_size_error" | "string_above_max_length" => {
                ContextWindowExceeded
            }
            "insufficient_quota" | "billing_hard_limit_reached" | "insufficient_balance" => QuotaExceeded,
            "rate_limit_exceeded" | "rate_limit_error" | "tokens_per_min" | "requests_per_min" => RateLimited,
            "invalid_api_key" | "authentication_error" | "permission_error" | "invalid_authentication" => {
                Authentication
            }
            "server_overloaded" | "overloaded" | "overloaded_error" | "engine_overloaded" | "slow_down" => {
                ServerOverloaded
            }
            "model_not_found" => InvalidRequest,
            "unsupported_parameter" | "unsupported_value" | "not_supported_error" => UnsupportedOperation,
            "server_error" | "internal_error" | "api_error" => UnknownTransient,
            _ => return None,
        })
    };
    if let Some(kind) = word(&failure.code).or_else(|| word(&failure.error_type)) {
        return kind;
    }
    let message = failure.message.to_ascii_lowercase();
    let says = |part: &str| message.contains(part);
    let bad_request = matches!(status, None | Some(400 | 413 | 422 | 500));
    if bad_request && (says("maximum context length") || says("context size") || says("context window")) {
        return ContextWindowExceeded;
    }
    match status {
        Some(402) => QuotaExceeded,
        Some(404) => InvalidRequest,
        Some(503) if says("overload") || says("capacity") => ServerOverloaded,
        Some(529) => ServerOverloaded,
        Some(status) => chat_kind(status),
        None if failure.error_type.as_deref() == Some("invalid_request_error") => InvalidRequest,
        None => match failure.code.as_deref().and_then(|code| code.parse::<u16>().ok()) {
            Some(code) if code >= 400 => chat_kind(code),
            _ => UnknownPermanent,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use ProviderErrorKind::*;

    fn failure(status: u16, body: &str) -> ProviderFailure {
        let resp = Response::builder()
            .status(status)
            .header("x-request-id", "R")
            .header("retry-after", "7")
            .body(body.as_bytes().to_vec())
            .unwrap();
        match classify(&resp) {
            LLMError::Provider(failure) => failure,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn kinds() {
        let error = |code: &str, kind: &str, message: &str| {
            json!({"error": {"message": message, "type": kind, "code": code}}).to_string()
        };
        for (status, body, kind) in [
            (401, error("invalid_api_key", "invalid_request_error", "m"), Authentication),
            (429, error("rate_limit_exceeded", "requests", "m"), RateLimited),
            (429, error("insufficient_quota", "insufficient_quota", "m"), QuotaExceeded),
            (400, error("context_length_exceeded", "invalid_request_error", "m"), ContextWindowExceeded),
            (400, error("", "exceed_context_size_error", "m"), ContextWindowExceeded),
            (400, error("", "", "This model's maximum context length is 8 tokens"), ContextWindowExceeded),
            (400, error("", "", "m"), InvalidRequest),
            (404, error("model_not_found", "", "m"), InvalidRequest),
            (503, error("", "", "The engine is overloaded"), ServerOverloaded),
            (503, error("", "", "m"), UnknownTransient),
            (500, "oops".into(), UnknownTransient),
            (402, r#"{"detail":"Insufficient Balance"}"#.into(), QuotaExceeded),
            (409, "".into(), UnknownPermanent),
        ] {
            let failure = failure(status, &body);
            assert_eq!(failure.kind, Some(kind), "{status} {body}");
            assert_eq!(failure.request_id.as_deref(), Some("R"));
            assert_eq!(failure.retry_after_secs, Some(7));
        }
    }

    #[test]
    fn errors_under_a_good_status() {
        let Some(LLMError::Provider(failure)) =
            in_body(br#"{"error":{"message":"try again in 1.2s","code":429}}"#)
        else {
            panic!("no failure");
        };
        assert_eq!((failure.kind, failure.retry_after_secs), (Some(RateLimited), Some(2)));
        assert_eq!(in_body(br#"{"choices":[]}"#), None);
        assert_eq!(in_body(br#"{"error":null,"choices":[]}"#), None);
        assert_eq!(in_body(b"junk"), None);
    }

    #[test]
    fn cancelled() {
        let resp = Response::builder().status(499).body(b"cancelled".to_vec()).unwrap();
        assert_eq!(classify(&resp), LLMError::Cancelled);
    }
}
