#!/usr/bin/env bash
# The main job, to watch: installs what a fresh Debian or Ubuntu machine needs, builds, and shows kubectl working on a
# workload cluster through principal and agent. Its flags: hack/demo.sh --help
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

"$root/hack/need.sh"
# Both in one build: one after the other (`cargo run -p demo` does that, too) would compile what they share twice.
# An optimised build, for honest times.
cargo build --profile demo --locked --manifest-path "$root/Cargo.toml" --package argocd-agent --package demo
target="${CARGO_TARGET_DIR:-$root/target}/demo"
exec "$target/demo" --binary "$target/argocd-agent" "$@"
