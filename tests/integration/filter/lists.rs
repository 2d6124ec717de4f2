//! Lists show what is managed, in the API server's words and in its order, and nothing else.

use harness::{
    client::{Protocol, get, get_as, with_body, with_json},
    eventually,
    scene::{Scene, apply, tracked},
    shown::{Content, List, Object, plain},
};
use serde_json::json;

use super::mixed::{Asking, Mixed, PROTOBUF, TABLE, assert_filtered, map, version};

/// What clients take, and what of it the API server is asked for to compare.
const LISTS: [(&str, &str); 9] = [
    ("application/json", "application/json"),
    ("*/*", "*/*"),
    (PROTOBUF, PROTOBUF),
    ("application/vnd.kubernetes.protobuf,application/json", "application/vnd.kubernetes.protobuf,application/json"),
    (TABLE, TABLE),
    (
        "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
        "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
    ),
    (
        "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
        "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
    ),
    // What the filter does not read is not asked for where there is something else.
    ("application/yaml, application/json", "application/json"),
    ("application/cbor,application/json", "application/json"),
];

#[tokio::test]
async fn a_list_is_the_api_servers_without_what_is_not_managed_in_every_encoding() {
    let mixed = Mixed::make("listed").await;
    for (target, shown) in mixed.lists().await {
        for (accept, like) in LISTS {
            for protocol in [Protocol::Http1, Protocol::Http2] {
                let asking = Asking { like, protocol, ..Asking::for_(accept) };
                let list = mixed.assert_filtered(&target, asking).await;
                assert_eq!(list.objects.len(), shown, "{target} {accept}");
            }
        }
        mixed.assert_filtered(&format!("{target}&pretty=true"), Asking::for_("application/json")).await;
    }
}

#[tokio::test]
async fn the_rows_of_a_table_carry_as_much_of_an_object_as_was_asked_for() {
    let mixed = Mixed::make("tables").await;
    for (target, shown) in mixed.lists().await {
        for include in ["&includeObject=Metadata", "&includeObject=Object", "&includeObject=", ""] {
            for accept in [TABLE, "application/json;as=Table;v=v1beta1;g=meta.k8s.io"] {
                let list = mixed.assert_filtered(&format!("{target}{include}"), Asking::for_(accept)).await;
                assert_eq!(list.objects.len(), shown);
            }
        }
        // Rows without objects: which of them are shown says the same table with metadata.
        let table = async |endpoint: &harness::client::Endpoint, include: &str| {
            List::read(&endpoint.ask(get_as(&format!("{target}&includeObject={include}"), TABLE)).await)
        };
        let none = async || {
            let (rows, bare) = (table(&mixed.scene.direct, "Metadata").await, table(&mixed.scene.direct, "None").await);
            assert_eq!(rows.objects.len(), bare.objects.len());
            let shown = bare.objects.into_iter().zip(&rows.objects).filter(|(_, row)| mixed.shows(row));
            let expected = List { objects: shown.map(|(bare, _)| bare).collect(), ..rows.clone() };
            (expected, table(&mixed.scene.door, "None").await)
        };
        let mut answers = none().await;
        for _ in 0..5 {
            // As everywhere: rows tell the age of things in seconds.
            if answers.0 != answers.1 {
                answers = none().await;
            }
        }
        assert_eq!(answers.1, answers.0, "{target}");
        assert_eq!(answers.1.objects.len(), shown);
        assert!(answers.1.objects.iter().all(|row| row.json()["object"].is_null()));
    }
}

