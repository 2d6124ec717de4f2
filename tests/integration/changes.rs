//! Changes through the door: the object is changed, and the answer is what the API server says of it.

use harness::{
    client::{Answer, Protocol, get, kube, with_body, with_json},
    eventually,
    scene::{Scene, deployment, object_path, tracked},
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

#[tokio::test]
async fn every_change_passes_without_the_filter() {
    every_change_passes(&Scene::open("changes").await).await;
}

#[tokio::test]
async fn every_change_of_a_managed_object_passes_the_filter() {
    every_change_passes(&Scene::filtered("changes").await).await;
}

async fn every_change_passes(scene: &Scene) {
    let maps = scene.core("configmaps");
    let map = scene.core("configmaps/a");
    let mut object = tracked(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": "1", "b": "2"},
    }));
    let created = scene.door.ask(with_json("POST", &maps, &object)).await.expect_status(201);
    assert_stored(scene, &map, &created).await;

    object["data"] = json!({"a": "put"});
    let put = scene.door.ask(with_json("PUT", &map, &object)).await.expect_status(200);
    assert_stored(scene, &map, &put).await;
    assert_eq!(put.json()["data"], json!({"a": "put"}));

    for (content_type, patch, data) in [
        ("application/merge-patch+json", r#"{"data":{"a":null,"c":"merge"}}"#, json!({"c": "merge"})),
        (
            "application/json-patch+json",
            r#"[{"op":"test","path":"/data/c","value":"merge"},{"op":"move","from":"/data/c","path":"/data/d"}]"#,
            json!({"d": "merge"}),
        ),
        ("application/strategic-merge-patch+json", r#"{"data":{"$patch":"replace","e":"x"}}"#, json!({"e": "x"})),
    ] {
        let patched = scene.door.ask(with_body("PATCH", &map, content_type, patch)).await.expect_status(200);
        assert_stored(scene, &map, &patched).await;
        assert_eq!(patched.json()["data"], data, "{content_type}");
    }

    let applied = scene.core("configmaps/applied");
    let apply = |body: String| {
        let target = format!("{applied}?fieldManager=me&force=true");
        scene.door.ask(with_body("PATCH", &target, "application/apply-patch+yaml", body))
    };
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: applied\n  annotations:\n    \
                argocd.argoproj.io/tracking-id: shop:x:y/z\ndata:\n  from: yaml\n";
    let created = apply(yaml.to_owned()).await.expect_status(201);
    assert_stored(scene, &applied, &created).await;
    let changed = apply(yaml.replace("from: yaml", "from: again")).await.expect_status(200);
    assert_stored(scene, &applied, &changed).await;
    assert_eq!(changed.json()["data"]["from"], "again");

    let deleted = scene.door.ask(with_body("DELETE", &map, "application/json", "")).await.expect_status(200);
    assert_eq!(deleted.json()["status"], "Success");
    scene.direct.ask(get(&map)).await.expect_status(404);
}

#[tokio::test]
async fn options_of_a_delete_reach_the_api_server_in_its_body() {
    let (open, filtered) = tokio::join!(Scene::open("deletes"), Scene::filtered("deletes"));
    for scene in [&open, &filtered] {
        scene.deployment("kept", 1, true).await;
        let target = scene.apps("deployments/kept");
        let delete = |policy: &str| {
            let body = format!(r#"{{"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"{policy}"}}"#);
            with_body("DELETE", &target, "application/json", body + "\n")
        };
        let foreground = scene.door.ask(delete("Foreground")).await.expect_status(200).json();
        assert_eq!(foreground["metadata"]["finalizers"], json!(["foregroundDeletion"]), "{foreground}");
        gone(scene, &target).await;

        scene.deployment("kept", 1, true).await;
        scene.door.ask(delete("Orphan")).await.expect_status(200);
        gone(scene, &target).await;
        let sets = scene.direct.object(&scene.apps("replicasets")).await;
        assert_eq!(sets["items"].as_array().unwrap().len(), 1, "the ReplicaSet stays");
        assert_eq!(sets["items"][0]["metadata"]["ownerReferences"], Value::Null);
    }
}

#[tokio::test]
async fn subresources_of_a_managed_object_can_be_read_and_changed() {
    let (open, filtered) = tokio::join!(Scene::open("subresources"), Scene::filtered("subresources"));
    for scene in [&open, &filtered] {
        scene.apply(tracked(deployment("web", 0))).await;
        let scale = scene.apps("deployments/web/scale");
        let mut object = scene.door.ask(get(&scale)).await.expect_status(200).json();
        object["spec"]["replicas"] = 1.into();
        // The controller changes the object, too.
        object["metadata"]["resourceVersion"] = Value::Null;
        scene.door.ask(with_json("PUT", &scale, &object)).await.expect_status(200);
        let patch = with_body("PATCH", &scale, "application/merge-patch+json", r#"{"spec":{"replicas":2}}"#);
        scene.door.ask(patch).await.expect_status(200);
        assert_eq!(scene.direct.object(&scene.apps("deployments/web")).await["spec"]["replicas"], 2);

        let service = tracked(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
            "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
        }));
        scene.apply(service).await;
        let status = scene.core("services/web/status");
        let patch = r#"{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.1"}]}}}"#;
        let patched = scene.door.ask(with_body("PATCH", &status, "application/merge-patch+json", patch)).await;
        assert_stored(scene, &scene.core("services/web"), &patched.expect_status(200)).await;
        let stored = scene.direct.object(&scene.core("services/web")).await;
        assert_eq!(stored["status"]["loadBalancer"]["ingress"][0]["ip"], "192.0.2.1");

        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}});
        scene.apply(tracked(account)).await;
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let token = scene.door.ask(with_json("POST", &scene.core("serviceaccounts/robot/token"), &request)).await;
        assert!(token.expect_status(201).json()["status"]["token"].is_string());

        scene.pod("evicted", true).await;
        let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "evicted"}});
        scene.door.ask(with_json("POST", &scene.core("pods/evicted/eviction"), &eviction)).await.expect_status(201);
        gone(scene, &scene.core("pods/evicted")).await;
    }
}

