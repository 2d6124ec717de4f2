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

# What says nothing to a reader: the runtime between a thread's start and a task, and the language's own glue.
plumbing='^(_?start|__libc_start.*|main|start_thread|__?clone3?|syscall|\[.*\]|(std|core|alloc|tokio|tracing|argocd_agent)::.*|__rust.*|call_once.*|FnOnce.*|common::drain::Abortable::poll|.*::poll_catch|mio::.*|.*::SyncWriteAdapter::.*|.*::SyncReadAdapter::.*)$'
# Of the kernel, what a program can be asked about: who sends also pays for the other end's receipt, over loopback.
kernel='^(tcp_sendmsg|tcp_recvmsg|net_rx_action|sock_def_readable|ep_poll|ep_send_events|schedule|futex_wait|futex_wake|ksys_read|ksys_write)_\[k\]$'

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
    perf script -i "$scratch/$process" 2>/dev/null | inferno-collapse-perf --kernel 2>/dev/null |
      readable >"$scratch/stacks"
    inferno-flamegraph --title "$process: $what" --countname ms --width 1000 --minwidth "${MINWIDTH:-0.4}" \
      --hash --fonttype sans-serif <"$scratch/stacks" >"$folder/flame-$name-$process.svg"
    echo "$folder/flame-$name-$process.svg: $(shares <"$scratch/stacks")"
  done
}

# Milliseconds by stacks without plumbing, and names without the hashes, parameters and paths of generic ones.
readable() {
  PLUMBING=$plumbing KERNEL=$kernel perl -ne '
    my ($stack, $nanoseconds) = /^(.*) (\d+)$/ or next;
    my ($process, @frames) = split /;/, $stack;
    my @readable;
    for my $frame (@frames) {
      if ($frame =~ /_\[k\]$/) {
        next unless $frame =~ /$ENV{KERNEL}/;
        $frame =~ s/_\[k\]$/ (kernel)/;
      } else {
        $frame =~ s/::h[0-9a-f]{16}$//;
        1 while $frame =~ s/(?<=\w)<[^<>]*>|::<[^<>]*>(?=::|$)//;
        1 while $frame =~ s/<(?:impl .*? for )?&?(?:mut )?([^<>]*?)(?: as [^<>]*)?>/$1/;
        $frame =~ s/(::\{closure#\d+\}|::\{\{closure\}\})+//g;
        next if $frame =~ /$ENV{PLUMBING}/;
        # Whose it is, and what: a crate, which side of a connection, a type, a function.
        my @path = split /::/, $frame;
        $frame = join("::", $path[0], (grep { /^(server|client)$/ } @path[1 .. $#path - 2]), @path[-2, -1]) if @path > 3;
        $frame =~ s/^aws_lc_\d+_\d+_\d+_|@.*|__GI_+//g;
      }
      # What is written in assembly, and libc, do not say who called them.
      unless (@readable) {
        push @readable, "aws-lc" if $frame =~ /^(aes|gcm|sha|EVP|CRYPTO|OPENSSL|x25519|ecp|bn_)/;
        push @readable, "memory" if $frame =~ /^(_?_?(malloc|calloc|realloc|free|cfree|memmove|memcpy|memset|memcmp)|_int_|unlink_chunk|tcache)/;
      }
      push @readable, $frame unless @readable && $readable[-1] eq $frame;
    }
    $times{join(";", @readable) || "tokio and std"} += $nanoseconds / 1e6;
    END { printf("%s %.0f\n", $_, $times{$_}) for sort keys %times }
  '
}

# What all the time went to, by the innermost function that says so.
shares() {
  perl -ne '
    BEGIN {
      @purposes = (
        ["the kernel", qr/ \(kernel\)$|^(writev|write|read|recv|__libc_\w+|epoll_\w+)$/],
        ["TLS", qr/^(aws-lc$|rustls|tokio_rustls|aes|gcm|sha|ecp|x25519|EVP|CRYPTO|skip_iv|iv_len)/],
        ["copies and memory", qr/^memory$|mem(move|cpy|set)|malloc|free|brk|mmap|munmap/],
        ["log", qr/^(tracing|tracing_subscriber|common::Lines)/],
        ["HTTP/2 and gRPC", qr/^(h2|tonic|prost)::/],
        ["HTTP/1.1", qr/^(hyper|hyper_util|http|http_body_util|httparse)::/],
        ["ours", qr/^(principal|agent|common)::/],
      );
    }
    my ($stack, $time) = /^(.*) (\d+)$/ or next;
    my $purpose = "runtime and std";
    FRAME: for my $frame (reverse split /;/, $stack) {
      for (@purposes) {
        if ($frame =~ $_->[1]) { $purpose = $_->[0]; last FRAME }
      }
    }
    $times{$purpose} += $time;
    $all += $time;
    END {
      printf("%d ms of CPU", $all);
      printf(", %s %.0f %%", $_, 100 * $times{$_} / $all) for sort { $times{$b} <=> $times{$a} } keys %times;
      print "\n";
    }
  '
}

contestant=ours
flame get "GETs of 1 KiB, one client" get --clients 1 --rounds 1 --seconds 30
flame get-1mib "GETs of 1 MiB, one client" get --clients 1 --size 1MiB --rounds 1 --seconds 30
flame list-json "lists of 82 MB in JSON, through the filter" list --encoding json --rounds 30
flame list-protobuf "lists of 81 MB in protobuf, through the filter" list --encoding protobuf --rounds 30
contestant=ours-no-filter
flame list-no-filter "lists of 82 MB in JSON, no filter" list --encoding json --rounds 30
