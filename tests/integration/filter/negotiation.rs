//! Lists and watches come in an encoding that the filter can read, or not at all.

use harness::{
    client::{get, get_as},
    scene::Scene,
    shown::List,
    watched::Watch,
};
use http::header::CONTENT_TYPE;

use super::mixed::{PROTOBUF, TABLE};

/// What the filter does not read, alone.
const UNREADABLE: [&str; 6] = [
    "application/yaml",
    "application/cbor",
    "application/yaml,application/cbor",
    "application/yaml;as=Table;v=v1;g=meta.k8s.io",
    "application/cbor;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
    "text/html",
];

#[tokio::test]
async fn what_the_filter_cannot_read_is_not_acceptable_alone() {
    let scene = both("unacceptable").await;
    for accept in UNREADABLE {
        for target in [scene.core("configmaps"), scene.core("configmaps?watch=true&timeoutSeconds=1")] {
            let answer = scene.door.ask(get_as(&target, accept)).await;
            assert_eq!(answer.status, 406, "{target} {accept}: {}", answer.text());
            assert!(!answer.text().contains("unmanaged"), "{}", answer.text());
            let status = answer.json();
            assert_eq!((&status["kind"], &status["reason"]), (&"Status".into(), &"NotAcceptable".into()));
        }
    }
}

#[tokio::test]
async fn of_several_encodings_the_filter_leaves_out_what_it_cannot_read() {
    let scene = both("acceptable").await;
    for (accept, like) in [
        ("application/yaml, application/json", "application/json"),
        ("application/yaml;q=1.0, application/json;q=0.1", "application/json"),
        ("application/cbor, application/vnd.kubernetes.protobuf", PROTOBUF),
        ("application/yaml, */*", "application/json"),
        ("application/yaml;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1;g=meta.k8s.io", TABLE),
        ("application/cbor-seq,application/cbor,application/json", "application/json"),
    ] {
        let list = scene.core("configmaps");
        let answer = scene.door.ask(get_as(&list, accept)).await;
        assert_eq!(List::read(&answer).names(), ["managed"], "{accept}");
        let direct = scene.direct.ask(get_as(&list, like)).await;
        assert_eq!(answer.headers[CONTENT_TYPE], direct.headers[CONTENT_TYPE], "{accept}");
        Watch::open(&scene.door, &format!("{list}?watch=1"), accept).await.expect("ADDED", "managed").await;
    }
    // No Accept at all, and an empty one, are JSON.
    assert_eq!(List::read(&scene.door.ask(get(&scene.core("configmaps"))).await).names(), ["managed"]);
    assert_eq!(List::read(&scene.door.ask(get_as(&scene.core("configmaps"), "")).await).names(), ["managed"]);
}

#[tokio::test]
async fn several_accept_headers_are_one() {
    let scene = both("accepts").await;
    let list = scene.core("configmaps");
    let mut request = get_as(&list, "application/yaml");
    request.headers_mut().append("accept", "application/json".parse().unwrap());
    // The API server goes by the first alone, or by all of them: never is anything shown that was not filtered.
    let answer = scene.door.ask(request).await;
    if answer.status == 200 {
        assert_eq!(List::read(&answer).names(), ["managed"]);
    } else {
        assert_eq!(answer.status, 406, "{}", answer.text());
    }
}

#[tokio::test]
async fn what_is_compressed_otherwise_than_with_gzip_is_not_asked_for() {
    let scene = both("compressed").await;
    for encoding in ["br", "zstd", "deflate", "br, gzip", "gzip;q=0", "*"] {
        let mut request = get_as(&scene.core("configmaps"), "application/json");
        request.headers_mut().insert("accept-encoding", encoding.parse().unwrap());
        let answer = scene.door.ask(request).await;
        assert_eq!(List::read(&answer).names(), ["managed"], "{encoding}");
    }
}

async fn both(name: &str) -> Scene {
    let scene = Scene::filtered(name).await;
    scene.tracked("managed").await;
    scene.untracked("unmanaged").await;
    scene
}
