//! `smith KIND [IMPORTS.wasm] < bytes > module.wasm`: the module that these bytes are.
//!
//! KIND is `plain` (what plugins use: one memory, no proposal that a host refuses), or `any` (every proposal, any
//! import). IMPORTS.wasm is a module whose imports may be used. Exit status 3: the bytes make no module.

use arbitrary::{Arbitrary, Unstructured};
use std::io::{Read, Write};
use wasm_smith::{Config, Module};

fn config(kind: &str, imports: Option<Vec<u8>>, from: &mut Unstructured) -> arbitrary::Result<Config> {
    let mut config = Config::arbitrary(from)?;
    config.available_imports = imports;
    config.export_everything = true;
    config.canonicalize_nans = true;
    config.max_memory32_bytes = 4 << 20;
    config.max_table_elements = 1000;
    if kind == "plain" {
        config.min_memories = 1;
        config.max_memories = 1;
        config.min_funcs = 1;
        config.max_tags = 0;
        config.compact_imports_enabled = false;
        config.custom_page_sizes_enabled = false;
        config.exceptions_enabled = false;
        config.gc_enabled = false;
        config.memory64_enabled = false;
        config.relaxed_simd_enabled = false;
        config.shared_everything_threads_enabled = false;
        config.tail_call_enabled = false;
        config.threads_enabled = false;
        config.wide_arithmetic_enabled = false;
    }
    Ok(config)
}

fn module(kind: &str, imports: Option<Vec<u8>>, bytes: &[u8]) -> arbitrary::Result<Vec<u8>> {
    let mut from = Unstructured::new(bytes);
    let config = config(kind, imports, &mut from)?;
    Ok(Module::new(config, &mut from)?.to_bytes())
}

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let kind = arguments.first().map_or("any", String::as_str);
    let imports = arguments.get(1).map(std::fs::read).transpose()?;
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes)?;
    match module(kind, imports, &bytes) {
        Ok(made) => std::io::stdout().write_all(&made),
        Err(_) => std::process::exit(3),
    }
}
