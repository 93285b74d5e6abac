use super::*;

#[test]
fn every_payload_of_the_specification() {
    let full = LLMError::Provider(ProviderFailure {
        message: "m".into(),
        kind: Some(ProviderErrorKind::RateLimited),
        code: Some("rate_limit_exceeded".into()),
        error_type: Some("requests".into()),
        request_id: Some("req".into()),
        retry_after_secs: Some(12),
    });
    assert_eq!(
        String::from_utf8(full.to_json()).unwrap(),
        r#"{"payload":{"type":"provider_error","message":"m","kind":"rate_limited","code":"rate_limit_exceeded","error_type":"requests","request_id":"req","retry_after_secs":12}}"#
    );
    let m = || "m".to_string();
    let cases = [
        (LLMError::Generic(m()), json!({"type": "generic_error", "message": "m"})),
        (LLMError::ProviderError(m()), json!({"type": "provider_error", "message": "m"})),
        (LLMError::AuthError(m()), json!({"type": "auth_error", "message": "m"})),
        (LLMError::ToolConfigError(m()), json!({"type": "tool_config_error", "message": "m"})),
        (LLMError::PluginError(m()), json!({"type": "plugin_error", "message": "m"})),
        (LLMError::InvalidRequest(m()), json!({"type": "invalid_request", "message": "m"})),
        (LLMError::HttpError(m()), json!({"type": "http_error", "message": "m"})),
        (LLMError::NotImplemented(m()), json!({"type": "not_implemented", "message": "m"})),
        (LLMError::JsonError(m()), json!({"type": "json_error", "message": "m"})),
        (LLMError::InvalidUrl(m()), json!({"type": "invalid_url", "message": "m"})),
        (LLMError::IoError(m()), json!({"type": "io_error", "message": "m"})),
        (LLMError::Cancelled, json!({"type": "cancelled"})),
        (
            LLMError::RateLimited { message: m(), retry_after_secs: None },
            json!({"type": "rate_limited", "message": "m", "retry_after_secs": null}),
        ),
        (
            LLMError::HttpStatus { status_code: 503, message: m(), retry_after_secs: Some(3) },
            json!({"type": "http_status", "status_code": 503, "message": "m", "retry_after_secs": 3}),
        ),
        (
            LLMError::Transport { kind: TransportKind::ConnectionRefused, message: m() },
            json!({"type": "transport", "kind": "connection_refused", "message": "m"}),
        ),
        (
            LLMError::ResponseFormatError { message: m(), raw_response: "r".into() },
            json!({"type": "response_format_error", "message": "m", "raw_response": "r"}),
        ),
    ];
    for (error, payload) in cases {
        assert_eq!(error.payload(), payload);
        assert!(!error.to_string().is_empty());
    }
}

#[derive(Debug)]
struct Wrapper(LLMError);
impl fmt::Display for Wrapper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("while parsing")
    }
}
impl Error for Wrapper {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn structure_survives_the_box() {
    let own = LLMError::RateLimited { message: "slow down".into(), retry_after_secs: Some(3) };
    assert_eq!(LLMError::from_boxed(Box::new(own.clone())), own);
    assert_eq!(LLMError::from_boxed(Box::new(Wrapper(own.clone()))), own);
    let boxed: Box<dyn Error + Send + Sync> = Box::new(own.clone());
    assert_eq!(LLMError::from_boxed(boxed), own);
}

#[test]
fn foreign_errors_are_named() {
    let json = || serde_json::from_str::<Value>("{").unwrap_err();
    assert!(matches!(LLMError::from_boxed(Box::new(json())), LLMError::JsonError(_)));
    assert!(matches!(
        LLMError::from_parse(Box::new(json()), b"{"),
        LLMError::ResponseFormatError { raw_response, .. } if raw_response == "{"
    ));
    let http = crate::http::Request::builder().uri("a b").body(()).unwrap_err();
    assert!(matches!(LLMError::from_boxed(Box::new(http)), LLMError::InvalidRequest(_)));
    assert_eq!(LLMError::from_boxed("plain".into()), LLMError::Generic("plain".into()));
    assert!(matches!(LLMError::from_boxed("".into()), LLMError::Generic(m) if !m.is_empty()));
}

#[test]
fn long_replies_are_clipped() {
    let LLMError::ResponseFormatError { raw_response, .. } = response_format("m", &[b'a'; 5000]) else {
        panic!("wrong variant");
    };
    assert_eq!(raw_response.chars().count(), 2049);
}
