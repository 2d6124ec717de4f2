# Argo CD's controller beside the applications in the workload cluster, to be sourced: only Argo CD's server is in the
# control plane. Its Redis is the principal's Redis door; the agent shows what Argo CD manages and nothing else.
#
# Nothing here copies Applications to the control plane (argocd-agent does); the one there is made by hand.

copy_status() {
  control --namespace edge patch application web --type merge \
    --patch "{\"status\":$(workload --namespace argocd get application web -o jsonpath='{.status}')}"
}

deploys_itself() {
  application argocd web in-cluster edge-web shop | workload apply -f -
  until_true 60 'synced' says 'Synced Healthy' workload --namespace argocd get application web -o jsonpath='{.status.sync.status} {.status.health.status}'
}

is_shown() {
  application edge web edge edge-web shop | sed '/finalizers/d; /syncPolicy/d' | control apply -f - || return
  copy_status || return
  says Deployment argocd app get edge/web
}

# A tree that names an object which Argo CD does not manage, as a broken or evil one might.
strays() {
  local key='app|resources-tree|web|1.8.3.gz' object method
  workload --namespace edge-web create configmap stray --from-literal=a=b
  workload --namespace edge-web rollout status deployment/shop --timeout=20s
  object="applications/web/resource?appNamespace=edge&$(object '' v1 ConfigMap edge-web stray)"
  redis_cli workload --raw get "$key" | head -c -1 >"$work/tree.gz"
  gunzip -c "$work/tree.gz" | sed 's/"name":"greeting"/"name":"stray"/g' | gzip -c | redis_cli workload -x set "$key"
  local status=0
  says 'resource not managed by app' api "$object" || status=1
  says 'resource not managed by app' api "$object" -X DELETE || status=1
  says 'resource not managed by app' api "$object&patchType=application/merge-patch%2Bjson" -X POST -d '"{\"data\":{\"a\":\"c\"}}"' || status=1
  says '{"a":"b"}' workload --namespace edge-web get configmap stray -o jsonpath='{.data}' || status=1
  redis_cli workload -x set "$key" <"$work/tree.gz"
  return $status
}

# === the stream of the tree that the UI keeps open ===

open_stream() {
  : >"$logs/stream.log"
  start stream curl -sS -N -m 600 -H "Authorization: Bearer $token" \
    "http://127.0.0.1:$server/api/v1/stream/applications/web/resource-tree?appNamespace=edge"
  # Nothing comes before the first change, and no answer tells when the server listens.
  until_true 20 'a first tree' pokes_and_has 1
}

trees() { grep -c '"result"' "$logs/stream.log"; }

has_trees() { (($(trees) >= $1)); }

poke() { workload --namespace edge-web annotate deployment shop "poke=$RANDOM" --overwrite; }

pokes_and_has() {
  poke
  pause 0.5
  has_trees "$1"
}

stream_lives() {
  [ -e "$work/pids/stream" ] && kill -0 "$(<"$work/pids/stream")" || { tail -c 300 "$logs/stream.log"; return 1; }
  local had
  had=$(trees)
  poke
  until_true 5 'a change in the stream' has_trees $((had + 1))
}

edge_agent() { start_agent edge && until_true 40 'attached' agent_is_up edge; }

says_who_is_away() {
  stop agent-edge
  local begin=${EPOCHREALTIME/./} status=0
  refused 'agent is not connected: edge' argocd app get-resource edge/web --kind Deployment --resource-name shop || status=1
  refused 'agent is not connected: edge' argocd app manifests edge/web --source live || status=1
  says 'agent is not connected: edge' api 'applications/web/resource-tree?appNamespace=edge' || status=1
  (((${EPOCHREALTIME/./} - begin) / 1000 < 5000)) || { echo 'slow'; status=1; }
  return $status
}

# A change of which nobody hears: the controller has written and published it when this returns.
miss() {
  workload --namespace edge-web annotate deployment shop "unheard=$RANDOM" --overwrite
  pause 2
}

catches_up() {
  local had
  had=$(trees)
  miss
  edge_agent || return
  # Nothing changes any more: what was missed is read again.
  until_true 5 'the tree again' has_trees $((had + 1)) || return
  stream_lives
}

# What was missed meanwhile may only come with the next change: the new principal does not know who listened.
restart_principal() {
  stop principal
  start_principal
  until_true 40 'attached' agent_is_up edge || return
  until_true 10 'the stream' stream_lives
}

says_that_redis_is_away() {
  stop redis-workload
  says 'cannot reach Redis' api 'applications/web/resource-tree?appNamespace=edge' || return
  run_redis workload
  # An empty Redis is empty until the controller has something new to write.
  poke
  until_true 30 'the tree again' says '"nodes"' redis_has_the_tree
}

redis_has_the_tree() { redis_cli workload --raw get 'app|resources-tree|web|1.8.3.gz' | head -c -1 | gunzip; }

beside() {
  echo 'Argo CD beside the applications, its server in the control plane'
  check 'the application deploys itself in the workload cluster' deploys_itself
  check 'it is shown in the control plane' is_shown
  live_operations edge/web edge-web
  check 'what Argo CD does not manage is refused, even if its tree names it' strays
  check 'the tree is followed' open_stream
  check 'a change comes' stream_lives
  check 'the agent is away: every call says so' says_who_is_away
  check 'it is back: the tree is read again, and the stream lives' catches_up
  check 'the principal is killed: the stream lives on' restart_principal
  stop stream
  check "the workload cluster's Redis is away, and back" says_that_redis_is_away
}
