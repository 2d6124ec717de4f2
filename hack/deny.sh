#!/usr/bin/env bash
# Licence, ban, source and advisory policy (deny.toml). Advisories need their database: where it cannot be fetched, the
# rest is still checked, and this says so.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=0.20.2
tool="${CARGO_HOME:-$HOME/.cargo}/bin/cargo-deny"
if ! "$tool" --version 2>/dev/null | grep -qF "$version"; then
  echo "installing cargo-deny $version (once, about two minutes)"
  cargo install --locked --quiet "cargo-deny@$version"
fi
cargo deny --all-features check --hide-inclusion-graph bans licenses sources
if cargo deny fetch db >/dev/null 2>&1; then
  cargo deny check --hide-inclusion-graph --disable-fetch advisories
else
  echo "note: the advisory database cannot be fetched here; advisories were not checked"
fi
