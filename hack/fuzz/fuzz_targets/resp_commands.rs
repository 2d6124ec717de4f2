//! `fuzz::resp_commands` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::resp_commands(data));
