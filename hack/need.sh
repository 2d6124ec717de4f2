#!/usr/bin/env bash
# Installs what is missing on a fresh Debian or Ubuntu machine. On any other it names what is missing and stops.
set -euo pipefail

missing=()
command -v cc >/dev/null || missing+=(gcc libc6-dev)
command -v curl >/dev/null || missing+=(curl)
command -v tar >/dev/null || missing+=(tar)
command -v setpriv >/dev/null || missing+=(util-linux)
command -v redis-server >/dev/null || missing+=(redis-server)
if ((${#missing[@]})); then
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  else
    echo "please install: ${missing[*]}" >&2
    exit 1
  fi
fi

command -v cargo >/dev/null || { echo "please install Rust 1.95 or later" >&2; exit 1; }
# Go builds the workload cluster of tests and demo; it is not needed where KUBEBUILDER_ASSETS or a cache has one.
command -v go >/dev/null || echo "note: no Go here; tests and demo then need a cached workload cluster" >&2
