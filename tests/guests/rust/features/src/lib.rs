//! Everything that the Rust PDK offers a plugin, one export each, and every way to fail.

use extism_pdk::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

// --- failures -----------------------------------------------------------------------------------

/// Fails with the PDK's own code, -1.
#[plugin_fn]
pub fn fail(why: String) -> FnResult<String> {
    Err(Error::msg(format!("guest says no: {why}")).into())
}

/// Fails with the code that the input names.
#[plugin_fn]
pub fn fail_code(code: String) -> FnResult<String> {
    let number: i32 = code.parse()?;
    Err(WithReturnCode::new(
        Error::msg(format!("code {number}")),
        number,
    ))
}

/// A chain of causes: the PDK writes its debug form, several lines.
#[plugin_fn]
pub fn fail_chain(_: ()) -> FnResult<String> {
    Err(Error::msg("the inner cause")
        .context("the outer one")
        .into())
}

/// The text of an error is arbitrary bytes.
#[no_mangle]
pub extern "C" fn fail_not_utf8() -> i32 {
    set_error(b"bad \xff\x00 text");
    1
}

/// A code other than 0 and no word about it.
#[no_mangle]
pub extern "C" fn code_only() -> i32 {
    7
}

/// An error and the code of success: still a failure.
#[no_mangle]
pub extern "C" fn error_with_code_0() -> i32 {
    set_error(b"an error all the same");
    0
}

/// Output and error both set: the error wins.
#[no_mangle]
pub extern "C" fn error_and_output() -> i32 {
    let output = Memory::from_bytes("never seen").expect("memory");
    output.set_output();
    set_error(b"the error wins");
    0
}

/// An error that the guest takes back.
#[no_mangle]
pub extern "C" fn error_cleared() -> i32 {
    set_error(b"taken back");
    unsafe { extism::error_set(0) };
    let output = Memory::from_bytes("fine").expect("memory");
    output.set_output();
    0
}

#[plugin_fn]
pub fn panics(why: String) -> FnResult<String> {
    panic!("panic: {why}")
}

/// Sets an error, then traps.
#[no_mangle]
pub extern "C" fn panic_after_error() -> i32 {
    set_error(b"before the trap");
    std::process::abort()
}

/// Integer division by what the input says, in Wasm's own instruction: 0 traps.
#[plugin_fn]
pub fn divide_by(divisor: String) -> FnResult<String> {
    let divisor: u32 = divisor.parse()?;
    // SAFETY: the undefined behaviour of a zero divisor is what is under test; black_box and the
    // checked form keep the compiler from acting on it.
    match 100_u32.checked_div(std::hint::black_box(divisor)) {
        Some(quotient) => Ok(quotient.to_string()),
        None => core::arch::wasm32::unreachable(),
    }
}

/// Reads beyond the end of its own memory.
#[no_mangle]
pub extern "C" fn out_of_bounds() -> i32 {
    let far = std::hint::black_box(0xffff_fff0_usize) as *const i32;
    unsafe { far.read_volatile() }
}

fn set_error(text: &[u8]) {
    let memory = Memory::from_bytes(text).expect("memory");
    unsafe { extism::error_set(memory.offset()) };
    // The block must outlive the call: Memory frees nothing by itself.
}

// --- signatures ---------------------------------------------------------------------------------

/// `() -> ()` is a call that succeeds.
#[no_mangle]
pub extern "C" fn no_result() {
    let output = Memory::from_bytes("no result").expect("memory");
    output.set_output();
}

/// Takes a parameter: exists for linked modules, cannot be called by a host.
#[no_mangle]
pub extern "C" fn takes_argument(value: i32) -> i32 {
    value
}

/// Returns what no host may take for a return code.
#[no_mangle]
pub extern "C" fn returns_i64() -> i64 {
    0
}

// --- config, vars, log --------------------------------------------------------------------------

/// The config value of the key in the input, or `(none)`.
#[plugin_fn]
pub fn config_value(key: String) -> FnResult<String> {
    Ok(config::get(key)?.unwrap_or_else(|| "(none)".into()))
}

/// Counts its calls in a var: it survives a trap, a global would not.
#[plugin_fn]
pub fn count_in_var(_: ()) -> FnResult<String> {
    let count: u32 = match var::get::<String>("count")? {
        Some(text) => text.parse()?,
        None => 0,
    };
    var::set("count", (count + 1).to_string())?;
    Ok((count + 1).to_string())
}

static CALLS: AtomicU32 = AtomicU32::new(0);

/// Counts its calls in a global of the instance.
#[plugin_fn]
pub fn count_in_global(_: ()) -> FnResult<String> {
    Ok((CALLS.fetch_add(1, Ordering::Relaxed) + 1).to_string())
}

