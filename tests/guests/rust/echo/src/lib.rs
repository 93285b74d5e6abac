//! The smallest useful guest: bytes in, bytes out, and a little JSON.
//! The benchmarks run it, so it does nothing but what its exports say.

use extism_pdk::*;

/// Returns its input unchanged.
#[plugin_fn]
pub fn echo(input: Vec<u8>) -> FnResult<Vec<u8>> {
    Ok(input)
}

/// `{"count": N}`: how many of the characters `aeiouAEIOU` the UTF-8 input holds.
#[plugin_fn]
pub fn count_vowels(input: String) -> FnResult<String> {
    let count = input
        .chars()
        .filter(|letter| "aeiouAEIOU".contains(*letter))
        .count();
    Ok(format!("{{\"count\": {count}}}"))
}
