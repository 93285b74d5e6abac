//! What an HTTP status means (ABI §5.4), and when to try again.

use crate::error::{LLMError, ProviderErrorKind, ProviderFailure};
use crate::http::{HeaderMap, Response};
use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};

/// The meaning of a failed exchange that is not a chat (embed, complete, list models).
pub fn classify_generic(resp: &Response<Vec<u8>>) -> LLMError {
    let body = json_body(resp);
    let message = error_message(resp);
    let hint = || retry_hint(resp.headers(), body.as_ref());
    match resp.status().as_u16() {
        499 => LLMError::Cancelled,
        429 => LLMError::RateLimited { message, retry_after_secs: hint() },
        401 | 403 => LLMError::AuthError(message),
        400 => LLMError::InvalidRequest(message),
        status_code if status_code >= 500 => {
            LLMError::HttpStatus { status_code, message, retry_after_secs: hint() }
        }
        _ => LLMError::ProviderError(message),
    }
}

/// The meaning of a failed chat as far as the status tells it.
pub fn classify_chat(resp: &Response<Vec<u8>>) -> LLMError {
    if resp.status().as_u16() == 499 {
        return LLMError::Cancelled;
    }
    LLMError::Provider(ProviderFailure {
        message: error_message(resp),
        kind: Some(chat_kind(resp.status().as_u16())),
        retry_after_secs: retry_hint(resp.headers(), json_body(resp).as_ref()),
        ..ProviderFailure::default()
    })
}

/// Everything a refused request tells: the body's message, code and type in the shapes that vendors use,
/// the request's id, the retry hint, and the kind by the status alone, which the caller may know better.
pub fn describe(resp: &Response<Vec<u8>>) -> ProviderFailure {
    let body = json_body(resp);
    let mut failure = body.as_ref().and_then(describe_body).unwrap_or_default();
    if failure.message.is_empty() {
        failure.message = error_message(resp);
    }
    failure.kind = Some(chat_kind(resp.status().as_u16()));
    let id = ["x-request-id", "request-id"].iter().find_map(|name| resp.headers().get(*name));
    if let Some(id) = id.and_then(|id| id.to_str().ok()) {
        failure.request_id = Some(id.to_string());
    }
    failure.retry_after_secs =
        retry_hint(resp.headers(), body.as_ref()).or_else(|| retry_hint_in_text(&failure.message));
    failure
}