/// Stores the input as a var, reads it back, removes it, and says what was seen.
#[plugin_fn]
pub fn var_round_trip(value: Vec<u8>) -> FnResult<String> {
    let before = var::get::<Vec<u8>>("round")?.is_some();
    var::set("round", value.as_slice())?;
    let stored = var::get::<Vec<u8>>("round")?;
    var::remove("round")?;
    let after = var::get::<Vec<u8>>("round")?.is_some();
    let same = stored.as_deref() == Some(value.as_slice());
    Ok(format!("before={before} same={same} after={after}"))
}

/// `KEY=SIZE`: stores that many bytes under the key.
#[plugin_fn]
pub fn var_fill(request: String) -> FnResult<String> {
    let (key, size) = request.split_once('=').ok_or(Error::msg("KEY=SIZE"))?;
    var::set(key, vec![b'v'; size.parse()?])?;
    Ok("stored".into())
}

/// One line for every level, through the PDK's macros: they ask for the level first.
#[plugin_fn]
pub fn log_macros(text: String) -> FnResult<()> {
    trace!("trace {text}");
    debug!("debug {text}");
    info!("info {text}");
    warn!("warn {text}");
    error!("error {text}");
    Ok(())
}

/// One line for every level, straight to the imports.
#[plugin_fn]
pub fn log_imports(text: String) -> FnResult<()> {
    let line = |level: &str| Memory::from_bytes(format!("{level} {text}"));
    unsafe {
        extism::log_trace(line("trace")?.offset());
        extism::log_debug(line("debug")?.offset());
        extism::log_info(line("info")?.offset());
        extism::log_warn(line("warn")?.offset());
        extism::log_error(line("error")?.offset());
    }
    Ok(())
}

/// The level below which the host drops lines: 0 trace … 4 error, 2147483647 off.
#[plugin_fn]
pub fn log_level(_: ()) -> FnResult<String> {
    Ok(unsafe { extism::get_log_level() }.to_string())
}

// --- HTTP ---------------------------------------------------------------------------------------

#[derive(Deserialize)]
struct Fetch {
    url: String,
    method: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
}

#[derive(Serialize)]
struct Fetched {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

/// Sends what the input describes and returns the reply: status, headers if the host gives any, body.
#[plugin_fn]
pub fn http(Json(fetch): Json<Fetch>) -> FnResult<Json<Fetched>> {
    let mut request = HttpRequest::new(fetch.url);
    request.method = fetch.method;
    request.headers = fetch.headers;
    let reply = http::request(&request, fetch.body)?;
    Ok(Json(Fetched {
        status: reply.status_code(),
        headers: reply.headers().clone().into_iter().collect(),
        body: String::from_utf8_lossy(&reply.body()).into_owned(),
    }))
}

/// The status of the last request of this plugin, of an earlier call too; 0 if none.
#[plugin_fn]
pub fn http_last_status(_: ()) -> FnResult<String> {
    Ok(unsafe { extism::http_status_code() }.to_string())
}

/// Hands the input to `http_request` as it is: the host must refuse what is no request.
#[plugin_fn]
pub fn http_raw(request: Vec<u8>) -> FnResult<String> {
    let request = Memory::from_bytes(request)?;
    let body = unsafe { extism::http_request(request.offset(), 0) };
    let status = unsafe { extism::http_status_code() };
    Ok(format!("status {status}, body {}", body != 0))
}

// --- encodings ----------------------------------------------------------------------------------

#[derive(Serialize, Deserialize)]
struct Point {
    x: i64,
    y: f64,
    #[serde(default)]
    label: Option<String>,
}

/// JSON in, JSON out: the point mirrored.
#[plugin_fn]
pub fn mirror_json(Json(point): Json<Point>) -> FnResult<Json<Point>> {
    Ok(Json(mirrored(point)))
}

/// MessagePack in, MessagePack out.
#[plugin_fn]
pub fn mirror_msgpack(Msgpack(point): Msgpack<Point>) -> FnResult<Msgpack<Point>> {
    Ok(Msgpack(mirrored(point)))
}

fn mirrored(point: Point) -> Point {
    Point {
        x: -point.x,
        y: -point.y,
        label: point.label,
    }
}

/// The input's length and the sum of its bytes: proves that all of it arrived.
#[plugin_fn]
pub fn measure(input: Vec<u8>) -> FnResult<String> {
    let sum: u64 = input.iter().map(|byte| u64::from(*byte)).sum();
    Ok(format!("{} {sum}", input.len()))
}

/// So many bytes `x` as the input says; 0 is an empty output.
#[plugin_fn]
pub fn produce(size: String) -> FnResult<Vec<u8>> {
    Ok(vec![b'x'; size.parse()?])
}
