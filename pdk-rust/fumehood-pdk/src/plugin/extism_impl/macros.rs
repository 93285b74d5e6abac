//! The export macros. They parse by hand so that a wrong argument is named in the compiler's message.

/// Exports a plugin whose configuration is its provider, the whole C+ set of the provider ABI.
///
/// ```text
/// impl_extism_http_plugin!(
///     config = MyPluginConfig,        // implements Deserialize and HTTPLLMProvider
///     factory = MyPluginFactory,      // an expression: implements HTTPLLMProviderFactory
///     name = "My plugin",
///     base_url = "https://…",         // optional: instead of the config schema's own default
///     speech = true,                  // optional: transcribe and speech, through the host's HTTP
/// );
/// ```
///
/// What is missing, doubled or unknown is named by the compiler:
///
/// ```compile_fail
/// # use fumehood_pdk::impl_extism_http_plugin;
/// impl_extism_http_plugin!(config = u8, name = "no factory");
/// ```
/// ```compile_fail
/// # use fumehood_pdk::impl_extism_http_plugin;
/// impl_extism_http_plugin!(config = u8, factory = 1, name = "n", nmae = "unknown");
/// ```
///
/// On targets other than wasm32 it only checks its arguments; tests call the exports through
/// [`Guest`](crate::plugin::guest::Guest).
#[macro_export]
macro_rules! impl_extism_http_plugin {
    ($($args:tt)*) => {
        $crate::__plugin_arguments! { impl_extism_http_plugin [] [] [] [] [] $($args)* }
    };
}

/// Exports a factory whose provider is a type of its own, the whole C+ set of the provider ABI:
/// `impl_extism_http_factory!(factory = MyFactory);`
///
/// Optional are `name` (instead of the factory's), `base_url` and `speech`, as in
/// [`impl_extism_http_plugin!`].
#[macro_export]
macro_rules! impl_extism_http_factory {
    ($($args:tt)*) => {
        $crate::__plugin_arguments! { impl_extism_http_factory [] [] [] [] [] $($args)* }
    };
}

