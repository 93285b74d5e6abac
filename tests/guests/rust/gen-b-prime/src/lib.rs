//! A provider between the generations (B′): it works as generation B does, but fails with code 1
//! and `{"payload":…}` and ends a stream with `{"done":{"finish_reason":…}}`.

#[path = "../../gen-b/src/direct.rs"]
mod direct;
mod dialect {
    use extism_pdk::{Error, WithReturnCode};
    use serde_json::{json, Value};

    pub const NAME: &str = "gen-b-prime";

    /// What can go wrong, as the shared half names it.
    pub fn failure(kind: &str, message: String, retry_after: Option<u64>) -> WithReturnCode<Error> {
        let payload = match kind {
            "cancelled" => json!({"type": kind}),
            "rate_limited" => {
                json!({"type": kind, "message": message, "retry_after_secs": retry_after})
            }
            _ => json!({"type": kind, "message": message}),
        };
        WithReturnCode::new(Error::msg(json!({"payload": payload}).to_string()), 1)
    }

    /// The error that the host gave when a stream could not be opened, passed on as it is.
    pub fn open_failed(plugin_error: &str, code: i64) -> WithReturnCode<Error> {
        WithReturnCode::new(
            Error::msg(plugin_error.to_string()),
            i32::try_from(code).unwrap_or(1),
        )
    }

    /// A `done` chunk in this generation's spelling.
    pub fn done(finish_reason: &str) -> Value {
        let reason = if finish_reason == "Cancelled" {
            "Stop"
        } else {
            finish_reason
        };
        json!({"chunk": {"done": {"finish_reason": reason}}, "usage": null})
    }
}
