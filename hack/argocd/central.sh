# One central Argo CD that deploys through the tunnel, to be sourced: its application-controller lists, watches and
# applies in the workload cluster as if it were local. The agent's filter is off.

deployed() { argocd app wait "$1" --sync --health --timeout 40; }

healed() { until_true "${1:-20}" 'healed' says 2 replicas central-shop; }

heals() {
  workload --namespace central-shop scale deployment shop --replicas=5
  healed
}

comes_back() {
  workload --namespace central-shop delete configmap greeting
  until_true 20 'made again' workload --namespace central-shop get configmap greeting
}

prunes() {
  git -C "$tree" rm -q shop/surplus.yaml
  commit 'no surplus'
  argocd app get argocd/shop --refresh
  until_true 20 'pruned' refused NotFound workload --namespace central-shop get configmap surplus
}

syncs_the_rich_one() {
  application argocd rich central central-rich rich | sed 's/CreateNamespace=true/&, ServerSideApply=true/' | control apply -f -
  deployed argocd/rich || return
  workload --namespace central-rich get configmap before applied replaced || return
  says 1 workload --namespace central-rich get widget small -o jsonpath='{.spec.size}'
}

changes_the_rich_one() {
  sed -i 's/put, not patched/put again/; s/size: 1/size: 2/; s/applied by the API server/applied again/' "$tree/rich/rich.yaml"
  commit 'changes'
  argocd app get argocd/rich --refresh
  until_true 30 'changed' says 2 workload --namespace central-rich get widget small -o jsonpath='{.spec.size}' || return
  deployed argocd/rich || return
  says 'put again' workload --namespace central-rich get configmap replaced -o yaml || return
  says 'applied again' workload --namespace central-rich get configmap applied -o yaml
}

deletes_the_rich_one() {
  argocd app delete argocd/rich --yes || return
  until_true 30 'the application gone' refused NotFound control --namespace argocd get application rich || return
  refused NotFound workload --namespace central-rich get configmap applied
}

# Ends a process by a signal, changes what is to be healed while it is away, and starts it again.
heals_after() { # <process> <signal> <seconds away> <command that starts it...>
  local name=$1 signal=$2 away=$3
  shift 3
  stop "$name" "$signal"
  workload --namespace central-shop scale deployment shop --replicas=5
  pause "$away"
  "$@"
  # An agent looks for a principal that it lost for at most 30 s before it tries again.
  healed 60
}

central_agent() { start_agent central --managed-resources-only=false; }

freezes() {
  local pid begin=$SECONDS
  pid=$(<"$work/pids/agent-central")
  kill -s STOP "$pid"
  refused 'Timeout communicating to the agent' argocd app get-resource argocd/shop --kind Deployment --resource-name shop
  local status=$?
  ((SECONDS - begin <= 13)) || { echo "only after $((SECONDS - begin)) s"; status=1; }
  workload --namespace central-shop scale deployment shop --replicas=5
  # By then the principal gave it up.
  until_true 30 'given up' says 'Agent is not connected' argocd_fails
  kill -s CONT "$pid"
  healed 60 || status=1
  return $status
}

argocd_fails() { argocd app get-resource argocd/shop --kind Deployment --resource-name shop 2>&1; true; }

central() {
  echo 'One central Argo CD that deploys through the tunnel'
  application argocd shop central central-shop shop | control apply -f - >/dev/null
  check 'an application is synced and healthy' deployed argocd/shop
  check 'what is changed by hand is healed' heals
  check 'what is deleted by hand comes back' comes_back
  check 'what is not in git any more is pruned' prunes
  check 'a new resource type, an object of it, a hook, a wave, server-side apply, replace' syncs_the_rich_one
  check 'changes of them' changes_the_rich_one
  check 'a deleted application takes its objects with it' deletes_the_rich_one
  live_operations argocd/shop central-shop
  check 'the agent is killed: it goes on' heals_after agent-central KILL 0 central_agent
  check 'the agent is away for 10 s: it goes on' heals_after agent-central KILL 10 central_agent
  check 'the principal is killed: it goes on' heals_after principal KILL 0 start_principal
  check 'the agent freezes: calls end, and when it thaws it goes on' freezes
}
