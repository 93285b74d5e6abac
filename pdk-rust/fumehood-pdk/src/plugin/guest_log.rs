//! The plugin's log lines on their way to the host (ABI §3.10): feature `log`.

/// Takes the host's level (0 = off, 1 = error … 5 = trace; more counts as trace).
///
/// With the feature `log`, and on wasm32, the `log` crate's macros then write through the host's
/// `qmt_log`. Without the feature nothing is imported: the module also loads in hosts that lack it.
pub(super) fn init(level: u8) {
    #[cfg(feature = "log")]
    bridge::init(level);
    #[cfg(not(feature = "log"))]
    let _ = level;
}

#[cfg(feature = "log")]
mod bridge {
    use log::{Level, LevelFilter, Log, Metadata, Record};

    struct Host;

    impl Log for Host {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.level() <= log::max_level()
        }

        fn log(&self, record: &Record<'_>) {
            if self.enabled(record.metadata()) {
                send(&line(record));
            }
        }

        fn flush(&self) {}
    }

    pub(super) fn init(level: u8) {
        // an error means that a logger is in place already: a second call only changes the level
        let _ = log::set_logger(&Host);
        log::set_max_level(match level {
            0 => LevelFilter::Off,
            1 => LevelFilter::Error,
            2 => LevelFilter::Warn,
            3 => LevelFilter::Info,
            4 => LevelFilter::Debug,
            _ => LevelFilter::Trace,
        });
    }

    /// `{"level":3,"target":"…","message":"…"}`.
    pub(super) fn line(record: &Record<'_>) -> Vec<u8> {
        let level = match record.level() {
            Level::Error => 1,
            Level::Warn => 2,
            Level::Info => 3,
            Level::Debug => 4,
            Level::Trace => 5,
        };
        let message = record.args().to_string();
        serde_json::json!({"level": level, "target": record.target(), "message": message})
            .to_string()
            .into_bytes()
    }

    #[cfg(all(target_arch = "wasm32", feature = "extism_plugin"))]
    use crate::plugin::extism_impl::kernel::log as send;

    /// Outside a sandbox there is no host to write to: standard error, as tests expect it.
    #[cfg(not(all(target_arch = "wasm32", feature = "extism_plugin")))]
    fn send(line: &[u8]) {
        eprintln!("{}", String::from_utf8_lossy(line));
    }

    #[cfg(test)]
    mod tests {
        #[test]
        fn form_of_a_line() {
            let record =
                log::Record::builder().level(log::Level::Warn).target("a::b").args(format_args!("x")).build();
            assert_eq!(super::line(&record), br#"{"level":2,"target":"a::b","message":"x"}"#);
        }
    }
}
