//! Guests that take too much of something: every one must be ended by a limit, not by luck.

use extism_pdk::*;
use std::hint::black_box;

/// Computes for ever.
#[plugin_fn]
pub fn loop_forever(_: ()) -> FnResult<String> {
    let mut turns = 0_u64;
    while black_box(true) {
        turns = black_box(turns.wrapping_add(1));
    }
    Ok(turns.to_string())
}

/// Counts so far as the input says, and returns the count.
#[plugin_fn]
pub fn count_to(limit: String) -> FnResult<String> {
    let limit: u64 = limit.parse()?;
    let mut turns = 0_u64;
    while turns < limit {
        turns = black_box(turns + 1);
    }
    Ok(turns.to_string())
}

/// Keeps asking for guest memory; Rust ends with a trap once there is no more.
#[plugin_fn]
pub fn hoard(_: ()) -> FnResult<String> {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    loop {
        kept.push(black_box(vec![1; 1 << 20]));
    }
}

/// Takes so many MiB of guest memory as the input says, touches them and returns their number.
#[plugin_fn]
pub fn take_mib(count: String) -> FnResult<String> {
    let count: usize = count.parse()?;
    let kept = black_box(vec![1_u8; count << 20]);
    Ok((kept.len() >> 20).to_string())
}

/// Asks politely for more guest memory than there is: a refusal is no trap.
#[plugin_fn]
pub fn ask_for_mib(count: String) -> FnResult<String> {
    let count: usize = count.parse()?;
    let mut wanted: Vec<u8> = Vec::new();
    Ok(match wanted.try_reserve_exact(count << 20) {
        Ok(()) => "granted".into(),
        Err(_) => "refused".into(),
    })
}

/// Keeps asking for kernel blocks, 1 MiB each, until one is refused; returns how many there were.
#[plugin_fn]
pub fn hoard_blocks(_: ()) -> FnResult<String> {
    let mut blocks = 0_u32;
    while blocks < 100_000 && unsafe { extism::alloc(1 << 20) } != 0 {
        blocks += 1;
    }
    let asked = if blocks < 100_000 {
        "refused"
    } else {
        "endless"
    };
    Ok(asked.into())
}

/// Recurses so deep as the input says: a great depth exhausts the stack.
#[plugin_fn]
pub fn recurse(depth: String) -> FnResult<String> {
    Ok(descend(depth.parse()?).to_string())
}

#[inline(never)]
fn descend(depth: u64) -> u64 {
    if depth == 0 {
        return 0;
    }
    black_box(descend(black_box(depth - 1))) + 1
}

/// Logs so many lines as the input says.
#[plugin_fn]
pub fn flood_log(lines: String) -> FnResult<String> {
    let lines: u32 = lines.parse()?;
    for number in 0..lines {
        let text = Memory::from_bytes(format!("line {number}"))?;
        unsafe { extism::log_error(text.offset()) };
    }
    Ok(lines.to_string())
}

/// Calls the host so often as the input says, with its cheapest function.
#[plugin_fn]
pub fn call_host(times: String) -> FnResult<String> {
    let times: u32 = times.parse()?;
    for _ in 0..times {
        black_box(unsafe { extism::get_log_level() });
    }
    Ok(times.to_string())
}
