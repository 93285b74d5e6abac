//! What a guest sees of the system through WASI preview 1: as little as can be.

use extism_pdk::*;
use serde_json::json;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::Read;
use std::io::Write;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Arguments, environment and what can be read from stdin.
#[plugin_fn]
pub fn surroundings(_: ()) -> FnResult<String> {
    let mut stdin = Vec::new();
    let read = std::io::stdin().read_to_end(&mut stdin);
    let seen = json!({
        "args": std::env::args().count(),
        "env": std::env::vars_os().count(),
        "stdin": read.map_or(-1, |count| count as i64),
    });
    Ok(seen.to_string())
}

/// Writes the input to stdout and stderr, where it must go nowhere.
#[plugin_fn]
pub fn print(text: String) -> FnResult<String> {
    std::io::stdout().write_all(text.as_bytes())?;
    std::io::stdout().flush()?;
    std::io::stderr().write_all(text.as_bytes())?;
    Ok("printed".into())
}

/// The wall clock is after 2020, the monotonic one does not go back.
#[plugin_fn]
pub fn clocks(_: ()) -> FnResult<String> {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() > 1_577_836_800;
    let first = Instant::now();
    let forward = Instant::now() >= first;
    Ok(format!("wall={wall} forward={forward}"))
}

/// Sleeps so many milliseconds as the input says, and whether the clock agrees.
#[plugin_fn]
pub fn sleep_ms(milliseconds: String) -> FnResult<String> {
    let wanted = Duration::from_millis(milliseconds.parse()?);
    let start = Instant::now();
    std::thread::sleep(wanted);
    Ok(format!("slept={}", start.elapsed() >= wanted))
}

/// Two hashers with random keys differ.
#[plugin_fn]
pub fn random_bytes(_: ()) -> FnResult<String> {
    let hashes: Vec<u64> = (0..2)
        .map(|_| RandomState::new().hash_one("the same"))
        .collect();
    let mut bytes = [0_u8; 32];
    let status = unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) };
    let filled = bytes.iter().any(|byte| *byte != 0);
    Ok(format!(
        "differ={} status={status} filled={filled}",
        hashes[0] != hashes[1]
    ))
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
extern "C" {
    fn random_get(buffer: *mut u8, length: usize) -> u16;
}

/// Reads the file that the input names.
#[plugin_fn]
pub fn read_file(path: String) -> FnResult<String> {
    Ok(match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => format!("refused: {:?}", error.kind()),
    })
}

/// `PATH=TEXT`: writes a file.
#[plugin_fn]
pub fn write_file(request: String) -> FnResult<String> {
    let (path, text) = request.split_once('=').ok_or(Error::msg("PATH=TEXT"))?;
    Ok(match std::fs::write(path, text) {
        Ok(()) => "written".into(),
        Err(error) => format!("refused: {:?}", error.kind()),
    })
}

/// Ends the program with the status that the input says, after setting an output.
#[plugin_fn]
pub fn exit_with(status: String) -> FnResult<String> {
    let status = status.parse()?;
    let output = Memory::from_bytes("set before the exit")?;
    output.set_output();
    std::process::exit(status)
}
