//! GET of one object.

use serde_json::json;

use super::{
    server::{deployment, marked, object, owned, pod, raw, replica_set, status},
    world::{Plan, World, request},
};

#[tokio::test]
async fn a_marked_object_costs_one_request_and_comes_byte_for_byte() {
    let mut world = World::filtered().await;
    world.server.put(&pod("web"), marked("web"));
    for _ in 0..3 {
        let target = format!("{}?pretty=%74rue&x=%2F", pod("web"));
        let read = world.get(&target).await;
        assert_eq!(read.status, 200);
        assert_eq!(read.body, marked("web").to_string());
        assert_eq!(world.server.lines(), [format!("GET {target}")]);
    }
    assert!(world.server.connections() <= 3, "two for the watches and one for all requests");
}

#[tokio::test]
async fn an_unmanaged_object_is_not_found_and_costs_one_request() {
    let mut world = World::filtered().await;
    world.server.put(&pod("web"), object("web"));
    let before = world.server.connections();
    for _ in 0..3 {
        let read = world.get_pod("web").await;
        assert_eq!((read.status.as_u16(), read.refusal()), (404, Some("not_managed")));
        assert_eq!(read.message(), "resource not managed by app");
        assert_eq!(world.server.lines(), [format!("GET {}", pod("web"))]);
    }
    assert!(world.server.connections() <= before + 2, "an answer that is not shown does not cost its connection");
}

#[tokio::test]
async fn what_the_api_server_says_no_to_comes_verbatim() {
    let mut world = World::filtered().await;
    world.server.fail(&pod("secret"), 403);
    let read = world.get_pod("secret").await;
    assert_eq!((read.status.as_u16(), read.refusal()), (403, None));
    assert!(read.message().ends_with("is not for you"));
    let read = world.get_pod("none").await;
    assert_eq!((read.status.as_u16(), read.refusal()), (404, None));
    assert!(read.message().ends_with("not found"));
}

#[tokio::test]
async fn an_object_is_managed_through_its_owners_uid_for_uid() {
    let mut world = World::filtered().await;
    world.server.put(&pod("web"), owned("web", &[("ReplicaSet", "rs")]));
    world.server.put(&replica_set("rs"), owned("rs", &[("Deployment", "web-d")]));
    world.server.put(&deployment("web-d"), marked("web-d"));
    assert_eq!(world.get_pod("web").await.status, 200);
    let seen = world.server.take();
    let lines: Vec<String> = seen.iter().map(super::server::Seen::line).collect();
    let get = |path: String| format!("GET {path}");
    let chain = [get(replica_set("rs")), get(deployment("web-d"))];
    assert_eq!(lines, [&[get(pod("web")), get("/apis/apps/v1".to_owned())][..], &chain].concat());
    for owner in &seen[2..] {
        let accept = owner.headers["accept"].to_str().unwrap();
        assert_eq!(accept, "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json");
    }

    assert_eq!(world.get_pod("web").await.status, 200);
    let again = world.server.lines();
    assert_eq!(again, [&[get(pod("web"))][..], &chain].concat(), "discovery is asked once");

    let mut other = marked("web-d");
    other["metadata"]["uid"] = json!("another-one-of-that-name");
    world.server.put(&deployment("web-d"), other);
    assert_eq!(world.get_pod("web").await.refusal(), Some("not_managed"));
}

#[tokio::test]
async fn five_references_are_followed_and_no_sixth() {
    let mut world = World::filtered().await;
    for (at, next) in [("web", "r1"), ("r1", "r2"), ("r2", "r3"), ("r3", "r4"), ("r4", "r5"), ("r5", "r6")] {
        let path = if at == "web" { pod(at) } else { replica_set(at) };
        world.server.put(&path, owned(at, &[("ReplicaSet", next)]));
    }
    world.server.put(&replica_set("r6"), marked("r6"));
    assert_eq!(world.get_pod("web").await.refusal(), Some("not_managed"));
    assert!(!world.server.lines().contains(&format!("GET {}", replica_set("r6"))));
    world.server.put(&replica_set("r5"), marked("r5"));
    assert_eq!(world.get_pod("web").await.status, 200);
}

