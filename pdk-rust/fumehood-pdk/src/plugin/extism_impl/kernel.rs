//! The Extism kernel (`extism:host/env`) and the host functions of `extism:host/user`, wasm32 only.
//!
//! A handle is an address in the kernel's memory, 0 is empty. Payloads move eight bytes a call.

#[link(wasm_import_module = "extism:host/env")]
extern "C" {
    fn input_length() -> u64;
    fn input_load_u8(offset: u64) -> u8;
    fn input_load_u64(offset: u64) -> u64;
    fn alloc(length: u64) -> u64;
    fn free(handle: u64);
    fn length(handle: u64) -> u64;
    fn load_u8(address: u64) -> u8;
    fn load_u64(address: u64) -> u64;
    fn store_u8(address: u64, value: u8);
    fn store_u64(address: u64, value: u64);
    fn output_set(handle: u64, length: u64);
    fn error_set(handle: u64);
}

mod user {
    #[link(wasm_import_module = "extism:host/user")]
    extern "C" {
        pub(super) fn qmt_http_request(request: u64) -> u64;
        #[cfg(feature = "log")]
        pub(super) fn qmt_log(record: u64);
    }
}

/// Reads `length` bytes, eight at a time.
fn collect(
    length: u64,
    word: unsafe extern "C" fn(u64) -> u64,
    byte: unsafe extern "C" fn(u64) -> u8,
    base: u64,
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length as usize);
    let mut at = 0;
    // SAFETY: host functions of integers; the kernel answers 0 for what is out of range
    unsafe {
        while length - at >= 8 {
            bytes.extend_from_slice(&word(base + at).to_le_bytes());
            at += 8;
        }
        while at < length {
            bytes.push(byte(base + at));
            at += 1;
        }
    }
    bytes
}

/// Copies `bytes` into a new block; traps when the host has no room, since no error could be told either.
fn store(bytes: &[u8]) -> u64 {
    if bytes.is_empty() {
        return 0;
    }
    // SAFETY: host functions of integers; every address lies in the block just allocated
    unsafe {
        let handle = alloc(bytes.len() as u64);
        assert!(handle != 0, "the host has no memory for {} bytes", bytes.len());
        let mut at = handle;
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            let mut eight = [0; 8];
            eight.copy_from_slice(word);
            store_u64(at, u64::from_le_bytes(eight));
            at += 8;
        }
        for byte in words.remainder() {
            store_u8(at, *byte);
            at += 1;
        }
        handle
    }
}

/// The input of this call.
pub(crate) fn input() -> Vec<u8> {
    // SAFETY: host functions of integers
    collect(unsafe { input_length() }, input_load_u64, input_load_u8, 0)
}

/// Sets the output of this call.
pub(crate) fn output(bytes: &[u8]) {
    let handle = store(bytes);
    // SAFETY: a handle of ours with its length; (0, 0) leaves the output empty
    unsafe { output_set(handle, bytes.len() as u64) }
}

/// Sets the error of this call.
pub(crate) fn fail(bytes: &[u8]) {
    let handle = store(bytes);
    // SAFETY: a handle of ours
    unsafe { error_set(handle) }
}

/// Has the host perform a request.
pub(crate) fn http(request: &[u8]) -> Vec<u8> {
    let block = store(request);
    // SAFETY: the host reads our block and answers with one of its own, alive until this call ends
    unsafe {
        let reply = user::qmt_http_request(block);
        free(block);
        collect(length(reply), load_u64, load_u8, reply)
    }
}

/// Hands a log record to the host.
#[cfg(feature = "log")]
pub(crate) fn log(record: &[u8]) {
    let block = store(record);
    // SAFETY: the host reads our block
    unsafe {
        user::qmt_log(block);
        free(block);
    }
}
