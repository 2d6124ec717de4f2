#!/usr/bin/env bash
# Where principal and agent spend their time: a flamegraph of each, for each of a few kinds of requests.
#
#   hack/bench/flamegraphs.sh [FOLDER]        docs/performance if not given; MINWIDTH=0 leaves nothing out
#
# Needs perf, and inferno (cargo install inferno). BINARY is an argocd-agent with frame pointers, BENCH the benchmark; they
# are built if not given, the first without link-time optimisation, which would leave few functions to be seen.
set -euo pipefail
cd "$(dirname "$0")/../.."

folder=${1:-docs/performance}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for tool in perf inferno-collapse-perf inferno-flamegraph; do
  command -v "$tool" >/dev/null || { echo "please install $tool (perf, cargo install inferno)" >&2; exit 1; }
done
if [ -z "${BINARY:-}" ]; then
  RUSTFLAGS="-C force-frame-pointers=yes" CARGO_PROFILE_DEMO_STRIP=none \
    cargo build --profile demo -p argocd-agent --target-dir target/flamegraphs
  BINARY=target/flamegraphs/demo/argocd-agent
fi
if [ -z "${BENCH:-}" ]; then
  cargo build --release -p bench
  BENCH=target/release/bench
fi
mkdir -p "$folder"

# What says nothing to a reader: the runtime between a thread's start and a task, and the languages' own glue.
plumbing='^(_start|__libc_start|__libc_start_main.*|main|start_thread|__?clone3?|\[unknown\]|(<?(std|core|alloc|tokio|tracing)::|argocd_agent::main|__rust|__entry|entry_SYSCALL).*|x64_sys_call|do_syscall_64|__x64_sys_.*)$'

# flame NAME WHAT SCENARIO…: the load is one contestant, ours, and what is recorded begins when it is ready.
flame() {
  local name=$1 what=$2
  shift 2
  "$BENCH" "$@" --contestants "$contestant" --smoke --binary "$BINARY" >/dev/null 2>"$scratch/said" &
  local load=$! ready=
  while [ -z "$ready" ] && kill -0 "$load" 2>/dev/null; do
    ready=$(sed -nE "s/.*, principal \[([0-9]+)\], agent \[([0-9]+)\].*/\1 \2/p" "$scratch/said" | head -n1)
    sleep 0.2
  done
  [ -n "$ready" ] || { cat "$scratch/said" >&2; exit 1; }
  local principal=${ready% *} agent=${ready#* }
  # There is not always a counter of cycles, in a virtual machine for instance; there is always a clock.
  perf record -q -e cpu-clock -F 997 -g -p "$principal" -o "$scratch/principal" 2>/dev/null &
  perf record -q -e cpu-clock -F 997 -g -p "$agent" -o "$scratch/agent" 2>/dev/null &
  wait "$load" || { cat "$scratch/said" >&2; exit 1; }
  wait
  local process
  for process in principal agent; do
    perf script -i "$scratch/$process" 2>/dev/null | inferno-collapse-perf 2>/dev/null |
      readable >"$scratch/stacks"
    inferno-flamegraph --title "$process: $what" --countname samples --width 1000 --minwidth "${MINWIDTH:-0.4}" \
      --hash --fonttype sans-serif <"$scratch/stacks" >"$folder/flame-$name-$process.svg"
    echo "$folder/flame-$name-$process.svg: $(awk '{sum += $NF} END {print sum}' "$scratch/stacks") samples"
  done
}

# Stacks without plumbing, and names without the hashes, parameters and paths of generic ones.
readable() {
  perl -ne '
    BEGIN { $plumbing = qr/'"$plumbing"'/ }
    my ($stack, $count) = /^(.*) (\d+)$/ or next;
    my @frames;
    for my $frame (split /;/, $stack) {
      $frame =~ s/::h[0-9a-f]{16}$//;
      1 while $frame =~ s/::<[^<>]*>|<([^<>]*?) as [^<>]*>|<([^<>]+)>(?=::)/defined $1 ? $1 : defined $2 ? $2 : ""/e;
      $frame =~ s/(::\{closure#\d+\}|::\{\{closure\}\})+$//;
      next if $frame =~ $plumbing;
      push @frames, $frame unless @frames && $frames[-1] eq $frame;
    }
    print join(";", @frames), " $count\n" if @frames;
  '
}

contestant=ours
flame get "GETs of 1 KiB, one client" get --clients 1 --rounds 1 --seconds 15
flame get-1mib "GETs of 1 MiB, one client" get --clients 1 --size 1MiB --rounds 1 --seconds 15
flame list-json "lists of 82 MB in JSON, through the filter" list --encoding json --rounds 30
flame list-protobuf "lists of 81 MB in protobuf, through the filter" list --encoding protobuf --rounds 30
contestant=ours-no-filter
flame list-no-filter "lists of 82 MB in JSON, no filter" list --encoding json --rounds 30