#[tokio::test]
async fn a_large_list_is_compressed_by_the_api_server_and_still_filtered() {
    let scene = Scene::filtered("gzipped").await;
    for number in 0..8 {
        let mut object = map(&scene, &format!("map-{number}"));
        object["data"]["large"] = "0123456789abcdef".repeat(4_000).into();
        apply(&if number % 2 == 0 { tracked(object) } else { object }).await;
    }
    let list = scene.core(&format!("configmaps?labelSelector=scene%3D{}", scene.namespace));
    let list =
        format!("{list}&resourceVersionMatch=Exact&resourceVersion={}", version(&scene.direct.object(&list).await));
    let is_even = |object: &Object| ["map-0", "map-2", "map-4", "map-6"].contains(&object.name.as_str());
    for accept in ["application/json", PROTOBUF] {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let asking = Asking { gzip: true, protocol, ..Asking::for_(accept) };
            let shown = assert_filtered(&scene.door, &list, asking, is_even).await;
            assert_eq!(shown.names(), ["map-0", "map-2", "map-4", "map-6"]);
            // It is what the API server would have compressed that counts, not what is left of it.
            let mut request = get_as(&list, accept);
            request.headers_mut().insert("accept-encoding", "gzip".parse().unwrap());
            let answer = scene.door.connect(protocol).await.ask(request).await;
            assert_eq!(answer.headers["content-encoding"], "gzip");
            assert!(answer.body.len() < plain(&answer).len() / 4);
            let asking = Asking { protocol, ..Asking::for_(accept) };
            assert_filtered(&scene.door, &list, asking, is_even).await;
        }
    }
}

#[tokio::test]
async fn a_list_in_which_nothing_is_managed_is_empty_and_not_missing() {
    let scene = Scene::filtered("nothing").await;
    scene.untracked("a").await;
    for resource in [scene.core("configmaps"), scene.core("secrets"), scene.apps("deployments")] {
        for (accept, like) in LISTS {
            let list = &scene.direct.ask(get_as(&resource, like)).await;
            let version = List::read(list).version;
            let target = format!("{resource}?resourceVersion={version}&resourceVersionMatch=Exact");
            let shown = assert_filtered(&scene.door, &target, Asking { like, ..Asking::for_(accept) }, |_| false).await;
            assert!(shown.objects.is_empty());
        }
        // Clients in Go take `null` for an empty list, others do not.
        assert_eq!(scene.door.object(&resource).await["items"], json!([]));
        let table = scene.door.ask(get_as(&resource, TABLE)).await.expect_status(200).json();
        assert_eq!(table["rows"], json!([]));
    }
}

#[tokio::test]
async fn selectors_select_from_what_is_managed() {
    let mixed = Mixed::make("selected").await;
    let scene = &mixed.scene;
    for (query, names) in [
        ("fieldSelector=metadata.name%3Dmarked", &["marked"][..]),
        ("fieldSelector=metadata.name%3Dunmarked", &[]),
        ("fieldSelector=metadata.name!%3Dmarked", &["owned-by-marked"]),
        ("labelSelector=scene", &["marked", "owned-by-marked"]),
        ("labelSelector=!scene", &[]),
        ("labelSelector=scene%3Dother", &[]),
        ("resourceVersion=0", &["marked", "owned-by-marked"]),
        ("resourceVersion=1&resourceVersionMatch=NotOlderThan", &["marked", "owned-by-marked"]),
        ("watch=false", &["marked", "owned-by-marked"]),
        ("watch=0&timeoutSeconds=5", &["marked", "owned-by-marked"]),
    ] {
        let target = scene.core(&format!("configmaps?{query}"));
        for accept in ["application/json", PROTOBUF, TABLE] {
            let list = List::read(&scene.door.ask(get_as(&target, accept)).await);
            assert_eq!(list.names(), names, "{target} {accept}");
        }
    }
    // What the API server says of a request that is wrong is its own.
    for query in ["labelSelector=((", "fieldSelector=nonsense%3Dx", "resourceVersion=x", "resourceVersionMatch=Exact"] {
        let target = scene.core(&format!("configmaps?{query}"));
        let direct = scene.direct.ask(get(&target)).await;
        let answer = scene.door.ask(get(&target)).await;
        assert_eq!((answer.status, answer.text()), (direct.status, direct.text()), "{query}");
        assert!(!answer.status.is_success(), "{query}");
    }
}

