//! `native-runner openai FOLDER`: answers the requests of bench/worker.py on standard input, one JSON line
//! each, with the calls that bench/sides/chats.py kept in FOLDER.

use fumehood_pdk::plugin::guest::Guest;
use serde_json::{json, Value};
use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::io::{stdin, stdout, BufRead, Write};
use std::path::Path;
use std::time::Instant;

type Calls = Vec<(String, Vec<u8>)>;

fn guest(provider: &str) -> Guest {
    match provider {
        "openai" => Guest::new(native_openai::Factory),
        "anthropic" => Guest::new(native_anthropic::Factory),
        other => panic!("no provider is called {other}"),
    }
}

/// The calls of one case, in order: files `NUMBER-EXPORT`.
fn read(folder: &Path) -> Result<Calls, Box<dyn Error>> {
    let mut files: Vec<_> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_, std::io::Error>>()?;
    files.sort();
    let call = |file: &std::path::PathBuf| -> Result<(String, Vec<u8>), Box<dyn Error>> {
        let name = file.file_name().and_then(|name| name.to_str()).ok_or("not a call")?;
        Ok((name.split_once('-').ok_or("not a call")?.1.to_string(), fs::read(file)?))
    };
    files.iter().map(call).collect()
}

fn call(provider: &str, (export, input): &(String, Vec<u8>)) -> Vec<u8> {
    // like the module, which makes its guest anew for every call
    guest(provider).call(export, input).unwrap_or_else(|error| panic!("{export}: {error}"))
}

/// What one job gives: both answers of a chat, or the chunks of a line.
fn run(provider: &str, calls: &Calls) -> Vec<u8> {
    let mut result = Vec::new();
    for (position, one) in calls.iter().enumerate() {
        if position > 0 {
            result.push(b'\n');
        }
        result.extend(call(provider, one));
    }
    result
}

/// Seconds of processor time so far.
fn processor() -> f64 {
    #[repr(C)]
    struct Timespec {
        seconds: i64,
        nanoseconds: i64,
    }
    extern "C" {
        fn clock_gettime(clock: i32, time: *mut Timespec) -> i32;
    }
    const PROCESS: i32 = 2;
    let mut time = Timespec { seconds: 0, nanoseconds: 0 };
    // SAFETY: the C library fills the struct that it is given
    let status = unsafe { clock_gettime(PROCESS, &mut time) };
    assert_eq!(status, 0, "no clock of processor time");
    time.seconds as f64 + time.nanoseconds as f64 * 1e-9
}

/// The checksum of zlib.
fn crc32(data: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
    !data.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, provider, folder] = arguments.as_slice() else {
        return Err("usage: native-runner PROVIDER FOLDER".into());
    };
    let mut known: HashMap<String, Calls> = HashMap::new();
    for line in stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let case = request["case"].as_str().unwrap_or("line");
        if !known.contains_key(case) {
            let mut calls = read(&Path::new(folder).join(format!("{case}.own")))?;
            if case == "line" {
                call(provider, &calls.remove(0)); // starts the parser
            }
            known.insert(case.to_string(), calls);
        }
        let calls = &known[case];
        let times = request["times"].as_u64().unwrap_or(1);
        let answer = if times == 0 {
            let result = run(provider, calls);
            json!({"size": result.len(), "crc": crc32(&result)})
        } else {
            let (wall, cpu) = (Instant::now(), processor());
            for _ in 0..times {
                std::hint::black_box(run(provider, calls));
            }
            let times = times as f64;
            json!({"wall": wall.elapsed().as_secs_f64() / times, "cpu": (processor() - cpu) / times})
        };
        println!("{answer}");
        stdout().flush()?;
    }
    Ok(())
}