#[tokio::test]
async fn a_cycle_of_owners_ends() {
    let mut world = World::filtered().await;
    world.server.put(&pod("web"), owned("web", &[("ReplicaSet", "a")]));
    world.server.put(&replica_set("a"), owned("a", &[("ReplicaSet", "b")]));
    world.server.put(&replica_set("b"), owned("b", &[("ReplicaSet", "a"), ("ReplicaSet", "b")]));
    assert_eq!(world.get_pod("web").await.refusal(), Some("not_managed"));
    assert_eq!(world.server.lines().len(), 4);
}

#[tokio::test]
async fn an_owner_that_cannot_be_read_hides_no_other_and_leaves_it_open_where_there_is_none() {
    let mut world = World::filtered().await;
    world.server.put(&pod("web"), owned("web", &[("ReplicaSet", "closed"), ("Deployment", "d")]));
    world.server.fail(&replica_set("closed"), 403);
    world.server.put(&deployment("d"), marked("d"));
    assert_eq!(world.get_pod("web").await.status, 200);

    world.server.put(&deployment("d"), object("d"));
    let read = world.get_pod("web").await;
    assert_eq!((read.status.as_u16(), read.refusal()), (503, Some("undecidable")));
    assert!(read.message().ends_with("replicasets/closed is not for you"), "{}", read.message());
}

