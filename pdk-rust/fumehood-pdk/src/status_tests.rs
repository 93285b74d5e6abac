use super::*;
use serde_json::json;

fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Response<Vec<u8>> {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(body.as_bytes().to_vec()).unwrap()
}

#[test]
fn generic_table() {
    let m = || "m".to_string();
    for (status, expected) in [
        (499, LLMError::Cancelled),
        (429, LLMError::RateLimited { message: m(), retry_after_secs: Some(7) }),
        (401, LLMError::AuthError(m())),
        (403, LLMError::AuthError(m())),
        (400, LLMError::InvalidRequest(m())),
        (422, LLMError::ProviderError(m())),
        (408, LLMError::ProviderError(m())),
        (404, LLMError::ProviderError(m())),
        (503, LLMError::HttpStatus { status_code: 503, message: m(), retry_after_secs: Some(7) }),
    ] {
        let resp = reply(status, &[("retry-after", "7")], r#"{"error":{"message":" m "}}"#);
        assert_eq!(classify_generic(&resp), expected, "{status}");
        assert_eq!(require_success(&resp), Err(expected));
    }
    assert_eq!(require_success(&reply(204, &[], "")), Ok(()));
}

#[test]
fn chat_table() {
    use ProviderErrorKind::*;
    for (status, kind) in [
        (429, RateLimited),
        (401, Authentication),
        (403, Authentication),
        (400, InvalidRequest),
        (422, InvalidRequest),
        (408, UnknownTransient),
        (425, UnknownTransient),
        (500, UnknownTransient),
        (404, UnknownPermanent),
        (302, UnknownPermanent),
    ] {
        let LLMError::Provider(failure) = classify_chat(&reply(status, &[("retry-after", "2")], "")) else {
            panic!("{status}");
        };
        assert_eq!(failure.kind, Some(kind));
        assert_eq!(failure.message, format!("HTTP {status}"));
        assert_eq!(failure.retry_after_secs, Some(2));
    }
    assert_eq!(classify_chat(&reply(499, &[], "")), LLMError::Cancelled);
}

#[test]
fn messages() {
    assert_eq!(error_message(&reply(500, &[], "  oops\n")), "oops");
    assert_eq!(error_message(&reply(500, &[], r#"{"error":{"message":""}}"#)), "HTTP 500");
    assert_eq!(error_message(&reply(500, &[], r#"{"error":"x"}"#)), r#"{"error":"x"}"#);
}

#[test]
fn hints_in_headers_and_bodies() {
    let hint = |headers: &[(&str, &str)], body: Value| {
        let resp = reply(429, headers, "");
        retry_hint(resp.headers(), Some(&body))
    };
    assert_eq!(hint(&[("retry-after", "12")], json!({})), Some(12));
    assert_eq!(hint(&[("retry-after", "soon"), ("retry-after-ms", "1500")], json!({})), Some(1));
    assert_eq!(hint(&[("retry-after-ms", "20")], json!({})), Some(1));
    assert_eq!(hint(&[("x-ratelimit-reset-requests", "1m30s")], json!({})), Some(90));
    assert_eq!(hint(&[("x-ratelimit-reset-requests", "500ms")], json!({})), Some(1));
    assert_eq!(hint(&[], json!({"error": {"retry_after": 3.9}})), Some(3));
    assert_eq!(hint(&[], json!({"retry_after_secs": "2m"})), Some(120));
    assert_eq!(hint(&[], json!({"retry_after": -1})), None);
    assert_eq!(hint(&[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")], json!({})), None);
    let ahead = hint(&[("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT")], json!({}));
    assert!(ahead.is_some_and(|seconds| seconds > 1_000_000_000));
}

#[test]
fn dates() {
    assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
    assert_eq!(http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
    assert_eq!(http_date("Tue, 29 Feb 2000 12:00:00 GMT"), Some(951_825_600));
    for bad in ["Sun, 06 Nov 1994 08:49:37", "06 Nov 1994", "Sun, 99 Nov 1994 08:49:37 GMT", ""] {
        assert_eq!(http_date(bad), None, "{bad}");
    }
}

#[test]
fn hints_in_sentences() {
    for (text, seconds) in [
        ("Please try again in 11.054s.", Some(12)),
        ("try again in 500ms", Some(1)),
        ("try again in 30 seconds", Some(30)),
        ("try again in 1m30.5s.", Some(91)),
        ("try again in a while", None),
        ("try again later", None),
    ] {
        assert_eq!(retry_hint_in_text(text), seconds, "{text}");
    }
}

#[test]
fn descriptions() {
    for (body, message) in [
        (r#"{"error":{"message":"a"}}"#, "a"),
        (r#"{"error":"b"}"#, "b"),
        (r#"{"message":"c"}"#, "c"),
        (r#"{"detail":"d"}"#, "d"),
        (r#"{"error":null}"#, r#"{"error":null}"#),
        ("[1]", "[1]"),
        ("<html>e</html>", "<html>e</html>"),
        ("", "HTTP 400"),
    ] {
        let failure = describe(&reply(400, &[("request-id", "R"), ("retry-after", "7")], body));
        assert_eq!(failure.message, message);
        assert_eq!(failure.kind, Some(ProviderErrorKind::InvalidRequest));
        assert_eq!((failure.request_id.as_deref(), failure.retry_after_secs), (Some("R"), Some(7)));
    }
    let body =
        json!({"error": {"message": "try again in 1.2s", "code": 429, "type": "t"}, "request_id": "B"});
    let failure = describe_body(&body).unwrap();
    assert_eq!((failure.code.as_deref(), failure.error_type.as_deref()), (Some("429"), Some("t")));
    assert_eq!((failure.request_id.as_deref(), failure.retry_after_secs), (Some("B"), Some(2)));
    assert_eq!(describe_body(&json!({"choices": []})), None);
}
