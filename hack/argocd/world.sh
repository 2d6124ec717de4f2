# The world of hack/argocd/run.sh, to be sourced: two clusters, two Redis, a git repository, a principal, two agents and
# Argo CD's programs, all as processes of this machine on ports that were free.

# A port of 127.0.0.1 that nobody listens on.
free_port() {
  local port
  while :; do
    port=$((20000 + (RANDOM << 1 | RANDOM & 1) % 12000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { [[ " ${taken:-} " == *" $port "* ]] || break; }
  done
  taken="${taken:-} $port"
  printf -v "$1" %s "$port"
}

# start <name> <command...>: runs it in a process group of its own, output in <name>.log.
start() {
  local name=$1
  shift
  setsid "$@" >>"$logs/$name.log" 2>&1 </dev/null &
  echo "$!" >"$work/pids/$name"
}

# stop <name> [signal]: ends it and waits for that.
stop() {
  local pid
  pid=$(<"$work/pids/$1")
  kill -s "${2:-KILL}" -- "-$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
  rm -f "$work/pids/$1"
}

stop_all() {
  local file
  for file in "$work"/pids/*; do
    [ ! -e "$file" ] || stop "${file##*/}"
  done
}

pause() { read -rt "$1" <>"$never" || true; }

# until_true <seconds> <what> <command...>: tries until it succeeds.
until_true() {
  local seconds=$1 what=$2
  shift 2
  local end=$((SECONDS + seconds))
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS >= end)); then
      echo "not within ${seconds}s: $what" >&2
      return 1
    fi
    pause 0.1
  done
}

http_ok() { curl -fsS -m 2 -o /dev/null "$@"; }

# === clusters ===

start_clusters() {
  for cluster in control workload; do
    # `up` ends the cluster when it is interrupted.
    start "cluster-$cluster" "$bin/envtest" up --kubeconfig-out "$work/$cluster.kubeconfig"
  done
  for cluster in control workload; do
    until_true 120 "cluster $cluster" grep -q '^ready' "$logs/cluster-$cluster.log" || return
  done
  kubectl=$(sed -n 's/^kubectl  *//p' "$logs/cluster-control.log")
  pod_logs=$(sed -n 's/^pod logs  *//p' "$logs/cluster-workload.log")
}

control() { "$kubectl" --kubeconfig "$work/control.kubeconfig" --cache-dir "$work/kube-cache" "$@"; }
workload() { "$kubectl" --kubeconfig "$work/workload.kubeconfig" --cache-dir "$work/kube-cache" "$@"; }

# Argo CD's own resource types and settings in place of the sample's.
prepare_clusters() {
  local cluster
  for cluster in control workload; do
    "$cluster" --namespace argocd delete application guestbook
    "$cluster" delete namespace guestbook --wait=false
    "$cluster" apply --server-side --force-conflicts -f "$argo/crds/application-crd.yaml" \
      -f "$argo/crds/applicationset-crd.yaml" -f "$argo/crds/appproject-crd.yaml"
    "$cluster" apply -f "$here/argocd.yaml"
  done
}

# === Redis, git ===

start_redis() {
  free_port "redis_$1"
  run_redis "$1"
}

run_redis() {
  local port="redis_$1"
  start "redis-$1" redis-server --port "${!port}" --bind 127.0.0.1 --save '' --appendonly no --requirepass "$redis_password"
  until_true 10 "redis $1" redis_cli "$1" ping
}

redis_cli() {
  local port="redis_$1"
  shift
  REDISCLI_AUTH=$redis_password redis-cli -p "${!port}" "$@"
}

# commit <message>: what is in $tree becomes what Argo CD deploys.
commit() {
  git -C "$tree" add -A
  git -C "$tree" -c user.name=argocd -c user.email=argocd@localhost commit -qm "$1"
}

make_repository() {
  tree=$work/repository
  git init -q -b main "$tree"
  cp -r "$here/apps/." "$tree/"
  commit 'the applications'
}

# === principal and agents ===

make_certificates() {
  mkdir "$work/pki"
  (
    cd "$work/pki"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=argocd-agent-test \
      -keyout ca.key -out ca.crt 2>/dev/null
    local name extension
    for name in principal door "$@"; do
      extension='extendedKeyUsage=clientAuth'
      case $name in principal | door) extension=$'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth' ;; esac
      openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" -keyout "$name.key" -out "$name.csr" 2>/dev/null
      openssl x509 -req -days 2 -in "$name.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -out "$name.crt" \
        -extfile <(printf '%s\n' "$extension") 2>/dev/null
    done
  )
}

start_principal() {
  REDIS_PASSWORD=$redis_password start principal "$bin/argocd-agent" principal --listen-host=127.0.0.1 --listen-port="$tunnel" --namespace=argocd \
    '--auth=mtls:CN=([^,]+)' --tls-cert="$work/pki/principal.crt" --tls-key="$work/pki/principal.key" \
    --root-ca-path="$work/pki/ca.crt" --resource-proxy-listen="127.0.0.1:$door" \
    --resource-proxy-cert-path="$work/pki/door.crt" --resource-proxy-key-path="$work/pki/door.key" \
    --resource-proxy-ca-path="$work/pki/ca.crt" --healthz-port="$principal_health" --metrics-port="$principal_metrics" --admin-port=0 \
    --redis-proxy-listen="127.0.0.1:$redis_door" --redis-server-address="127.0.0.1:$redis_control" \
    --kubeconfig="$work/control.kubeconfig" --log-format=json
}