#[tokio::test]
async fn what_is_all_managed_is_listed_byte_for_byte() {
    let scene = Scene::filtered("all").await;
    for number in 0..20 {
        apply(&tracked(map(&scene, &format!("map-{number}")))).await;
    }
    let list = scene.core(&format!("configmaps?labelSelector=scene%3D{}", scene.namespace));
    let list =
        format!("{list}&resourceVersionMatch=Exact&resourceVersion={}", version(&scene.direct.object(&list).await));
    for (accept, like) in LISTS {
        if accept == TABLE {
            continue;
        }
        let direct = scene.direct.ask(get_as(&list, like)).await.expect_status(200);
        let answer = scene.door.ask(get_as(&list, accept)).await.expect_status(200);
        let (answer, direct) = (plain(&answer), plain(&direct));
        assert!(answer == direct, "{accept}\n   door: {answer:?}\n direct: {direct:?}");
    }
}

#[tokio::test]
async fn custom_resources_are_listed_whose_members_come_in_any_order() {
    let scene = Scene::filtered("custom-lists").await;
    let group = format!("{}.example.com", scene.namespace);
    let crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("geese.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"kind": "Goose", "listKind": "GooseList", "plural": "geese", "singular": "goose"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
                "additionalPrinterColumns": [{"name": "Inner", "type": "string", "jsonPath": ".itemz[0].metadata.name"}],
            }],
        },
    });
    scene.direct.ask(with_json("POST", crds, &crd)).await.expect_status(201);
    let geese = format!("/apis/{group}/v1/namespaces/{}/geese", scene.namespace);
    let goose = |name: &str| {
        json!({
            "apiVersion": format!("{group}/v1"), "kind": "Goose",
            // Words that mean something elsewhere in a list, before and behind the metadata. The API server itself takes
            // no object that has `items` on its own level.
            "aaa": {"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "not this"}}, "items": [1, "]}"]},
            "itemz": [{"metadata": {"name": format!("inner-{name}"), "uid": "x"}}, {}],
            "metadata": {"name": name},
            "number": 12_345_678_901_i64, "text": "\u{0}\u{1f980} \"quoted\\\" ]}],", "zzz": {"kind": "GooseList", "items": []},
        })
    };
    eventually("the new kind is served", async || {
        let made = scene.direct.ask(with_json("POST", &geese, &tracked(goose("white")))).await;
        (made.status == 201).then_some(())
    })
    .await;
    scene.direct.ask(with_json("POST", &geese, &goose("grey"))).await.expect_status(201);
    scene.direct.ask(with_json("POST", &geese, &tracked(goose("brown")))).await.expect_status(201);
    let version = version(&scene.direct.object(&geese).await);
    for path in [geese.clone(), format!("/apis/{group}/v1/geese")] {
        let target = format!("{path}?resourceVersion={version}&resourceVersionMatch=Exact");
        for accept in [
            "application/json",
            TABLE,
            "application/vnd.kubernetes.protobuf,application/json",
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
        ] {
            let is_shown = |object: &Object| object.name != "grey";
            let shown = assert_filtered(&scene.door, &target, Asking::for_(accept), is_shown).await;
            assert_eq!(shown.names(), ["brown", "white"], "{target} {accept}");
        }
    }
    scene.direct.ask(with_body("DELETE", &format!("{crds}/geese.{group}"), "application/json", "")).await;
}

#[tokio::test]
async fn every_encoding_is_read_alike_by_these_tests_themselves() {
    let mixed = Mixed::make("read-alike").await;
    for (target, _) in mixed.lists().await {
        let read = async |accept: &str| List::read(&mixed.scene.direct.ask(get_as(&target, accept)).await);
        let json = read("application/json").await;
        assert!(json.objects.iter().any(|object| mixed.shows(object)), "{target}");
        assert!(json.objects.iter().any(|object| !mixed.shows(object)), "{target}");
        let key = |list: &List| -> Vec<_> {
            let key = |object: &Object| {
                (object.uid.clone(), object.namespace.clone(), object.name.clone(), object.version.clone())
            };
            list.objects.iter().map(key).collect()
        };
        for (_, like) in LISTS {
            let other = read(like).await;
            assert_eq!((key(&other), &other.version), (key(&json), &json.version), "{target} {like}");
            let in_protobuf = |object: &Object| matches!(object.content, Content::Protobuf(_));
            assert_eq!(other.objects.iter().all(in_protobuf), like.starts_with(PROTOBUF), "{like}");
        }
        assert_eq!(read(TABLE).await.columns.as_array().map(Vec::is_empty), Some(false));
    }
}
