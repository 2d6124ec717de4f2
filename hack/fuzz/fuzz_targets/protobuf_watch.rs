//! `fuzz::protobuf_watch` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::protobuf_watch(data));
