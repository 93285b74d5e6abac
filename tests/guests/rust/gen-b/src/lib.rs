//! A provider of generation B: it sends its own requests through `qmt_http_*`, streams by
//! `qmt_yield_chunk`, fails with codes 0 to 7 and `{"kind","data"}`, and ends a stream with
//! `{"done":{"stop_reason":…}}`.

mod direct;
mod dialect {
    use extism_pdk::{Error, WithReturnCode};
    use serde_json::{json, Value};

    pub const NAME: &str = "gen-b";

    /// What can go wrong, as the shared half names it.
    pub fn failure(kind: &str, message: String, retry_after: Option<u64>) -> WithReturnCode<Error> {
        let (code, value) = match kind {
            "auth_error" => (2, json!({"kind": "Auth", "data": message})),
            "invalid_request" => (3, json!({"kind": "InvalidRequest", "data": message})),
            "rate_limited" => {
                let data = json!({"message": message, "retry_after_secs": retry_after});
                (4, json!({"kind": "RateLimited", "data": data}))
            }
            "http_error" => (5, json!({"kind": "Http", "data": message})),
            "not_implemented" => (6, json!({"kind": "NotImplemented", "data": message})),
            "cancelled" => (7, json!({"kind": "Cancelled"})),
            "plugin_error" => (0, json!({"kind": "Generic", "data": message})),
            _ => (1, json!({"kind": "Provider", "data": message})),
        };
        WithReturnCode::new(Error::msg(value.to_string()), code)
    }

    /// The error that the host gave when a stream could not be opened: this generation knows only
    /// its own shapes and wraps whatever it is.
    pub fn open_failed(plugin_error: &str, _code: i64) -> WithReturnCode<Error> {
        failure("provider_error", plugin_error.into(), None)
    }

    /// A `done` chunk in this generation's spelling.
    pub fn done(finish_reason: &str) -> Value {
        let reason = match finish_reason {
            "Stop" => "end_turn",
            "Length" => "max_tokens",
            "ToolCalls" => "tool_use",
            "Cancelled" => "cancelled",
            "ContentFilter" => "content_filter",
            other => other,
        };
        json!({"chunk": {"done": {"stop_reason": reason}}, "usage": null})
    }
}
