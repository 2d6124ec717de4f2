//! `validate` beyond Secrets: Argo CD, its Redis, what leads to the principal, and what the operator is told.

use envtest::{Cluster, Extent};
use harness::cluster::another;
use serde_json::{Value, json};

use super::{FAST, Operator};

#[tokio::test]
async fn validate_looks_at_what_stands_around_principal_and_agent() {
    let cluster = another(Extent::ApiServer).await;
    for namespace in ["argocd", "workload"] {
        cluster.kubectl().run(["create", "namespace", namespace]).await.unwrap();
    }
    let operator = Operator::between(&cluster, &cluster, "argocd".into(), "workload".into());
    for line in [
        "pki init",
        "pki issue principal --dns=principal.example",
        "pki issue resource-proxy --dns=argocd-agent-resource-proxy",
        "pki issue agent edge",
        "agent create edge",
    ] {
        operator.ok(&format!("{line} {FAST}")).await;
    }
    operator.ok("jwt create-key").await;

    // An API server that knows none of these kinds has nothing that is wrong.
    let said = operator.ok("validate principal").await;
    assert!(said.lines().count() == 9 && said.lines().all(|line| line.ends_with(": ✅")), "{said}");
    let said = operator.ok("validate agent").await;
    assert!(
        said.contains("* Namespace of the agent: ✅ (there is no namespace edge in the principal's cluster: create")
    );
    cluster.kubectl().run(["create", "namespace", "edge"]).await.unwrap();
    let said = operator.ok("validate agent").await;
    assert!(said.lines().count() == 8 && said.lines().all(|line| line.ends_with(": ✅")), "{said}");

    define(&cluster, "argoproj.io", "v1alpha1", "Application", "applications").await;
    define(&cluster, "argoproj.io", "v1beta1", "ArgoCD", "argocds").await;
    define(&cluster, "route.openshift.io", "v1", "Route", "routes").await;
    let redis = json!({"matchLabels": {"app.kubernetes.io/name": "argocd-redis"}});
    let server = json!({"podSelector": {"matchLabels": {"app.kubernetes.io/name": "argocd-server"}}});
    let policy = json!({"podSelector": redis, "ingress": [{"from": [server]}]});
    let argo_cd = |spec: Value| object("argoproj.io/v1beta1", "ArgoCD", "argocd", json!({"spec": spec}));
    let own_secret = json!({"argoCDAgent": {
        "principal": {"jwt": {"secretName": "other-jwt"}}, "agent": {"tls": {"secretName": "other-tls"}},
    }});
    let application = || object("argoproj.io/v1alpha1", "Application", "guestbook", json!({"spec": {}}));
    for (object, side, expected) in [
        (
            object("v1", "ConfigMap", "argocd-cm", json!({"data": {"application.namespaces": "team-*"}})),
            "principal",
            "Scope of Argo CD: ❌ Argo CD is for some namespaces alone: remove key application.namespaces of ConfigMap \
             argocd/argocd-cm",
        ),
        (
            argo_cd(json!({"applicationNamespaces": ["a"]})),
            "principal",
            "Scope of Argo CD: ❌ the ArgoCD in namespace argocd is for some namespaces alone: remove \
             spec.applicationNamespaces",
        ),
        (
            application(),
            "principal",
            "Applications of no agent: ❌ 1 in namespace argocd, such as guestbook: nobody deploys Applications there, move \
             them to the namespace of their agent",
        ),
        (
            object("networking.k8s.io/v1", "NetworkPolicy", "redis", json!({"spec": policy})),
            "principal",
            "Network policies of Redis: ❌ NetworkPolicy argocd/redis keeps the principal away from Argo CD's Redis: admit \
             Pods labelled app.kubernetes.io/name=argocd-agent-principal to port 6379",
        ),
        (
            object("networking.k8s.io/v1", "NetworkPolicy", "redis", json!({"spec": policy})),
            "agent",
            "Network policies of Redis: ❌ NetworkPolicy workload/redis keeps the agent away from Argo CD's Redis: admit \
             Pods labelled app.kubernetes.io/name=argocd-agent-agent to port 6379",
        ),
        (
            deployed("Deployment", "argocd-server"),
            "principal",
            "Deployed components: ❌ Deployment argocd/argocd-server has 0 of 1 Pods ready: see `kubectl describe`",
        ),
        (
            object("route.openshift.io/v1", "Route", "principal", json!({"spec": {"host": "other.example"}})),
            "principal",
            "Routes: ❌ no Route in namespace argocd leads to a name of the principal's certificate (principal.example, \
             127.0.0.1): `pki issue principal --upsert --dns=other.example`",
        ),
        (
            argo_cd(own_secret.clone()),
            "principal",
            "JWT signing key: ❌ Secret argocd/other-jwt does not exist: `jwt create-key`",
        ),
        (
            argo_cd(own_secret),
            "agent",
            "Client certificate of the agent: ❌ Secret workload/other-tls does not exist: `pki issue agent <agent> --upsert`",
        ),
    ] {
        let namespace = if side == "agent" { "workload" } else { "argocd" };
        put(&cluster, namespace, &object).await;
        let said = operator.run(&format!("validate {side}")).await;
        assert_eq!((said.code, said.stderr.as_str()), (Some(1), ""), "{expected}: {said:?}");
        assert!(said.stdout.lines().any(|line| line == format!("* {expected}")), "{expected}: {}", said.stdout);
        delete(&cluster, namespace, &object).await;
        operator.ok(&format!("validate {side}")).await;
    }

    // Right where an Argo CD deploys through the door, and where the route is the certificate's.
    let controller = deployed("StatefulSet", "argocd-application-controller");
    let status = r#"--patch={"status":{"replicas":1,"readyReplicas":1}}"#;
    let route = object("route.openshift.io/v1", "Route", "principal", json!({"spec": {"host": "principal.example"}}));
    for object in [application(), controller, route] {
        put(&cluster, "argocd", &object).await;
    }
    let patch =
        ["-n", "argocd", "patch", "statefulset", "argocd-application-controller", "--subresource=status", status];
    cluster.kubectl().run(patch).await.unwrap();
    let said = operator.ok("validate principal").await;
    assert!(said.ends_with("* Deployed components: ✅\n* Routes: ✅\n"), "{said}");
}

