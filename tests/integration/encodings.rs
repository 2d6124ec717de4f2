//! Whatever a client wants to read or write, it gets and gives the API server's own bytes; and whatever it wants, the
//! filter shows what is managed and nothing else.

use std::io::Read;

use flate2::read::GzDecoder;
use harness::{
    client::{Protocol, assert_same, get, get_as, with_body},
    scene::{Scene, apply, tracked},
};
use serde_json::{Value, json};

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// What clients want an object as.
const OBJECT: [&str; 16] = [
    "*/*",
    "application/json",
    "application/json, */*",
    "application/json;pretty=1",
    "application/vnd.kubernetes.protobuf",
    "application/vnd.kubernetes.protobuf,application/json",
    "application/yaml",
    "application/cbor",
    "application/cbor,application/json",
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
    "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io",
    "application/yaml;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
    "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
    "application/yaml;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
    "application/cbor;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json",
];

#[tokio::test]
async fn an_object_is_the_same_in_every_encoding() {
    let scene = Scene::open("encodings").await;
    scene.untracked("a").await;
    scene.untracked("large").await;
    for accept in OBJECT {
        for target in [scene.core("configmaps/a"), scene.core("configmaps/missing")] {
            assert_same(&scene.door, Protocol::Http1, || get_as(&target, accept)).await;
        }
    }
    for target in tables(&scene, "a") {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            assert_same(&scene.door, protocol, || get_as(&target, OBJECT[9])).await.expect_status(200);
        }
    }
}

#[tokio::test]
async fn the_filter_shows_a_managed_object_unchanged_in_every_encoding() {
    let scene = Scene::filtered("encodings").await;
    scene.tracked("a").await;
    for accept in OBJECT {
        assert_same(&scene.door, Protocol::Http1, || get_as(&scene.core("configmaps/a"), accept)).await;
    }
    for target in tables(&scene, "a") {
        assert_same(&scene.door, Protocol::Http1, || get_as(&target, OBJECT[9])).await.expect_status(200);
    }
}

#[tokio::test]
async fn the_filter_hides_an_unmanaged_object_in_every_encoding() {
    let scene = Scene::filtered("encodings").await;
    scene.untracked("a").await;
    for accept in OBJECT {
        let direct = scene.direct.ask(get_as(&scene.core("configmaps/a"), accept)).await;
        let answer = scene.door.ask(get_as(&scene.core("configmaps/a"), accept)).await;
        if direct.status == 200 {
            answer.assert_not_managed();
        } else {
            assert_eq!(answer.body, direct.body, "{accept}");
        }
    }
    for target in tables(&scene, "a") {
        scene.door.ask(get_as(&target, OBJECT[9])).await.assert_not_managed();
    }
}

/// A single object as a table, in all ways to ask for it.
fn tables(scene: &Scene, name: &str) -> Vec<String> {
    let target = |query: &str| scene.core(&format!("configmaps/{name}{query}"));
    let include = ["", "?includeObject=None", "?includeObject=Metadata", "?includeObject=Object"];
    include.into_iter().map(target).collect()
}

#[tokio::test]
async fn a_large_answer_is_compressed_by_the_api_server_and_by_nobody_else() {
    let (open, filtered) = tokio::join!(Scene::open("gzip"), Scene::filtered("gzip"));
    for scene in [&open, &filtered] {
        for name in ["tracked", "untracked"] {
            let object = json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
                "data": {"large": "0123456789abcdef".repeat(20_000)},
            });
            scene.apply(if name == "tracked" { tracked(object) } else { object }).await;
        }
        let target = scene.core("configmaps/tracked");
        for accept in ["application/json", PROTOBUF, "application/yaml"] {
            let request = || {
                let mut request = get_as(&target, accept);
                request.headers_mut().insert("accept-encoding", "gzip".parse().unwrap());
                request
            };
            for protocol in [Protocol::Http1, Protocol::Http2] {
                let answer = assert_same(&scene.door, protocol, request).await.expect_status(200);
                assert_eq!(answer.headers["content-encoding"], "gzip", "{accept}");
                let mut plain = Vec::new();
                GzDecoder::new(&answer.body[..]).read_to_end(&mut plain).unwrap();
                assert!(plain.len() > 300_000);
            }
            // And without having been asked, it is not.
            let plain = assert_same(&scene.door, Protocol::Http1, || get_as(&target, accept)).await;
            assert!(plain.body.len() > 300_000 && !plain.headers.contains_key("content-encoding"));
        }
    }
    for accept in ["application/json", PROTOBUF, "application/yaml"] {
        let mut request = get_as(&filtered.core("configmaps/untracked"), accept);
        request.headers_mut().insert("accept-encoding", "gzip".parse().unwrap());
        filtered.door.ask(request).await.assert_not_managed();
    }
}

