#!/usr/bin/env bash
# Runs the real Argo CD through principal and agent, in both shapes of deployment, and says what works.
#
#   hack/argocd/run.sh             both shapes, then the end
#   hack/argocd/run.sh central     one of them: `central` or `beside`
#   hack/argocd/run.sh --stay …    stays up afterwards, with Argo CD's UI-less server and its password, until Ctrl-C
#
# Takes some minutes, and ten more the first time, when it builds Argo CD. The exit code is 0 if every step went well.
set -uo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"

stay=
shapes=()
for arg in "$@"; do
  case $arg in
    --stay) stay=yes ;;
    central | beside) shapes+=("$arg") ;;
    *) sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
  esac
done
((${#shapes[@]})) || shapes=(central beside)

"$root/hack/need.sh" || exit
for program in git go openssl; do
  command -v "$program" >/dev/null || { echo "please install $program" >&2; exit 1; }
done
cargo build --profile demo --locked --manifest-path "$root/Cargo.toml" --package argocd-agent --package envtest || exit
bin="${CARGO_TARGET_DIR:-$root/target}/demo"
argo="$("$here/build.sh")" || exit

work="$(mktemp -d -p /tmp)"
logs=$work/logs
never=$work/never
redis_password=not-much-of-a-secret
mkdir "$work/pids" "$logs" "$work/empty"
mkfifo "$never"
. "$here/world.sh"
. "$here/checks.sh"
. "$here/live.sh"
. "$here/central.sh"
. "$here/beside.sh"
finish() {
  stop_all
  if ((${#failed[@]})); then echo "logs are in $logs"; else rm -rf "$work"; fi
}
trap finish EXIT
trap 'exit 130' INT TERM

up() {
  local name
  for name in tunnel door redis_door principal_health principal_metrics server; do free_port "$name"; done
  start_clusters || return
  prepare_clusters || return
  start_redis control && start_redis workload || return
  make_repository
  make_certificates central edge || return
  start_principal
  until_true 20 'the principal' http_ok "http://127.0.0.1:$principal_health/readyz" || return
  start_agent central --managed-resources-only=false
  start_agent edge
  until_true 20 'agent central' agent_is_up central && until_true 20 'agent edge' agent_is_up edge || return
  control create namespace edge
  cluster_secret central
  # The control plane's controller has no business there.
  cluster_secret edge skip
  start_repo_server control "$redis_control"
  start_repo_server workload "$redis_workload"
  start_controller control "$redis_control"
  start_controller workload "$redis_workload"
  start_server "$redis_door"
  until_true 60 "Argo CD's server" server_is_up && login
}

echo 'starting two clusters, principal, agents and Argo CD'
up >"$work/up.log" 2>&1 || { cat "$work/up.log"; failed=('start'); exit 1; }
for shape in "${shapes[@]}"; do "$shape"; done
echo "$passed went well, ${#failed[@]} did not"
if [ -n "$stay" ]; then
  echo "Argo CD: http://127.0.0.1:$server, admin, $password; logs: $logs; Ctrl-C ends it"
  while :; do pause 3600; done
fi
((${#failed[@]} == 0))