/// What a body says about a failure, `None` when it says nothing:
/// `{"error": {"message", "code", "type"}}`, `{"error": "…"}`, `message` or `detail` at the top.
pub fn describe_body(body: &Value) -> Option<ProviderFailure> {
    let text = |value: Option<&Value>| match value {
        Some(Value::String(text)) if !text.trim().is_empty() => Some(text.trim().to_string()),
        // some servers give the status as the code
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let error = body.get("error").filter(|error| !error.is_null()).unwrap_or(body);
    let message = text(error.as_str().map(|_| error))
        .or_else(|| text(error.get("message")))
        .or_else(|| text(error.get("detail")));
    let mut failure = ProviderFailure {
        message: message.unwrap_or_default(),
        code: text(error.get("code")),
        error_type: text(error.get("type")),
        ..ProviderFailure::default()
    };
    if failure == ProviderFailure::default() {
        return None;
    }
    failure.request_id = text(body.get("request_id"));
    failure.retry_after_secs =
        retry_hint(&HeaderMap::new(), Some(body)).or_else(|| retry_hint_in_text(&failure.message));
    Some(failure)
}

/// The kind of a failed chat by its status alone.
pub fn chat_kind(status: u16) -> ProviderErrorKind {
    match status {
        429 => ProviderErrorKind::RateLimited,
        401 | 403 => ProviderErrorKind::Authentication,
        400 | 422 => ProviderErrorKind::InvalidRequest,
        408 | 425 => ProviderErrorKind::UnknownTransient,
        _ if status >= 500 => ProviderErrorKind::UnknownTransient,
        _ => ProviderErrorKind::UnknownPermanent,
    }
}

/// `Err` with [`classify_generic`] unless the status says success.
pub fn require_success(resp: &Response<Vec<u8>>) -> Result<(), LLMError> {
    if resp.status().is_success() {
        Ok(())
    } else {
        Err(classify_generic(resp))
    }
}

/// The body as JSON, if it is that.
pub fn json_body(resp: &Response<Vec<u8>>) -> Option<Value> {
    serde_json::from_slice(resp.body()).ok()
}

/// The text of a failure: `/error/message`, else the body's text, else `HTTP <status>`.
pub fn error_message(resp: &Response<Vec<u8>>) -> String {
    let body = json_body(resp);
    let text = match body.as_ref().and_then(|b| b.pointer("/error/message")).and_then(Value::as_str) {
        Some(text) => text.trim().to_string(),
        None => String::from_utf8_lossy(resp.body()).trim().to_string(),
    };
    if text.is_empty() {
        format!("HTTP {}", resp.status().as_u16())
    } else {
        text
    }
}

/// Whole seconds after which a retry makes sense: the first hint that can be read, headers first.
pub fn retry_hint(headers: &HeaderMap, body: Option<&Value>) -> Option<u64> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(text) = header("retry-after") {
        if let Some(seconds) = text.parse().ok().or_else(|| seconds_until(text)) {
            return Some(seconds);
        }
    }
    if let Some(ms) = header("retry-after-ms").and_then(|text| text.parse::<u64>().ok()) {
        return Some(whole(ms as f64 / 1000.0));
    }
    if let Some(seconds) = header("x-ratelimit-reset-requests").and_then(duration) {
        return Some(whole(seconds));
    }
    let body = body?;
    ["/error/retry_after", "/error/retry_after_secs", "/retry_after", "/retry_after_secs"]
        .iter()
        .filter_map(|path| body.pointer(path))
        .find_map(|value| match value {
            Value::Number(n) => n.as_f64().filter(|s| *s >= 0.0).map(whole),
            Value::String(text) => duration(text.trim()).map(whole),
            _ => None,
        })
}

/// The hint in a sentence such as "Please try again in 11.054s", rounded up.
pub fn retry_hint_in_text(message: &str) -> Option<u64> {
    let (_, rest) = message.split_once("try again in ")?;
    let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
    let number: f64 = rest[..end].trim_end_matches('.').parse().ok()?;
    let unit = rest[end..].trim_start();
    let seconds = if unit.starts_with("ms") || unit.starts_with("milli") {
        number / 1000.0
    } else if unit.starts_with('s') {
        number
    } else if let Some(seconds) = unit.strip_prefix('m') {
        // "1m30.5s" goes on with the seconds
        number * 60.0 + seconds.split('s').next().and_then(|s| s.parse::<f64>().ok()).unwrap_or(0.0)
    } else {
        return None;
    };
    Some(seconds.ceil() as u64)
}

/// Fractions are cut off, but what is positive stays so.
fn whole(seconds: f64) -> u64 {
    if seconds > 0.0 && seconds < 1.0 {
        1
    } else {
        seconds as u64
    }
}

/// Seconds in `12`, `1m30s`, `500ms`, `2h`.
fn duration(text: &str) -> Option<f64> {
    if let Ok(number) = text.parse::<u64>() {
        return Some(number as f64);
    }
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        total += number
            * match &rest[..end] {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86400.0,
                _ => return None,
            };
        rest = &rest[end..];
    }
    (!text.is_empty()).then_some(total)
}

/// Seconds from now to an HTTP date (RFC 9110 §5.6.7, the form `Sun, 06 Nov 1994 08:49:37 GMT`).
fn seconds_until(text: &str) -> Option<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    http_date(text)?.checked_sub(now).filter(|seconds| *seconds > 0)
}

/// Unix seconds of an HTTP date.
fn http_date(text: &str) -> Option<u64> {
    let mut words = text.split_once(',')?.1.split_whitespace();
    let day: u64 = words.next()?.parse().ok()?;
    let name = words.next()?;
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = MONTHS.iter().position(|m| *m == name)? as u64 + 1;
    let year: u64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    if words.next() != Some("GMT") || clock.next().is_some() {
        return None;
    }
    if !(1970..=9999).contains(&year) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // days since 1970-01-01, counting years from March so that the leap day comes last
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