#[tokio::test]
async fn objects_are_written_in_protobuf_yaml_and_json() {
    let (open, filtered) = tokio::join!(Scene::open("bodies"), Scene::filtered("bodies"));
    for scene in [&open, &filtered] {
        let maps = scene.core("configmaps");
        let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: yaml\n  annotations:\n    \
                    argocd.argoproj.io/tracking-id: x\ndata: {from: yaml}\n";
        scene.door.ask(with_body("POST", &maps, "application/yaml", yaml)).await.expect_status(201);

        // Made by the API server itself, so it is what typed clients send.
        scene.tracked("template").await;
        let template = scene.direct.ask(get_as(&scene.core("configmaps/template"), PROTOBUF)).await.body;
        assert!(template.starts_with(b"k8s\0"));
        let mut put = with_body("PUT", &scene.core("configmaps/template"), PROTOBUF, template.clone());
        put.headers_mut().insert("accept", PROTOBUF.parse().unwrap());
        let answer = scene.door.ask(put).await.expect_status(200);
        assert!(answer.body == template, "nothing was changed, so nothing is");

        let review = [&b"k8s\0"[..], &review_in_protobuf()].concat();
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let mut request = with_body("POST", path, PROTOBUF, review);
        request.headers_mut().insert("accept", "application/json".parse().unwrap());
        let answer = scene.door.ask(request).await.expect_status(201).json();
        assert_eq!(answer["status"]["allowed"], true);
        assert_eq!(answer["spec"]["resourceAttributes"]["verb"], "list");
    }
}

/// What is in the envelope: the type, and a `SelfSubjectAccessReview` of `list` in all namespaces.
fn review_in_protobuf() -> Vec<u8> {
    let field = |number: u8, content: &[u8]| {
        let mut bytes = vec![number << 3 | 2, u8::try_from(content.len()).unwrap()];
        bytes.extend_from_slice(content);
        bytes
    };
    let type_meta = [field(1, b"authorization.k8s.io/v1"), field(2, b"SelfSubjectAccessReview")].concat();
    let attributes = [field(1, b"*"), field(2, b"list"), field(5, b"configmaps")].concat();
    let review = field(2, &field(1, &attributes));
    [field(1, &type_meta), field(2, &review)].concat()
}

#[tokio::test]
async fn discovery_and_openapi_are_the_api_servers_with_every_parameter_of_their_type() {
    let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                      application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
    let (open, filtered) = tokio::join!(Scene::open("discovery"), Scene::filtered("discovery"));
    for scene in [&open, &filtered] {
        for target in ["/api?timeout=32s", "/apis?timeout=32s"] {
            for protocol in [Protocol::Http1, Protocol::Http2] {
                let answer = assert_same(&scene.door, protocol, || get_as(target, aggregated)).await;
                let content_type = answer.headers["content-type"].to_str().unwrap();
                assert_eq!(content_type, "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
                let again = || {
                    let mut request = get_as(target, aggregated);
                    request.headers_mut().insert("if-none-match", answer.headers["etag"].clone());
                    request
                };
                assert_same(&scene.door, protocol, again).await.expect_status(304);
            }
            assert_same(&scene.door, Protocol::Http1, || get_as(target, "application/json")).await;
            assert_same(&scene.door, Protocol::Http1, || get_as(target, PROTOBUF)).await;
        }
        let openapi = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
        for (target, accept) in [
            ("/openapi/v2?timeout=32s", openapi),
            ("/openapi/v3?timeout=32s", "application/json, */*"),
            ("/openapi/v3/apis/apps/v1?timeout=32s", "application/json"),
            ("/openapi/v3/api/v1", "application/com.github.proto-openapi.spec.v3.v1.0+protobuf"),
            ("/api/v1?timeout=32s", "application/json, */*"),
            ("/apis/argoproj.io/v1alpha1", "application/json, */*"),
        ] {
            let request = || {
                let mut request = get_as(target, accept);
                request.headers_mut().insert("accept-encoding", "gzip".parse().unwrap());
                request
            };
            assert_same(&scene.door, Protocol::Http1, request).await.expect_status(200);
            assert_same(&scene.door, Protocol::Http2, || get_as(target, accept)).await.expect_status(200);
        }
    }
}

#[tokio::test]
async fn lists_are_the_same_in_every_encoding_without_the_filter() {
    let scene = Scene::open("lists").await;
    let mut last = Value::Null;
    for name in ["a", "b", "c"] {
        last = scene.untracked(name).await;
    }
    let version = last["metadata"]["resourceVersion"].as_str().unwrap();
    let list = format!("{}?resourceVersion={version}&resourceVersionMatch=Exact", scene.core("configmaps"));
    let as_list = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    for accept in OBJECT.into_iter().chain([as_list]) {
        assert_same(&scene.door, Protocol::Http1, || get_as(&list, accept)).await;
        let page = format!("{list}&limit=2");
        assert_same(&scene.door, Protocol::Http2, || get_as(&page, accept)).await;
    }
    let none = format!("{list}&includeObject=None");
    assert_same(&scene.door, Protocol::Http1, || get_as(&none, OBJECT[9])).await.expect_status(200);
}

#[tokio::test]
async fn custom_resources_have_no_protobuf_and_are_shown_all_the_same() {
    let scene = Scene::filtered("custom").await;
    let elsewhere = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": "elsewhere", "namespace": scene.namespace}, "spec": {"any": {"thing": [1, 2, 3]}},
    });
    let path = format!("/apis/argoproj.io/v1alpha1/namespaces/{}/applications/elsewhere", scene.namespace);
    apply(&elsewhere).await;
    scene.door.ask(get(&path)).await.assert_not_managed();
    apply(&tracked(elsewhere)).await;
    for accept in OBJECT {
        assert_same(&scene.door, Protocol::Http1, || get_as(&path, accept)).await;
    }
}