# start_agent <name> <flags...>
start_agent() {
  local name=$1 health="health_$1"
  shift
  [ -n "${!health:-}" ] || free_port "$health"
  REDIS_PASSWORD=$redis_password start "agent-$name" "$bin/argocd-agent" agent --server-address=localhost --server-port="$tunnel" --creds=mtls:any \
    --agent-mode=managed --namespace=argocd --tls-client-cert="$work/pki/$name.crt" --tls-client-key="$work/pki/$name.key" \
    --root-ca-path="$work/pki/ca.crt" --kubeconfig="$work/workload.kubeconfig" --healthz-port="${!health}" \
    --metrics-port=0 --redis-addr="127.0.0.1:$redis_workload" --log-format=json "$@"
}

agent_is_up() { local health="health_$1"; http_ok "http://127.0.0.1:${!health}/healthz"; }

# cluster_secret <agent>: as argocd-agent writes it.
cluster_secret() {
  local name=$1
  control apply -f - <<END
apiVersion: v1
kind: Secret
metadata:
  name: cluster-$name
  namespace: argocd
  labels: {argocd.argoproj.io/secret-type: cluster}
$([ "${2:-}" != skip ] || echo '  annotations: {argocd.argoproj.io/skip-reconcile: "true"}')
stringData:
  name: $name
  server: https://127.0.0.1:$door?agentName=$name
  config: |
    {"tlsClientConfig": {"insecure": false,
      "certData": "$(base64 -w0 "$work/pki/$name.crt")",
      "keyData": "$(base64 -w0 "$work/pki/$name.key")",
      "caData": "$(base64 -w0 "$work/pki/ca.crt")"}}
END
}

# === Argo CD ===

# argocd_program <name> <cluster> <program> <flags...>
argocd_program() {
  local name=$1 cluster=$2 program=$3
  shift 3
  mkdir -p "$work/$name"
  # The repo server runs git-verify-wrapper.sh, which Argo CD's image has in its PATH.
  start "$name" env -C "$work/$name" PATH="$argo/path:$PATH" HOME="$work/$name" TMPDIR="$work/$name" KUBECACHEDIR="$work/$name/kube" \
    ARGOCD_BINARY_NAME="$program" ARGOCD_FAKE_IN_CLUSTER=true ARGOCD_GPG_ENABLED=false HOSTNAME="$name" \
    KUBECONFIG="$work/$cluster.kubeconfig" REDIS_PASSWORD="$redis_password" \
    ARGOCD_TLS_DATA_PATH="$work/empty" ARGOCD_SSH_DATA_PATH="$work/empty" \
    "$argo/argocd" --logformat=text --loglevel="${ARGOCD_LOGLEVEL:-info}" "$@"
}

start_repo_server() { # <cluster> <redis port>
  free_port "repo_$1"
  free_port repo_metrics
  local port="repo_$1"
  argocd_program "repo-server-$1" "$1" argocd-repo-server --address=127.0.0.1 --port="${!port}" \
    --metrics-address=127.0.0.1 --metrics-port="$repo_metrics" --redis="127.0.0.1:$2" --disable-tls --client-ca-path=
}

start_controller() { # <cluster> <redis port>
  free_port controller_metrics
  local repo="repo_$1"
  argocd_program "controller-$1" "$1" argocd-application-controller --namespace=argocd --metrics-port="$controller_metrics" \
    --redis="127.0.0.1:$2" --repo-server="127.0.0.1:${!repo}" --repo-server-plaintext --self-heal-timeout-seconds=1 \
    --self-heal-backoff-timeout-seconds=1 --self-heal-backoff-factor=1 --self-heal-backoff-cap-seconds=1
}

start_server() { # <redis port>
  free_port server_metrics
  argocd_program server control argocd-server --namespace=argocd --address=127.0.0.1 --port="$server" \
    --metrics-address=127.0.0.1 --metrics-port="$server_metrics" --insecure --redis="127.0.0.1:$1" \
    --repo-server="127.0.0.1:$repo_control" --repo-server-plaintext '--application-namespaces=*'
}

server_is_up() { http_ok "http://127.0.0.1:$server/healthz"; }

# The argocd command, logged in.
argocd() { "${argocd_command[@]}" "$@"; }

login() {
  mkdir -p "$work/cli"
  argocd_command=(env HOME="$work/cli" ARGOCD_BINARY_NAME=argocd timeout 60 "$argo/argocd" --config "$work/cli/config")
  password=$(control --namespace argocd get secret argocd-initial-admin-secret -o jsonpath='{.data.password}' | base64 -d)
  argocd login "127.0.0.1:$server" --plaintext --username admin --password "$password" || return
  token=$(sed -n 's/.*auth-token: //p' "$work/cli/config")
}

# api <path> <curl's flags...>: Argo CD's API, as the UI uses it.
api() {
  local path=$1
  shift
  curl -sS -m 30 -H "Authorization: Bearer $token" -H 'Content-Type: application/json' "$@" "http://127.0.0.1:$server/api/v1/$path"
}
