//! Every import of `extism:host/env`, called without a PDK and without the standard library.
//!
//! Each export writes one line of observations, blank-separated, as its output; numbers are
//! decimal. An address itself is never printed, for it is the host's own business.
#![no_std]

use core::fmt::Write;

mod env {
    #[link(wasm_import_module = "extism:host/env")]
    extern "C" {
        pub fn alloc(length: u64) -> u64;
        pub fn free(handle: u64);
        pub fn length(handle: u64) -> u64;
        pub fn length_unsafe(handle: u64) -> u64;
        pub fn load_u8(address: u64) -> u32;
        pub fn load_u64(address: u64) -> u64;
        pub fn store_u8(address: u64, value: u32);
        pub fn store_u64(address: u64, value: u64);
        pub fn input_load_u8(offset: u64) -> u32;
        pub fn input_load_u64(offset: u64) -> u64;
        pub fn input_set(handle: u64, length: u64);
        pub fn input_offset() -> u64;
        pub fn input_length() -> u64;
        pub fn output_set(handle: u64, length: u64);
        pub fn output_offset() -> u64;
        pub fn output_length() -> u64;
        pub fn error_set(handle: u64);
        pub fn error_get() -> u64;
        pub fn reset();
        pub fn memory_bytes() -> u64;
        pub fn config_get(key: u64) -> u64;
        pub fn var_get(key: u64) -> u64;
        pub fn var_set(key: u64, value: u64);
        pub fn http_request(request: u64, body: u64) -> u64;
        pub fn http_status_code() -> u32;
        pub fn http_headers() -> u64;
        pub fn log_trace(text: u64);
        pub fn log_debug(text: u64);
        pub fn log_info(text: u64);
        pub fn log_warn(text: u64);
        pub fn log_error(text: u64);
        pub fn get_log_level() -> u32;
    }
}
use env::*;

const NO_SUCH_HANDLE: u64 = 1 << 30;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

/// A line of observations, collected before any of it is written to the kernel's memory.
struct Line {
    bytes: [u8; 512],
    used: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let end = self.used + text.len();
        let room = self.bytes.get_mut(self.used..end).ok_or(core::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.used = end;
        Ok(())
    }
}

impl Line {
    /// One more observation; a line that is full is this guest's mistake.
    fn add(&mut self, value: &dyn core::fmt::Display) {
        let blank = if self.used == 0 { "" } else { " " };
        if write!(self, "{blank}{value}").is_err() {
            core::arch::wasm32::unreachable()
        }
    }
}

unsafe fn block(bytes: &[u8]) -> u64 {
    let handle = alloc(bytes.len() as u64);
    for (index, byte) in bytes.iter().enumerate() {
        store_u8(handle + index as u64, u32::from(*byte));
    }
    handle
}

