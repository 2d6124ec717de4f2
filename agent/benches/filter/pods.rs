//! Lists of Pods as the API server writes them, each of some 2 KB of JSON.

use std::collections::BTreeMap;

use agent::executors::kube::bench::Form;
use bytes::Bytes;
use serde_json::{Value, json};

/// So many Pods.
pub(crate) fn list(form: Form, count: usize) -> Bytes {
    let pods = 0..count;
    match form {
        Form::Json => {
            let (spec, status) = (spec(), status());
            let pod = |number| json!({"metadata": metadata(number), "spec": spec, "status": status});
            let items = Value::from_iter(pods.map(pod));
            let head = format!(r#""kind":"PodList","apiVersion":"v1","metadata":{{"resourceVersion":"{VERSION}"}}"#);
            format!("{{{head},\"items\":{items}}}\n").into()
        }
        Form::Table => {
            let rows = Value::from_iter(pods.map(row));
            let columns = ["Name", "Ready", "Status", "Restarts", "Age"]
                .map(|name| json!({"name": name, "type": "string", "format": "", "description": name, "priority": 0}));
            let (columns, version) = (Value::from_iter(columns), "meta.k8s.io/v1");
            let head =
                format!(r#""kind":"Table","apiVersion":"{version}","metadata":{{"resourceVersion":"{VERSION}"}}"#);
            format!("{{{head},\"columnDefinitions\":{columns},\"rows\":{rows}}}\n").into()
        }
        Form::Protobuf => {
            let items = pods.flat_map(|number| field(2, &encoded(number))).collect::<Vec<_>>();
            let list = [field(1, &field(2, VERSION.as_bytes())), items].concat();
            let type_meta = [field(1, b"v1"), field(2, b"PodList")].concat();
            let envelope = [field(1, &type_meta), field(2, &list), field(3, b""), field(4, b"")].concat();
            [b"k8s\0", envelope.as_slice()].concat().into()
        }
    }
}

fn metadata(number: usize) -> Value {
    json!({
        "name": name(number),
        "generateName": "web-5d4f8c7b9-",
        "namespace": NAMESPACE,
        "uid": uid(number),
        "resourceVersion": VERSION,
        "creationTimestamp": "2026-11-14T22:13:20Z",
        "labels": LABELS.iter().copied().collect::<BTreeMap<_, _>>(),
        "annotations": {TRACKED.0: TRACKED.1},
        "ownerReferences": [{
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": OWNER.0, "uid": OWNER.1,
            "controller": true, "blockOwnerDeletion": true,
        }],
    })
}

fn spec() -> Value {
    let settings = (0..8).map(|number| json!({"name": format!("SETTING_{number}"), "value": "x".repeat(40)}));
    json!({
        "containers": [{
            "name": "web", "image": "registry.example/shop/web:1.27.3",
            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
            "env": settings.collect::<Vec<_>>(),
            "resources": {"limits": {"memory": "256Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
            "terminationMessagePath": "/dev/termination-log", "imagePullPolicy": "IfNotPresent",
        }],
        "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "nodeName": "node-1",
    })
}

fn status() -> Value {
    let conditions = ["Initialized", "Ready", "ContainersReady", "PodScheduled"].map(|kind| {
        json!({"type": kind, "status": "True", "lastProbeTime": null, "lastTransitionTime": "2026-11-14T22:13:21Z"})
    });
    json!({
        "phase": "Running", "hostIP": "10.0.0.1", "podIP": "10.1.2.3", "qosClass": "Burstable", "conditions": conditions,
    })
}

/// What `kubectl get` is told of a Pod.
fn row(number: usize) -> Value {
    let object = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata(number)});
    json!({"cells": [name(number), "1/1", "Running", "0", "6d"], "object": object})
}

/// A Pod in protobuf. Nobody looks into its spec and status, so what they hold is their JSON.
fn encoded(number: usize) -> Vec<u8> {
    let entry = |number, (key, value): (&str, &str)| {
        field(number, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat())
    };
    let owner = [(1, "ReplicaSet"), (3, OWNER.0), (4, OWNER.1), (5, "apps/v1")];
    let owner = owner.map(|(number, text)| field(number, text.as_bytes()));
    let metadata = [
        field(1, name(number).as_bytes()),
        field(2, b"web-5d4f8c7b9-"),
        field(3, NAMESPACE.as_bytes()),
        field(5, uid(number).as_bytes()),
        field(6, VERSION.as_bytes()),
        LABELS.iter().flat_map(|label| entry(11, *label)).collect(),
        entry(12, TRACKED),
        field(13, &owner.concat()),
    ];
    let rest = [(2, spec()), (3, status())].map(|(number, part)| field(number, part.to_string().as_bytes()));
    [field(1, &metadata.concat()), rest.concat()].concat()
}

/// A field of bytes: tag, length, and what it holds.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        field.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    field.push(length as u8);
    field.extend_from_slice(bytes);
    field
}

fn name(number: usize) -> String {
    format!("web-5d4f8c7b9-{number:05}")
}

fn uid(number: usize) -> String {
    format!("0f3c9a52-6c1e-4f0b-9d2a-{number:012}")
}

const NAMESPACE: &str = "shop";
const VERSION: &str = "81234";
const LABELS: [(&str, &str); 3] =
    [("app", "web"), ("app.kubernetes.io/instance", "shop"), ("pod-template-hash", "5d4f8c7b9")];
const TRACKED: (&str, &str) = ("argocd.argoproj.io/tracking-id", "shop:apps/Deployment:shop/web");
/// Name and UID of the ReplicaSet.
const OWNER: (&str, &str) = ("web-5d4f8c7b9", "9a1b2c3d-0000-4000-8000-00000000002a");
