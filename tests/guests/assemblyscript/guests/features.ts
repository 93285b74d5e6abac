// What the AssemblyScript PDK offers a plugin. It has no class for errors, HTTP status or host
// functions: those imports are declared here, as its users do.

import { Config, Host, LogLevel, Memory, Var } from "@extism/as-pdk";
import { error_set, http_request, length } from "@extism/as-pdk/lib/env";

@external("extism:host/env", "http_status_code")
declare function http_status_code(): i32;

@external("extism:host/user", "upper")
declare function upper(text: u64): u64;

@external("extism:host/user", "mix")
declare function mix(a: i32, b: i64, c: f32, d: f64): f64;

// The language's run-time calls this for an uncaught error; what it says becomes the error text.
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  const said = message === null ? "" : message;
  error_set(Memory.allocateString("abort: " + said).offset);
  unreachable();
}

// A global of the instance, set by the start section.
let calls: i32 = 40 + 2 - 42;
const greeting = ["Hello", "world"].join(", ");

export function echo(): i32 {
  Host.output(Host.input());
  return 0;
}

export function count_vowels(): i32 {
  const text = Host.inputString();
  let count = 0;
  for (let i = 0; i < text.length; i++) {
    if ("aeiouAEIOU".includes(text.charAt(i))) count++;
  }
  Host.outputString('{"count": ' + count.toString() + "}");
  return 0;
}

// The PDK sizes the block by UTF-16 units and writes UTF-8 into it: beyond the block, and the
// output ends early for anything but ASCII.
export function output_string(): i32 {
  Host.outputString(Host.inputString());
  return 0;
}

export function start_section(): i32 {
  calls++;
  Host.outputString(greeting + " " + calls.toString());
  return 0;
}

export function config_value(): i32 {
  const value = Config.get(Host.inputString());
  Host.outputString(value === null ? "(none)" : value);
  return 0;
}

export function vars(): i32 {
  const before = Var.getString("v");
  Var.set("v", Host.input());
  const stored = Var.getString("v");
  Var.remove("v");
  const after = Var.getString("v");
  const first = before === null ? "none" : before;
  const second = stored === null ? "none" : stored;
  const third = after === null ? "none" : after;
  Host.outputString(first + " " + second + " " + third);
  return 0;
}

export function logs(): i32 {
  const text = Host.inputString();
  Host.log(LogLevel.Debug, "debug " + text);
  Host.log(LogLevel.Info, "info " + text);
  Host.log(LogLevel.Warn, "warn " + text);
  Host.log(LogLevel.Error, "error " + text);
  return 0;
}

export function fails(): i32 {
  error_set(Memory.allocateString("guest says no: " + Host.inputString()).offset);
  return 1;
}

export function aborts(): i32 {
  throw new Error(Host.inputString());
}

// GET of the URL in the input: status and body.
export function http_get(): i32 {
  const request = Memory.allocateString('{"url":"' + Host.inputString() + '","method":"GET"}');
  const offset = http_request(request.offset, 0);
  const body = offset == 0 ? "" : new Memory(offset, length(offset)).toString();
  Host.outputString(http_status_code().toString() + " " + body);
  return 0;
}

export function call_upper(): i32 {
  const offset = upper(Memory.allocateString(Host.inputString()).offset);
  Host.outputMemory(new Memory(offset, length(offset)));
  return 0;
}

export function call_numbers(): i32 {
  Host.outputString(mix(-1, 1 << 40, 0.5, 0.25).toString());
  return 0;
}
