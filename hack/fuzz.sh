#!/usr/bin/env bash
# Runs one fuzz target under libFuzzer until Ctrl-C, or as its options say: hack/fuzz.sh json_list -max_total_time=600
# Needs a C++ compiler and the stable toolchain: the instrumentation is LLVM's own, and there is no unsafe code of ours
# for a sanitizer to watch. What it finds worth keeping goes to target/fuzz/corpus, what fails to target/fuzz/failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

name=${1:?which target: json_list, json_watch, protobuf_list, protobuf_watch, resp_commands or resp_replies}
shift
# A target triple, even where it is the machine's own, keeps the flags from build scripts and macros.
triple=$(rustc -vV | sed -n 's/^host: //p')
flags=(--cfg fuzzing -Cdebug-assertions -Ccodegen-units=1 -Cpasses=sancov-module)
for option in level=4 inline-8bit-counters pc-table trace-compares; do
    flags+=("-Cllvm-args=-sanitizer-coverage-$option")
done
RUSTFLAGS="${flags[*]}" cargo build --locked --release --target-dir target/fuzz --target "$triple" \
    --package fuzz --features libfuzzer --bin "$name"

mkdir -p "target/fuzz/corpus/$name" "target/fuzz/failed/$name"
exec "target/fuzz/$triple/release/$name" -max_len=4096 -timeout=10 -rss_limit_mb=1024 \
    -artifact_prefix="target/fuzz/failed/$name/" "$@" "target/fuzz/corpus/$name" "hack/fuzz/corpus/$name"
