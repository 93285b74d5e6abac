//! What the server's refusals mean: it says `{"error": "…"}` and little else.

use fumehood_pdk::http::Response;
use fumehood_pdk::status::{describe, describe_body};
use fumehood_pdk::{LLMError, ProviderErrorKind};
use serde_json::Value;

/// A reply whose status says failure.
pub(crate) fn classify(resp: &Response<Vec<u8>>) -> LLMError {
    let status = resp.status().as_u16();
    if status == 499 {
        return LLMError::Cancelled;
    }
    let mut failure = describe(resp);
    let known = by_words(&failure.message);
    // an unknown model is the request's fault
    failure.kind = known.or((status == 404).then_some(ProviderErrorKind::InvalidRequest)).or(failure.kind);
    LLMError::Provider(failure)
}

/// The failure that a body, or a line of a stream, reports.
pub(crate) fn in_body(body: &[u8]) -> Option<LLMError> {
    let body: Value = serde_json::from_slice(body).ok()?;
    body.get("error").filter(|error| !error.is_null())?;
    let mut failure = describe_body(&body)?;
    failure.kind = Some(by_words(&failure.message).unwrap_or(ProviderErrorKind::UnknownPermanent));
    Some(LLMError::Provider(failure))
}

fn by_words(message: &str) -> Option<ProviderErrorKind> {
    use ProviderErrorKind::*;
    let message = message.to_ascii_lowercase();
    let says = |part: &str| message.contains(part);
    if says("does not support") {
        Some(UnsupportedOperation)
    } else if says("context length") || says("context size") {
        Some(ContextWindowExceeded)
    } else if says("server busy") || says("maximum pending requests") {
        Some(ServerOverloaded)
    } else if says("not found") && says("model") {
        Some(InvalidRequest)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use ProviderErrorKind::*;

    #[test]
    fn kinds() {
        for (status, message, expected) in [
            (404, "model 'x' not found", InvalidRequest),
            (404, "404 page not found", InvalidRequest),
            (400, "\"m\" does not support tools", UnsupportedOperation),
            (400, "invalid options", InvalidRequest),
            (500, "input length exceeds the context length", ContextWindowExceeded),
            (503, "server busy, please try again", ServerOverloaded),
            (500, "llama runner process has terminated", UnknownTransient),
            (401, "unauthorized", Authentication),
        ] {
            let body = json!({"error": message}).to_string().into_bytes();
            let resp = Response::builder().status(status).body(body).unwrap();
            let LLMError::Provider(failure) = classify(&resp) else { panic!("{status}") };
            assert_eq!((failure.kind, failure.message.as_str()), (Some(expected), message));
        }
    }
}
