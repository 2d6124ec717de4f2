//! What `validate` looks at beside Secrets: Argo CD, its Redis and what leads to the principal, as far as they are there.

use std::collections::BTreeMap;

use anyhow::{bail, ensure};
use common::AgentName;
use k8s_openapi::{
    api::networking::v1::{NetworkPolicy, NetworkPolicyPeer},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use serde_json::Value;

use crate::{
    kube::{Listed, Role, Side},
    pki::Certificate,
};

/// Argo CD serves every namespace: each agent's Applications are in one of their own.
pub(super) async fn scope(side: &Side, operators: &Value) -> anyhow::Result<()> {
    let namespace = &side.place.namespace;
    let listed = operators.get("applicationNamespaces").and_then(Value::as_array);
    ensure!(
        listed.is_none_or(Vec::is_empty),
        "the ArgoCD in namespace {namespace} is for some namespaces alone: remove spec.applicationNamespaces"
    );
    let settings = side.config_maps.get(SETTINGS).await?.and_then(|map| map.data).unwrap_or_default();
    ensure!(
        settings.get(NAMESPACES).is_none_or(|listed| listed.trim().is_empty()),
        "Argo CD is for some namespaces alone: remove key {NAMESPACES} of {}",
        side.config_maps.called(SETTINGS)
    );
    Ok(())
}

/// Some route of OpenShift leads to a name that the principal's certificate has; whether there are any.
pub(super) async fn routes(side: &Side, principal: Option<&Certificate>) -> anyhow::Result<bool> {
    let found = side.list(ROUTES).await?;
    let host = |route: &Value| route.pointer("/spec/host").and_then(Value::as_str).unwrap_or_default().to_owned();
    let hosts: Vec<_> = found.iter().map(|route| host(&route.data)).filter(|host| !host.is_empty()).collect();
    let (Some(principal), Some(first)) = (principal, hosts.first()) else { return Ok(!hosts.is_empty()) };
    ensure!(
        hosts.iter().any(|host| principal.is_for(host)),
        "no Route in namespace {} leads to a name of the principal's certificate ({}): \
         `pki issue principal --upsert --dns={first}`",
        side.place.namespace,
        principal.server_names.join(", ")
    );
    Ok(true)
}

/// Applications in the principal's own namespace are of no agent.
pub(super) async fn applications(side: &Side) -> anyhow::Result<()> {
    let found = side.list(APPLICATIONS).await?;
    let Some(first) = found.first().and_then(|application| application.metadata.name.as_deref()) else {
        return Ok(());
    };
    // Then it is that one which deploys them, through the door.
    for kind in [STATEFUL_SETS, DEPLOYMENTS] {
        let deployed = side.list(kind).await?;
        if deployed.iter().any(|one| one.metadata.name.as_deref() == Some(CONTROLLER)) {
            return Ok(());
        }
    }
    let namespace = &side.place.namespace;
    bail!(
        "{} in namespace {namespace}, such as {first}: nobody deploys Applications there, move them to the namespace of \
         their agent",
        found.len()
    )
}

/// Where network policies shut off Argo CD's Redis, one of them admits the principal or the agent.
pub(super) async fn redis(side: &Side) -> anyhow::Result<()> {
    let own = labels_of(side.place.role);
    let mut shut = None;
    for found in side.list(NETWORK_POLICIES).await? {
        let name = found.metadata.name.clone().unwrap_or_default();
        let policy: NetworkPolicy = found.try_parse()?;
        match admits(&policy, &own) {
            Some(true) => return Ok(()),
            Some(false) => shut = shut.or(Some(name)),
            None => {}
        }
    }
    let Some(name) = shut else { return Ok(()) };
    bail!(
        "NetworkPolicy {} keeps the {} away from Argo CD's Redis: admit Pods labelled {NAME}={} to port 6379",
        side.path(&name),
        side.place.role.word(),
        own.get(NAME).map(String::as_str).unwrap_or_default()
    )
}

/// What is deployed of Argo CD and of argocd-agent has its Pods.
pub(super) async fn components(side: &Side) -> anyhow::Result<()> {
    let mut wrong = Vec::new();
    for kind in [DEPLOYMENTS, STATEFUL_SETS] {
        for found in side.list(kind).await? {
            let labels = found.metadata.labels.as_ref();
            let part_of = labels.and_then(|labels| labels.get(PART_OF)).map(String::as_str);
            let number = |path, usual| found.data.pointer(path).and_then(Value::as_i64).unwrap_or(usual);
            let (wanted, there) = (number("/spec/replicas", 1), number("/status/readyReplicas", 0));
            if matches!(part_of, Some("argocd" | "argocd-agent")) && there < wanted {
                let place = side.path(found.metadata.name.as_deref().unwrap_or_default());
                wrong.push(format!("{} {place} has {there} of {wanted} Pods ready", kind.kind));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}: see `kubectl describe`", wrong.join("; "));
    Ok(())
}

/// That Applications of the agent have no place yet, if they have none.
pub(super) async fn namespace_of(side: &Side, agent: &AgentName) -> anyhow::Result<Option<String>> {
    Ok((!side.has_namespace(agent.as_str()).await?).then(|| {
        format!(
            "there is no namespace {agent} in the principal's cluster: create it, unless the principal maps Applications \
             by their destination"
        )
    }))
}

/// Whether a policy lets Pods with these labels, of the same namespace, to Argo CD's Redis; none where it is not about that.
fn admits(policy: &NetworkPolicy, own: &BTreeMap<String, String>) -> Option<bool> {
    let spec = policy.spec.as_ref()?;
    let redis = BTreeMap::from([(NAME.to_owned(), REDIS.to_owned())]);
    // Without a word about it, a policy is about what comes in.
    let incoming = spec.policy_types.as_ref().is_none_or(|types| types.iter().any(|kind| kind == "Ingress"));
    if !incoming || !spec.pod_selector.as_ref().is_none_or(|selector| selects(selector, &redis)) {
        return None;
    }
    let from = |peer: &NetworkPolicyPeer| match (&peer.pod_selector, &peer.namespace_selector) {
        (Some(pods), None) => selects(pods, own),
        // Which namespaces these are is not looked up.
        (pods, Some(_)) => pods.as_ref().is_none_or(|pods| selects(pods, own)),
        (None, None) => peer.ip_block.is_some(),
    };
    let mut rules = spec.ingress.iter().flatten();
    Some(rules.any(|rule| rule.from.as_ref().is_none_or(|peers| peers.is_empty() || peers.iter().any(from))))
}

fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let mut exactly = selector.match_labels.iter().flatten();
    let mut expressions = selector.match_expressions.iter().flatten();
    exactly.all(|(key, value)| labels.get(key) == Some(value))
        && expressions.all(|one| {
            let value = labels.get(&one.key);
            let listed = value.is_some_and(|value| one.values.iter().flatten().any(|listed| listed == value));
            match one.operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value.is_some(),
                _ => value.is_none(),
            }
        })
}

/// Those of the manifests.
fn labels_of(role: Role) -> BTreeMap<String, String> {
    let (name, component) = match role {
        Role::Principal => ("argocd-agent-principal", "principal"),
        Role::Agent => ("argocd-agent-agent", "agent"),
    };
    let labels = [(NAME, name), (PART_OF, "argocd-agent"), ("app.kubernetes.io/component", component)];
    labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

const SETTINGS: &str = "argocd-cm";
const NAMESPACES: &str = "application.namespaces";
const CONTROLLER: &str = "argocd-application-controller";
const REDIS: &str = "argocd-redis";
const NAME: &str = "app.kubernetes.io/name";
const PART_OF: &str = "app.kubernetes.io/part-of";

const APPLICATIONS: Listed =
    Listed { group: "argoproj.io", version: "v1alpha1", kind: "Application", plural: "applications" };
const DEPLOYMENTS: Listed = Listed { group: "apps", version: "v1", kind: "Deployment", plural: "deployments" };
const STATEFUL_SETS: Listed = Listed { group: "apps", version: "v1", kind: "StatefulSet", plural: "statefulsets" };
const NETWORK_POLICIES: Listed =
    Listed { group: "networking.k8s.io", version: "v1", kind: "NetworkPolicy", plural: "networkpolicies" };
const ROUTES: Listed = Listed { group: "route.openshift.io", version: "v1", kind: "Route", plural: "routes" };

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_policy_admits_whom_one_of_its_rules_does() {
        let own = labels_of(Role::Principal);
        let redis = json!({"matchLabels": {(NAME): REDIS}});
        let from = |peers: Value| json!({"podSelector": redis, "ingress": [{"from": peers}]});
        let server = json!({"podSelector": {"matchLabels": {(NAME): "argocd-server"}}});
        let principal = json!({"podSelector": {"matchLabels": {(NAME): "argocd-agent-principal"}}});
        let part = |operator: &str, values: Value| json!([{"podSelector": {"matchExpressions": [{"key": PART_OF, "operator": operator, "values": values}]}}]);
        for (spec, expected) in [
            (from(json!([server])), Some(false)),
            (from(json!([server, principal])), Some(true)),
            (from(json!([])), Some(true)),
            (json!({"podSelector": redis, "ingress": [{}]}), Some(true)),
            (json!({"podSelector": redis, "policyTypes": ["Ingress"]}), Some(false)),
            (json!({"podSelector": redis, "policyTypes": ["Egress"]}), None),
            (json!({"podSelector": {}}), Some(false)),
            (json!({"podSelector": {"matchLabels": {(NAME): "other"}}}), None),
            (from(part("In", json!(["argocd", "argocd-agent"]))), Some(true)),
            (from(part("NotIn", json!(["argocd-agent"]))), Some(false)),
            (from(part("Exists", Value::Null)), Some(true)),
            (from(part("DoesNotExist", Value::Null)), Some(false)),
            (from(json!([{"ipBlock": {"cidr": "10.0.0.0/8"}}])), Some(true)),
            (from(json!([{"namespaceSelector": {}}])), Some(true)),
        ] {
            let policy = serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
            assert_eq!(admits(&policy, &own), expected, "{spec}");
        }
    }
}