fn object(version: &str, kind: &str, name: &str, rest: Value) -> Value {
    let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}});
    let Value::Object(rest) = rest else { panic!("{rest} is no object") };
    object.as_object_mut().unwrap().extend(rest);
    object
}

fn deployed(kind: &str, name: &str) -> Value {
    let labels = json!({"app.kubernetes.io/name": name});
    let template = json!({
        "metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "main"}]}
    });
    let mut object =
        object("apps/v1", kind, name, json!({"spec": {"selector": {"matchLabels": labels}, "template": template}}));
    object["metadata"]["labels"] = json!({"app.kubernetes.io/part-of": "argocd"});
    object
}

/// Tells the API server of a kind whose objects may be anything.
async fn define(cluster: &Cluster, group: &str, version: &str, kind: &str, plural: &str) {
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let spec = json!({
        "group": group, "scope": "Namespaced",
        "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
        "versions": [{"name": version, "served": true, "storage": true, "schema": schema}],
    });
    let name = format!("{plural}.{group}");
    let definition = object("apiextensions.k8s.io/v1", "CustomResourceDefinition", &name, json!({"spec": spec}));
    cluster.kubectl().apply(&definition.to_string()).await.unwrap();
    let wait = ["wait", "--for=condition=established", &format!("crd/{name}"), "--timeout=30s"];
    cluster.kubectl().run(wait).await.unwrap();
}

async fn put(cluster: &Cluster, namespace: &str, object: &Value) {
    let mut object = object.clone();
    object["metadata"]["namespace"] = namespace.into();
    cluster.kubectl().apply(&object.to_string()).await.unwrap();
}

async fn delete(cluster: &Cluster, namespace: &str, object: &Value) {
    let kind = object["kind"].as_str().unwrap();
    let name = object["metadata"]["name"].as_str().unwrap();
    cluster.kubectl().run(["-n", namespace, "delete", kind, name, "--cascade=background"]).await.unwrap();
}
