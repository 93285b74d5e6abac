//! The way out of the module: export macros and, on wasm32, the Extism kernel under them.

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod bulk;
#[cfg(target_arch = "wasm32")]
pub(crate) mod kernel;
mod macros;

pub use crate::{export_functions, impl_extism_http_factory, impl_extism_http_plugin};

/// Runs the C library's constructors. Hosts call it once for each instance. Without it the linker
/// wraps every export so that the constructors run in every call.
#[cfg(target_arch = "wasm32")]
#[unsafe(no_mangle)]
#[doc(hidden)]
pub extern "C" fn _initialize() {
    extern "C" {
        fn __wasm_call_ctors();
    }
    // SAFETY: the linker defines it; the host calls `_initialize` before any export, and once
    unsafe { __wasm_call_ctors() }
}

/// Runs one export: reads the input, calls, hands over output or error. 0 is success, 1 a structured error.
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub fn run(guest: &crate::plugin::guest::Guest, export: crate::plugin::guest::Export) -> i32 {
    let input = bulk::input();
    let outcome = export(guest, &input);
    bulk::recycle(input);
    finish(outcome.map_err(|error| error.to_json()))
}

/// Runs one function of `export_functions!`; as [`run`].
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub fn run_function<I, O, E>(function: fn(I) -> Result<O, E>) -> i32
where
    I: crate::plugin::function::Input,
    O: crate::plugin::function::Output,
    E: Into<crate::plugin::function::Failure>,
{
    finish(crate::plugin::function::call(function, bulk::input()))
}

#[cfg(target_arch = "wasm32")]
fn finish(outcome: Result<Vec<u8>, Vec<u8>>) -> i32 {
    match outcome {
        Ok(output) => {
            bulk::output(output);
            0
        }
        Err(error) => {
            kernel::fail(&error);
            1
        }
    }
}

/// The host's `qmt_http_request`, for speech.
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub fn host_http(
    request: &crate::http::Request<Vec<u8>>,
) -> Result<crate::http::Response<Vec<u8>>, crate::LLMError> {
    let reply = kernel::http(&crate::wire::encode_request(request)?);
    let crate::wire::WireResponse(response) = serde_json::from_slice(&reply)?;
    Ok(response)
}

/// Compile-time proof that the macro's `config` is what the ABI needs; never called.
#[doc(hidden)]
pub fn assert_config<C>()
where
    C: serde::de::DeserializeOwned + crate::plugin::http::HTTPLLMProvider,
{
}