/// Exports functions of your own under their names: `export_functions!(echo, count_vowels);`
///
/// Each takes one [`Input`](crate::plugin::function::Input) and returns a `Result` of an
/// [`Output`](crate::plugin::function::Output) and anything that becomes a
/// [`Failure`](crate::plugin::function::Failure): an `LLMError`, a text, a boxed error.
///
/// ```
/// use fumehood_pdk::{export_functions, plugin::function::{Failure, Json}};
///
/// fn echo(input: Vec<u8>) -> Result<Vec<u8>, Failure> {
///     Ok(input)
/// }
///
/// fn sum(Json(numbers): Json<Vec<i64>>) -> Result<Json<i64>, String> {
///     if numbers.is_empty() {
///         return Err("nothing to add".into());
///     }
///     Ok(Json(numbers.iter().sum()))
/// }
///
/// export_functions!(echo, sum);
/// ```
#[macro_export]
macro_rules! export_functions {
    ($($function:ident),+ $(,)?) => {
        #[cfg(target_arch = "wasm32")]
        $crate::__bulk_exports! { $($function)+ }
        $(const _: () = {
            #[cfg(target_arch = "wasm32")]
            #[unsafe(export_name = stringify!($function))]
            extern "C" fn exported() -> i32 {
                $crate::plugin::extism_impl::run_function($function)
            }

            #[cfg(not(target_arch = "wasm32"))]
            #[allow(dead_code)]
            fn checked(input: Vec<u8>) -> Result<Vec<u8>, Vec<u8>> {
                $crate::plugin::function::call($function, input)
            }
        };)+
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __plugin_arguments {
    // the five lists hold: config, factory, name, base_url, speech
    ($m:ident [] $f:tt $n:tt $b:tt $s:tt config = $v:ty $(, $($rest:tt)*)?) => {
        $crate::__plugin_arguments! { $m [$v] $f $n $b $s $($($rest)*)? }
    };
    ($m:ident $c:tt [] $n:tt $b:tt $s:tt factory = $v:expr $(, $($rest:tt)*)?) => {
        $crate::__plugin_arguments! { $m $c [$v] $n $b $s $($($rest)*)? }
    };
    ($m:ident $c:tt $f:tt [] $b:tt $s:tt name = $v:expr $(, $($rest:tt)*)?) => {
        $crate::__plugin_arguments! { $m $c $f [$v] $b $s $($($rest)*)? }
    };
    ($m:ident $c:tt $f:tt $n:tt [] $s:tt base_url = $v:expr $(, $($rest:tt)*)?) => {
        $crate::__plugin_arguments! { $m $c $f $n [$v] $s $($($rest)*)? }
    };
    ($m:ident $c:tt $f:tt $n:tt $b:tt [] speech = true $(, $($rest:tt)*)?) => {
        $crate::__plugin_arguments! { $m $c $f $n $b [host] $($($rest)*)? }
    };
    ($m:ident $c:tt $f:tt $n:tt $b:tt [] speech = false $(, $($rest:tt)*)?) => {
        $crate::__plugin_arguments! { $m $c $f $n $b [none] $($($rest)*)? }
    };

    // all read
    (impl_extism_http_plugin [] $f:tt $n:tt $b:tt $s:tt) => {
        compile_error!("impl_extism_http_plugin! needs `config = YourConfig`: the type that implements Deserialize and HTTPLLMProvider (if your provider is another type, use impl_extism_http_factory!)");
    };
    ($m:ident $c:tt [] $n:tt $b:tt $s:tt) => {
        compile_error!(concat!(stringify!($m), "! needs `factory = YourFactory`: a value that implements HTTPLLMProviderFactory"));
    };
    (impl_extism_http_plugin $c:tt $f:tt [] $b:tt $s:tt) => {
        compile_error!("impl_extism_http_plugin! needs `name = \"…\"`: the name that hosts show");
    };
    (impl_extism_http_factory [$c:ty] $f:tt $n:tt $b:tt $s:tt) => {
        compile_error!("impl_extism_http_factory! takes no `config`: its factory makes the provider");
    };
    ($m:ident [$($c:ty)?] [$f:expr] [$($n:expr)?] [$($b:expr)?] [$($s:ident)?]) => {
        const _: () = {
            $(const _: fn() = $crate::plugin::extism_impl::assert_config::<$c>;)?

            #[allow(dead_code)]
            fn guest() -> $crate::plugin::guest::Guest {
                #[allow(unused_mut)]
                let mut guest = $crate::plugin::guest::Guest::new($f);
                $(guest.name = Some($n);)?
                $(guest.base_url = Some($b);)?
                $($crate::__plugin_speech!(guest $s);)?
                guest
            }

            #[cfg(target_arch = "wasm32")]
            $crate::__plugin_exports! {
                guest:
                name base_url api_key_name init_logging config_schema from_config supports_streaming
                list_models_static list_models_request parse_list_models_response
                chat_request chat_stream_request parse_chat_response classify_chat_error
                chat_stream_parser_start chat_stream_parser_parse
                chat_stream_parser_finish chat_stream_parser_close
                embed_request parse_embed_response complete_request parse_complete_response
                transcribe speech
            }
        };
    };

    // what could not be read: say what and why
    ($m:ident $c:tt $f:tt $n:tt $b:tt $s:tt speech = $($rest:tt)*) => {
        compile_error!(concat!("`speech` in ", stringify!($m), "! must be `true` or `false`, once"));
    };
    ($m:ident $c:tt $f:tt $n:tt $b:tt $s:tt config = $($rest:tt)*) => {
        compile_error!(concat!("`config` in ", stringify!($m), "! must be a type, given once"));
    };
    ($m:ident $c:tt $f:tt $n:tt $b:tt $s:tt factory = $($rest:tt)*) => {
        compile_error!(concat!("`factory` in ", stringify!($m), "! must be an expression, given once"));
    };
    ($m:ident $c:tt $f:tt $n:tt $b:tt $s:tt name = $($rest:tt)*) => {
        compile_error!(concat!("`name` in ", stringify!($m), "! must be a string, given once"));
    };
    ($m:ident $c:tt $f:tt $n:tt $b:tt $s:tt base_url = $($rest:tt)*) => {
        compile_error!(concat!("`base_url` in ", stringify!($m), "! must be a string, given once"));
    };
    ($m:ident $c:tt $f:tt $n:tt $b:tt $s:tt $key:ident = $($rest:tt)*) => {
        compile_error!(concat!("`", stringify!($key), "` is no argument of ", stringify!($m), "!; it takes config, factory, name, base_url and speech"));
    };
    ($m:ident $c:tt $f:tt $n:tt $b:tt $s:tt $($rest:tt)+) => {
        compile_error!(concat!(stringify!($m), "! takes `key = value` pairs with commas between, not `", stringify!($($rest)+), "`"));
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __plugin_speech {
    ($guest:ident host) => {
        #[cfg(target_arch = "wasm32")]
        {
            $guest.http = Some($crate::plugin::extism_impl::host_http);
        }
    };
    ($guest:ident none) => {};
}

/// Tells hosts which exports take their input from the buffer (docs/wire.md): a module may have
/// others, `extism-pdk`'s among them.
#[doc(hidden)]
#[macro_export]
macro_rules! __bulk_exports {
    ($first:ident $($export:ident)*) => {
        const _: () = {
            #[unsafe(export_name = concat!("fumehood_bulk:", stringify!($first) $(, ",", stringify!($export))*))]
            static NAMES: u8 = 0;
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __plugin_exports {
    ($guest:ident: $($export:ident)*) => {
        #[cfg(target_arch = "wasm32")]
        $crate::__bulk_exports! { $($export)* }
        // Its name says that the exports read MessagePack too (docs/wire.md); its value says nothing.
        #[unsafe(no_mangle)]
        #[allow(non_upper_case_globals)]
        pub static fumehood_msgpack: u8 = 1;
        $(
        #[unsafe(no_mangle)]
        pub extern "C" fn $export() -> i32 {
            $crate::plugin::extism_impl::run(&$guest(), $crate::plugin::guest::Guest::$export)
        }
        )*
    };
}