#[tokio::test]
async fn a_dry_run_is_answered_like_a_change_and_changes_nothing() {
    let (open, filtered) = tokio::join!(Scene::open("dry"), Scene::filtered("dry"));
    for scene in [&open, &filtered] {
        scene.tracked("a").await;
        let map = scene.core("configmaps/a");
        let before = scene.direct.ask(get(&map)).await;
        let object = tracked(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"greeting": "changed"},
        }));
        let dry = format!("{map}?dryRun=All&fieldManager=argocd-controller&force=true");
        let body = object.to_string();
        for request in [
            with_json("PUT", &dry, &object),
            with_body("PATCH", &dry, "application/apply-patch+yaml", body.clone()),
            with_body("PATCH", &format!("{map}?dryRun=All"), "application/merge-patch+json", body),
        ] {
            let answer = scene.door.ask(request).await.expect_status(200).json();
            assert_eq!(answer["data"]["greeting"], "changed");
            assert!(answer["metadata"]["managedFields"].is_array(), "server-side diff needs them");
        }
        let options = r#"{"kind":"DeleteOptions","apiVersion":"v1","dryRun":["All"]}"#;
        scene.door.ask(with_body("DELETE", &map, "application/json", options)).await.expect_status(200);
        assert_eq!(scene.direct.ask(get(&map)).await.body, before.body);

        let mut other = object;
        other["metadata"]["name"] = "other".into();
        let target = format!("{}?dryRun=All", scene.core("configmaps"));
        scene.door.ask(with_json("POST", &target, &other)).await.expect_status(201);
        let target = format!("{}?dryRun=All&fieldManager=x", scene.core("configmaps/other"));
        let apply = with_body("PATCH", &target, "application/apply-patch+yaml", other.to_string());
        scene.door.ask(apply).await.expect_status(201);
        scene.direct.ask(get(&scene.core("configmaps/other"))).await.expect_status(404);
    }
}