#[tokio::test]
async fn an_owner_of_the_cluster_is_looked_for_in_the_cluster() {
    let mut world = World::filtered().await;
    let mut mirror = owned("mirror", &[]);
    mirror["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "uid-n1"}]);
    world.server.put(&pod("mirror"), mirror);
    world.server.put("/api/v1/nodes/n1", marked("n1"));
    assert_eq!(world.get_pod("mirror").await.status, 200);
}

#[tokio::test]
async fn references_to_kinds_that_do_not_exist_cost_next_to_nothing() {
    let mut world = World::filtered().await;
    let mut bad = owned("bad", &[("Unheard", "x")]);
    let more = [
        json!({"apiVersion": "no.such.group/v1", "kind": "X", "name": "x", "uid": "1"}),
        json!({"apiVersion": "../../api/v1", "kind": "Pod", "name": "x", "uid": "2"}),
        json!({"apiVersion": "v1", "kind": "Pod", "name": "../secrets/s", "uid": "3"}),
        json!({"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": ""}),
    ];
    bad["metadata"]["ownerReferences"].as_array_mut().unwrap().extend(more);
    world.server.put(&pod("bad"), bad);
    for _ in 0..20 {
        assert_eq!(world.get_pod("bad").await.refusal(), Some("not_managed"));
    }
    let lines = world.server.lines();
    let asked = |path: &str| lines.iter().filter(|line| line.ends_with(path)).count();
    assert_eq!((asked("/apis/apps/v1"), asked("/apis/no.such.group/v1")), (1, 1), "{lines:?}");
    assert_eq!(lines.len(), 22);
}

#[tokio::test]
async fn what_is_owned_by_an_application_is_managed() {
    let mut world = World::filtered().await;
    let mut child = owned("child", &[]);
    child["metadata"]["namespace"] = json!("argocd");
    child["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "name": "app", "uid": "uid-app"}]);
    world.server.put("/api/v1/namespaces/argocd/configmaps/child", child);
    world.server.put("/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/app", object("app"));
    assert_eq!(world.get("/api/v1/namespaces/argocd/configmaps/child").await.status, 200);
}

#[tokio::test]
async fn an_encoding_that_is_not_read_waits_for_a_look_up_and_passes_untouched() {
    let mut world = World::filtered().await;
    world.server.special(|request| async move {
        let yaml = request.headers().get("accept").is_some_and(|accept| accept == "application/yaml");
        if yaml { Ok(raw(200, "application/yaml", "kind: Pod\n")) } else { Err(request) }
    });
    let get = || {
        let mut request = request("GET", &pod("web"));
        request.headers_mut().insert("accept", "application/yaml".parse().unwrap());
        request
    };
    world.server.put(&pod("web"), marked("web"));
    let read = world.send(get()).await;
    assert_eq!((read.status.as_u16(), &read.body[..]), (200, &b"kind: Pod\n"[..]));
    assert_eq!(world.server.lines().len(), 2);

    world.server.put(&pod("web"), object("web"));
    assert_eq!(world.send(get()).await.refusal(), Some("not_managed"));
}

#[tokio::test]
async fn an_object_whose_metadata_come_late_is_not_held_in_full() {
    let mut world = World::filtered().await;
    let big = format!(r#"{{"kind":"Thing","data":"{}","metadata":{{"name":"web"}}}}"#, "x".repeat(5 << 20));
    let body = big.clone();
    world.server.special(move |request| {
        let body = body.clone();
        async move {
            let partial = request.headers().get("accept").is_some();
            if partial { Err(request) } else { Ok(raw(200, "application/json", body)) }
        }
    });
    world.server.put(&pod("web"), marked("web"));
    let read = world.get_pod("web").await;
    assert_eq!(read.refusal().map(|_| read.message()), None);
    assert_eq!((read.status.as_u16(), read.body.len()), (200, big.len()));
    world.server.put(&pod("web"), object("web"));
    assert_eq!(world.get_pod("web").await.refusal(), Some("not_managed"));
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_not_shown() {
    let mut world = World::filtered().await;
    let unreadable = "the answer of the API server cannot be read";
    for (body, text) in [
        ("{\"kind\":\"Pod\",\"metadata\":{\"na", unreadable),
        ("{\"metadata\":{\"name\":1}}", unreadable),
        ("not json", unreadable),
        // Without metadata, so those are asked for, and are none either.
        ("{\"metadata\":12}", "the metadata are malformed"),
    ] {
        world.server.special(move |_| async move { Ok(raw(200, "application/json", body)) });
        let read = world.get_pod("web").await;
        assert_eq!((read.status.as_u16(), read.refusal()), (503, Some("undecidable")), "{body}");
        assert!(read.message().ends_with(text), "{}", read.message());
    }
}

#[tokio::test]
async fn the_namespace_that_an_application_deploys_to_can_be_seen() {
    let applications = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications";
    let mut world = Plan::filtered()
        .build(|server| {
            let application = json!({
                "metadata": {"name": "a", "namespace": "argocd", "uid": "1", "resourceVersion": "1"},
                "spec": {"destination": {"namespace": "shop"}},
            });
            let list = json!({"metadata": {"resourceVersion": "1"}, "items": [application]});
            server.put(applications, list);
        })
        .await;
    for namespace in ["shop", "vault"] {
        world.server.put(&format!("/api/v1/namespaces/{namespace}"), object(namespace));
    }
    assert_eq!(world.get("/api/v1/namespaces/shop").await.status, 200);
    assert_eq!(world.get("/api/v1/namespaces/vault").await.refusal(), Some("not_managed"));
    assert_eq!(world.send(request("DELETE", "/api/v1/namespaces/shop")).await.refusal(), Some("not_managed"));
}

#[tokio::test]
async fn nothing_is_decided_before_the_settings_are_known_and_the_refusal_names_the_permission() {
    let config_maps = "/api/v1/namespaces/argocd/configmaps";
    let mut world = Plan::filtered().build(|server| server.fail(config_maps, 403)).await;
    world.server.put(&pod("web"), marked("web"));
    let read = world.get_pod("web").await;
    assert_eq!((read.status.as_u16(), read.refusal()), (503, Some("undecidable")));
    assert!(read.message().contains("cannot read ConfigMap argocd-cm: /api/v1/namespaces/argocd/configmaps is not"));
    assert_eq!(world.server.lines(), Vec::<String>::new());
    assert_eq!(world.get("/version").await.refusal(), None, "what is about no object passes");

    world.server.heal(config_maps);
    let healed = async {
        while world.get_pod("web").await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(super::world::LONG, healed).await.unwrap();
}

#[tokio::test]
async fn decisions_and_requests_are_counted() {
    let mut world = World::filtered().await;
    world.server.put(&pod("web"), marked("web"));
    world.get_pod("web").await;
    world.server.special(|_| async { Ok(status(500, "broken")) });
    world.get_pod("web").await;
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &world.registry).unwrap();
    for line in [
        r#"filter_decisions_total{decision="marked"} 1"#,
        r#"filter_decisions_total{decision="no_object"} 1"#,
        r#"upstream_requests_total{purpose="client",outcome="success"} 1"#,
        r#"upstream_requests_total{purpose="client",outcome="server_error"} 1"#,
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}
