#!/usr/bin/env bash
# The one gate: what a developer runs, what CI runs. Installs what it needs, changes nothing else.
# Formatting, lints, documentation, licence and advisory policy, unit, integration and end-to-end tests, every benchmark as
# small as it goes, every micro-benchmark once, the demo's tour.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step() { printf '\n== %s\n' "$*"; }

step "what it needs"
hack/need.sh

step "formatting"
cargo fmt --all --check

step "lints"
cargo clippy --workspace --all-targets --locked -- -D warnings

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet

step "licences, bans, sources, advisories"
hack/deny.sh

step "the workload cluster's parts (built once, then cached)"
cargo run --locked --quiet --package envtest -- build

step "tests, and every benchmark as small as it goes"
cargo test --workspace --locked

step "every micro-benchmark once"
cargo test --workspace --locked --bench '*'

step "the demo's tour"
# With the binary that the tests have built: an optimised one takes minutes, and no time is looked at here.
cargo build --locked --quiet --package argocd-agent
cargo run --locked --package demo -- --tour-only --binary "${CARGO_TARGET_DIR:-target}/debug/argocd-agent"