#[tokio::test]
async fn a_collection_is_deleted_without_the_filter_only() {
    let (open, filtered) = tokio::join!(Scene::open("collections"), Scene::filtered("collections"));
    for scene in [&open, &filtered] {
        for (name, tier) in [("a", "x"), ("b", "x"), ("c", "y")] {
            let object = json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"tier": tier}},
            });
            scene.apply(tracked(object)).await;
        }
    }
    let delete = |scene: &Scene| {
        let target = scene.core("configmaps?labelSelector=tier%3Dx");
        with_body("DELETE", &target, "application/json", r#"{"kind":"DeleteOptions","apiVersion":"v1"}"#)
    };
    let names = async |scene: &Scene| -> Vec<String> {
        let list = scene.direct.object(&scene.core("configmaps?labelSelector=tier")).await;
        let items = list["items"].as_array().unwrap();
        items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    };
    open.door.ask(delete(&open)).await.expect_status(200);
    assert_eq!(names(&open).await, ["c"]);
    let refused = filtered.door.ask(delete(&filtered)).await;
    refused.assert_refusal(403, "Forbidden", "not authorized to delete collections of resources");
    assert_eq!(names(&filtered).await, ["a", "b", "c"]);
}

#[tokio::test]
async fn kube_rs_works_through_the_door() {
    let scene = Scene::open("kube-rs").await;
    let client = kube(&scene.world.kubeconfig(harness::scene::AGENT)).await;
    let maps: Api<ConfigMap> = Api::namespaced(client, &scene.namespace);
    let named = |name: &str| -> ConfigMap {
        serde_json::from_value(json!({"metadata": {"name": name}, "data": {"a": "1"}})).unwrap()
    };
    let mut created = maps.create(&PostParams::default(), &named("a")).await.unwrap();
    created.data = Some([("a".to_owned(), "2".to_owned())].into());
    maps.replace("a", &PostParams::default(), &created).await.unwrap();
    let conflict = maps.replace("a", &PostParams::default(), &created).await.unwrap_err();
    assert!(matches!(conflict, kube::Error::Api(status) if status.is_conflict()));
    maps.patch("a", &PatchParams::default(), &Patch::Merge(json!({"data": {"b": "3"}}))).await.unwrap();
    let applied = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}});
    maps.patch("b", &PatchParams::apply("me"), &Patch::Apply(applied)).await.unwrap();
    let data = maps.get("a").await.unwrap().data.unwrap();
    assert_eq!(serde_json::to_value(data).unwrap(), json!({"a": "2", "b": "3"}));
    let listed = maps.list(&ListParams::default().fields("metadata.name!=kube-root-ca.crt")).await.unwrap();
    assert_eq!(listed.items.len(), 2);
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(maps.get_opt("a").await.unwrap().is_none());
}

#[tokio::test]
async fn a_chunked_body_and_one_of_http2_arrive_whole() {
    let scene = Scene::open("chunked").await;
    for (protocol, name) in [(Protocol::Http1, "one"), (Protocol::Http2, "two")] {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
            "data": {"large": "x".repeat(900_000)},
        });
        let request = http::Request::post(scene.core("configmaps")).header("content-type", "application/json");
        let request = request.body(harness::client::streamed(object.to_string(), 10_000)).unwrap();
        scene.door.connect(protocol).await.ask(request).await.expect_status(201);
        let stored = scene.direct.object(&scene.core(&format!("configmaps/{name}"))).await;
        assert_eq!(stored["data"], object["data"]);
    }
}

/// Asserts that an answer is the object as it is now stored, byte for byte.
async fn assert_stored(scene: &Scene, path: &str, answer: &Answer) {
    let stored = scene.direct.ask(get(path)).await;
    assert_eq!(answer.text(), stored.text());
    assert!(path.ends_with(&object_path(&answer.json())), "{path}");
}

async fn gone(scene: &Scene, path: &str) {
    eventually("the object is gone", async || (scene.direct.ask(get(path)).await.status == 404).then_some(())).await;
}
