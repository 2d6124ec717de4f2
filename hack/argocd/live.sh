# What Argo CD's server does with the live objects of an application, to be sourced.
#
# An application is named `<namespace>/<name>`, and `$2` is its namespace in the workload cluster.

# application <namespace> <name> <cluster> <destination namespace> <path in the repository>: one that keeps itself synced.
application() {
  cat <<END
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: $2
  namespace: $1
  finalizers: [resources-finalizer.argocd.argoproj.io]
spec:
  project: default
  source: {repoURL: "file://$tree", targetRevision: main, path: $5}
  destination: {name: $3, namespace: $4}
  syncPolicy: {automated: {prune: true, selfHeal: true}, syncOptions: [CreateNamespace=true]}
END
}

# object <group> <version> <kind> <namespace> <name>: as Argo CD's API takes it.
object() { echo "group=$1&version=$2&kind=$3&namespace=$4&resourceName=$5"; }

replicas() { workload --namespace "$1" get deployment shop -o jsonpath='{.spec.replicas}'; }

# The newest running pod of the Deployment.
a_pod() {
  workload --namespace "$1" get pods -l app=shop --field-selector status.phase=Running --sort-by=.metadata.creationTimestamp \
    -o name | sed -n '$s/^pod.//p'
}

# Waits until Argo CD's tree has the pod.
pod_in_tree() {
  pod=$(a_pod "$2")
  until_true 15 "$pod in the tree" says "$pod" argocd app resources "$1" --output tree=detailed
}

restarts() {
  local before
  before=$(workload --namespace "$2" get deployment shop -o jsonpath='{.metadata.generation}')
  argocd app actions run "$1" restart --kind Deployment --resource-name shop || return
  [ "$(workload --namespace "$2" get deployment shop -o jsonpath='{.metadata.generation}')" -gt "$before" ] || return
  workload --namespace "$2" rollout status deployment/shop --timeout=20s
}

makes_a_job() {
  argocd app actions run "$1" create-job --kind CronJob --resource-name nightly || return
  until_true 10 'a job' says nightly- workload --namespace "$2" get jobs -o name
}

patches() { # <application> <namespace> <type> <patch>
  argocd app patch-resource "$1" --kind ConfigMap --resource-name greeting --patch-type "$3" --patch "$4"
}

labels() { workload --namespace "$1" get configmap greeting -o jsonpath='{.metadata.labels}'; }

has_events() {
  local uid
  uid=$(workload --namespace "$2" get deployment shop -o jsonpath='{.metadata.uid}')
  says ScalingReplicaSet api "applications/${1#*/}/events?appNamespace=${1%/*}&resourceNamespace=$2&resourceName=shop&resourceUID=$uid"
}

has_logs() {
  pod_in_tree "$1" "$2" || return
  echo "said by $pod" >"$pod_logs/$2_${pod}_shop.log"
  says "said by $pod" argocd app logs "$1" --kind Pod --name "$pod" --namespace "$2" --tail 5
}

follows() {
  pod_in_tree "$1" "$2" || return
  : >"$pod_logs/$2_${pod}_shop.log"
  start follower "${argocd_command[@]}" app logs "$1" --kind Pod --name "$pod" --namespace "$2" --follow
  local line status=0
  # Written one by one, so that a line that was there before the follower does not do.
  for line in first second third; do
    echo "$line of $pod" >>"$pod_logs/$2_${pod}_shop.log"
    until_true 10 "the $line line" grep -q "$line of $pod" "$logs/follower.log" || status=1
  done
  stop follower
  until_true 5 'the follow to end at the API server' no_follows || status=1
  return $status
}

no_follows() {
  ! workload get --raw /metrics | grep '^apiserver_longrunning_requests{.*subresource="log"' | grep -qv ' 0$'
}

types_into_a_terminal() {
  pod_in_tree "$1" "$2" || return
  "$argo/terminal" "ws://127.0.0.1:$server/terminal?pod=$pod&container=shop&appName=${1#*/}&appNamespace=${1%/*}&projectName=default&namespace=$2" \
    "$token" 'echo $((6 * 7)) from $HOSTNAME' "42 from $pod"
}

deletes_a_pod() {
  pod_in_tree "$1" "$2" || return
  # The argocd command deletes only what is in git; the UI deletes any object of the tree.
  says '{}' api "applications/${1#*/}/resource?appNamespace=${1%/*}&$(object '' v1 Pod "$2" "$pod")" -X DELETE || return
  until_true 15 'gone' refused NotFound workload --namespace "$2" get pod "$pod"
}

live_operations() {
  local app=$1 namespace=$2 get=(argocd app get-resource "$1" --output yaml)
  check 'get: an object' says 'image: example.com/shop:1' "${get[@]}" --kind Deployment --resource-name shop
  check 'get: an object whose name has a blank and a plus' says configmaps "${get[@]}" --kind Role --resource-name 'read er+x'
  check "get: a Secret's values are masked" lacks bmV2ZXIgc2hvd24= "${get[@]}" --kind Secret --resource-name hidden
  check 'tree: what the controllers made of it is there' says ReplicaSet argocd app resources "$app" --output tree=detailed
  check 'manifests: of git' says 'kind: CronJob' argocd app manifests "$app"
  check 'manifests: live' says 'kind: CronJob' argocd app manifests "$app" --source live
  check 'diff: none' argocd app diff "$app"
  check 'diff: none by the API server either' argocd app diff "$app" --server-side-diff
  check 'actions: what there are' says restart argocd app actions list "$app" --kind Deployment
  check 'actions: a restart' restarts "$app" "$namespace"
  check 'actions: a CronJob starts a Job' makes_a_job "$app" "$namespace"
  check 'patch: a merge patch' patches "$app" "$namespace" application/merge-patch+json '{"metadata":{"labels":{"seen":"yes"}}}'
  check 'patch: is there' says seen labels "$namespace"
  check 'patch: a JSON patch' patches "$app" "$namespace" application/json-patch+json '[{"op":"remove","path":"/metadata/labels/seen"}]'
  check 'patch: is there, too' lacks seen labels "$namespace"
  check 'events' has_events "$app" "$namespace"
  check 'logs' has_logs "$app" "$namespace"
  check 'logs: followed, and ended at the API server when nobody follows' follows "$app" "$namespace"
  check 'terminal' types_into_a_terminal "$app" "$namespace"
  check 'delete: a pod' deletes_a_pod "$app" "$namespace"
}