/// Makes an export whose output is the line that its block filled.
macro_rules! report {
    ($(#[$doc:meta])* $name:ident, |$line:ident| $body:block) => {
        $(#[$doc])*
        #[no_mangle]
        pub unsafe extern "C" fn $name() -> i32 {
            let mut $line = Line { bytes: [0; 512], used: 0 };
            $body
            output_set(block(&$line.bytes[..$line.used]), $line.used as u64);
            0
        }
    };
}

macro_rules! see {
    ($line:ident, $($value:expr),+) => {{
        $( $line.add(&$value); )+
    }};
}

// --- blocks -------------------------------------------------------------------------------------

report!(
    /// An empty block is the null handle.
    alloc_zero,
    |line| { see!(line, alloc(0), length(0), length_unsafe(0)) }
);

report!(
    /// Sizes that no memory can hold are refused with 0; ordinary ones still work afterwards.
    alloc_absurd,
    |line| {
        see!(line, alloc(u64::MAX), alloc(1 << 63), alloc(1 << 48), alloc(u64::MAX - 11));
        see!(line, alloc((1 << 32) - 1), alloc(1 << 32), alloc((1 << 32) + 16));
        let handle = alloc(16);
        see!(line, handle != 0, length(handle));
    }
);

report!(
    /// Handles differ, lie above the reserved 64 bytes, and know their lengths.
    alloc_some,
    |line| {
        let (a, b, c) = (alloc(1), alloc(8), alloc(1000));
        see!(line, a > 64, b > a, c > b);
        see!(line, length(a), length(b), length(c));
        see!(line, length_unsafe(a), length_unsafe(b), length_unsafe(c));
    }
);

report!(
    /// Blocks beyond the first 64 KiB make the memory grow.
    alloc_large,
    |line| {
        let before = memory_bytes();
        let handle = alloc(1 << 20);
        store_u64(handle + (1 << 20) - 8, 42);
        see!(line, handle != 0, length(handle), load_u64(handle + (1 << 20) - 8));
        see!(line, before > 0, memory_bytes() >= 1 << 20);
    }
);

report!(
    /// Freed twice, never allocated, inside a block, null: none of it does anything.
    free_odd,
    |line| {
        let handle = block(b"twelve bytes");
        let other = block(b"other");
        free(handle);
        free(handle);
        free(0);
        free(NO_SUCH_HANDLE);
        free(other + 1);
        see!(line, length(handle), length(other), load_u8(other));
    }
);

report!(
    /// What was freed can still be read: PDKs free their arguments before they read the result.
    free_then_load,
    |line| {
        let handle = block(b"abcdefgh");
        free(handle);
        see!(line, load_u8(handle), load_u64(handle) == u64::from_le_bytes(*b"abcdefgh"));
    }
);

report!(
    /// A freed block is not handed out at once: a second, late free must not hit its successor.
    free_then_alloc,
    |line| {
        let first = alloc(32);
        free(first);
        let second = alloc(32);
        free(first);
        see!(line, first == second, length(second));
    }
);

report!(
    /// Only the exact start of a live block has a length.
    length_elsewhere,
    |line| {
        let handle = alloc(100);
        see!(line, length(handle), length(handle + 1), length(handle - 1));
        see!(line, length(NO_SUCH_HANDLE), length(u64::MAX), length(1));
    }
);

report!(
    /// At the very end of the memory, wherever it is, there is no block and no room for one's
    /// header: the sum of the lengths around every page's end is 0.
    length_at_end,
    |line| {
        let mut sum = 0;
        for page in 1..=65536_u64 {
            let end = page << 16;
            for back in [0, 1, 12, 13, 64, 65] {
                sum += length(end - back);
            }
        }
        see!(line, sum);
    }
);

// --- bytes --------------------------------------------------------------------------------------

report!(
    /// Little-endian, unaligned, the low eight bits.
    bytes_order,
    |line| {
        let handle = alloc(16);
        store_u64(handle + 1, 0x0807_0605_0403_0201);
        see!(line, load_u8(handle + 1), load_u8(handle + 8));
        store_u8(handle, 0x1ff);
        see!(line, load_u8(handle), load_u64(handle + 1) == 0x0807_0605_0403_0201);
    }
);

report!(
    /// The first 64 bytes belong to nobody: reads give 0, writes are lost.
    bytes_reserved,
    |line| {
        store_u8(0, 7);
        store_u64(8, 7);
        store_u8(63, 7);
        see!(line, load_u8(0), load_u64(8), load_u8(63));
    }
);

report!(
    /// Beyond the memory: reads give 0, writes are lost, nothing traps.
    bytes_beyond,
    |line| {
        let far = 1_u64 << 40;
        store_u8(far, 7);
        store_u64(far, 7);
        store_u64(u64::MAX, 7);
        see!(line, load_u8(far), load_u64(far), load_u8(u64::MAX), load_u64(u64::MAX - 3));
    }
);

report!(
    /// Wherever the memory ends: neither a byte there nor eight bytes across it may trap.
    bytes_at_end,
    |line| {
        for page in 1..=65536_u64 {
            let end = page << 16;
            load_u8(end);
            load_u64(end - 7);
            load_u64(end);
        }
        see!(line, "done");
    }
);

report!(
    /// Eight bytes written where five were asked for: PDKs do that, it must not fail.
    bytes_past_block,
    |line| {
        let handle = alloc(5);
        store_u64(handle, 0x4141_4141_4141_4141);
        see!(line, length(handle), load_u8(handle + 4));
    }
);

// --- input --------------------------------------------------------------------------------------

report!(
    /// Length, first and last byte, and what lies beyond: 0, without a trap.
    input_bounds,
    |line| {
        let size = input_length();
        see!(line, size, input_load_u8(0), input_load_u8(size.wrapping_sub(1)));
        see!(line, input_load_u8(size), input_load_u64(size.wrapping_sub(7)));
        see!(line, input_load_u64(size), input_load_u8(1 << 40), input_load_u64(1 << 40));
    }
);

report!(
    /// Offsets that wrap around must not read in front of the input.
    input_wraps,
    |line| { see!(line, input_load_u64(u64::MAX), input_load_u64(u64::MAX - 6), input_load_u8(u64::MAX)) }
);

report!(
    /// The input is a block like any other; without input both registers are 0.
    input_is_block,
    |line| {
        let handle = input_offset();
        see!(line, handle != 0, length(handle) == input_length(), length_unsafe(handle));
        see!(line, load_u8(handle) == input_load_u8(0));
    }
);

report!(
    /// Freed input has no length but keeps its bytes.
    input_freed,
    |line| {
        let handle = input_offset();
        let first = input_load_u8(0);
        free(handle);
        see!(line, input_length(), input_offset() == handle, length(handle), load_u8(handle) == first);
    }
);

report!(
    /// A guest may set its input; what lies out of bounds is ignored.
    input_replaced,
    |line| {
        let handle = block(b"replaced");
        input_set(handle, 8);
        see!(line, input_length(), input_load_u8(0), input_load_u64(0) == u64::from_le_bytes(*b"replaced"));
        input_set(NO_SUCH_HANDLE, 8);
        see!(line, input_length(), input_offset() == handle);
    }
);

/// Copies the input to the output byte by byte, with eight-byte steps in front.
#[no_mangle]
pub unsafe extern "C" fn copy() -> i32 {
    let size = input_length();
    let handle = alloc(size);
    let mut at = 0;
    while at + 8 <= size {
        store_u64(handle + at, input_load_u64(at));
        at += 8;
    }
    while at < size {
        store_u8(handle + at, input_load_u8(at));
        at += 1;
    }
    output_set(handle, size);
    0
}

/// The input's own block as the output.
#[no_mangle]
pub unsafe extern "C" fn reflect() -> i32 {
    output_set(input_offset(), input_length());
    0
}

// --- output and error ---------------------------------------------------------------------------

/// Output is a range, not a block, and is read when the call ends.
#[no_mangle]
pub unsafe extern "C" fn output_interior() -> i32 {
    let handle = block(b"<inside>");
    output_set(handle + 1, 6);
    store_u8(handle + 1, u32::from(b'I'));
    0
}

/// Out of bounds, and null with a length: ignored, the earlier output stays.
#[no_mangle]
pub unsafe extern "C" fn output_ignored() -> i32 {
    output_set(block(b"kept"), 4);
    output_set(NO_SUCH_HANDLE, 4);
    output_set(0, 4);
    output_set(u64::MAX, 4);
    output_set(output_offset(), u64::MAX);
    0
}

/// A valid address with length 0 is an empty output.
#[no_mangle]
pub unsafe extern "C" fn output_emptied() -> i32 {
    let handle = block(b"gone");
    output_set(handle, 4);
    output_set(handle, 0);
    0
}

/// A range over two blocks.
#[no_mangle]
pub unsafe extern "C" fn output_two_blocks() -> i32 {
    let first = block(b"first");
    let second = block(b"second");
    output_set(first, second + 6 - first);
    0
}

report!(
    /// The registers can be read back.
    registers,
    |line| {
        see!(line, output_offset(), output_length(), error_get());
        let handle = block(b"output");
        output_set(handle, 3);
        error_set(handle);
        see!(line, output_offset() == handle, output_length(), error_get() == handle);
        error_set(NO_SUCH_HANDLE);
        see!(line, error_get() == handle);
        error_set(0);
        see!(line, error_get());
    }
);

/// An error handle into the middle of a block: no block of its own, so no error text.
#[no_mangle]
pub unsafe extern "C" fn error_interior() -> i32 {
    error_set(block(b"not an error") + 4);
    output_set(block(b"fine"), 4);
    0
}

/// An error whose block was freed: nothing is left of it.
#[no_mangle]
pub unsafe extern "C" fn error_freed() -> i32 {
    let handle = block(b"freed");
    error_set(handle);
    free(handle);
    output_set(block(b"fine"), 4);
    0
}

report!(
    /// After a reset every register is 0, old handles are unknown and allocation starts anew.
    resets,
    |line| {
        let handle = block(b"before");
        output_set(handle, 6);
        error_set(handle);
        reset();
        see!(line, input_length(), input_offset(), output_length(), error_get(), length(handle));
        let fresh = alloc(6);
        see!(line, fresh != 0, length(fresh));
    }
);

// --- host state ---------------------------------------------------------------------------------

report!(
    /// A value, a missing one, an empty one; the key "" by the null handle.
    config,
    |line| {
        let value = config_get(block(b"key"));
        see!(line, length(value), load_u8(value));
        see!(line, config_get(block(b"missing")), config_get(block(b"empty")), config_get(0) != 0);
    }
);

report!(
    /// Set, read, overwritten, deleted by the null handle and by an empty value.
    vars,
    |line| {
        see!(line, var_get(block(b"v")));
        var_set(block(b"v"), block(b"one"));
        let value = var_get(block(b"v"));
        see!(line, length(value), load_u8(value));
        var_set(block(b"v"), block(b"three"));
        see!(line, length(var_get(block(b"v"))));
        var_set(block(b"v"), 0);
        see!(line, var_get(block(b"v")));
        var_set(block(b"v"), block(b"again"));
        var_set(block(b"v"), block(b""));
        see!(line, var_get(block(b"v")));
        var_set(0, block(b"under the empty key"));
        see!(line, length(var_get(0)));
    }
);

/// A key that is no block ends the call.
#[no_mangle]
pub unsafe extern "C" fn config_unknown_handle() -> i32 {
    config_get(NO_SUCH_HANDLE);
    0
}

/// As above, for vars.
#[no_mangle]
pub unsafe extern "C" fn var_unknown_handle() -> i32 {
    var_set(block(b"key"), NO_SUCH_HANDLE);
    0
}

/// A key that is no UTF-8 ends the call.
#[no_mangle]
pub unsafe extern "C" fn config_not_utf8() -> i32 {
    config_get(block(b"\xff\xfe"));
    0
}

report!(
    /// All five levels, the empty line, and what is no UTF-8 (which is no failure).
    logs,
    |line| {
        log_trace(block(b"a trace"));
        log_debug(block(b"a debug line"));
        log_info(block(b"an info line"));
        log_warn(block(b"a warning"));
        log_error(block(b"an error line"));
        log_info(0);
        log_info(block(b"not \xff UTF-8"));
        let level = get_log_level();
        see!(line, level <= 4 || level == i32::MAX as u32);
    }
);

report!(
    /// No request was made yet.
    http_before,
    |line| { see!(line, http_status_code(), http_headers()) }
);

/// GET of the URL in the input, with the plain imports; the body, after its status in the log.
#[no_mangle]
pub unsafe extern "C" fn http_get() -> i32 {
    let (head, tail) = (b"{\"url\":\"", b"\"}");
    let size = input_length();
    let request = alloc(size + (head.len() + tail.len()) as u64);
    for (index, byte) in head.iter().enumerate() {
        store_u8(request + index as u64, u32::from(*byte));
    }
    for index in 0..size {
        store_u8(request + head.len() as u64 + index, input_load_u8(index));
    }
    for (index, byte) in tail.iter().enumerate() {
        store_u8(
            request + head.len() as u64 + size + index as u64,
            u32::from(*byte),
        );
    }
    let body = http_request(request, 0);
    output_set(body, length(body));
    (http_status_code() != 200) as i32
}
