//! Lists, filtered.

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, UPGRADE};
use serde_json::{Value, json};
use std::io::Write;

use super::{
    server::{deployment, marked, object, owned, raw, replica_set},
    world::{Read, World, request},
};

const PODS: &str = "/api/v1/namespaces/shop/pods";
const CONFIG_MAP: &str = "/api/v1/namespaces/shop/secrets";

pub(super) fn list(kind: &str, items: &[Value]) -> Value {
    json!({"kind": kind, "apiVersion": "v1", "metadata": {"resourceVersion": "7"}, "items": items})
}

/// The names of the items in a list.
pub(super) fn names(read: &Read) -> Vec<String> {
    let list: Value = serde_json::from_slice(&read.body).unwrap();
    let items = list["items"].as_array().unwrap();
    items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn only_what_is_managed_is_listed_and_as_it_came() {
    let mut world = World::filtered().await;
    let items = [marked("a"), object("b"), owned("c", &[("ReplicaSet", "set")]), object("d"), marked("e")];
    let mut answer = list("PodList", &items);
    answer["metadata"]["remainingItemCount"] = json!(12);
    answer["metadata"]["continue"] = json!("more");
    world.server.put(PODS, answer);
    world.server.put(&replica_set("set"), marked("set"));
    let read = world.get(&format!("{PODS}?limit=5")).await;
    assert_eq!(read.status, 200);
    let mut expected = list("PodList", &[items[0].clone(), items[2].clone(), items[4].clone()]);
    expected["metadata"]["continue"] = json!("more");
    assert_eq!(serde_json::from_slice::<Value>(&read.body).unwrap(), expected);
    let length: usize = read.headers[CONTENT_LENGTH].to_str().unwrap().parse().unwrap();
    assert_eq!(length, read.body.len());
    assert_eq!(
        world.server.lines(),
        [format!("GET {PODS}?limit=5"), "GET /apis/apps/v1".to_owned(), format!("GET {}", replica_set("set")),]
    );
}

#[tokio::test]
async fn owners_are_asked_for_by_the_page() {
    let mut world = World::filtered().await;
    let pods: Vec<_> =
        (0..500).map(|n| owned(&format!("p{n}"), &[("ReplicaSet", &format!("set{}", n % 50))])).collect();
    let sets: Vec<_> =
        (0..50).map(|n| owned(&format!("set{n}"), &[("Deployment", &format!("web{}", n % 10))])).collect();
    let deployments: Vec<_> =
        (0..10).map(|n| if n < 5 { marked(&format!("web{n}")) } else { object(&format!("web{n}")) }).collect();
    world.server.put(PODS, list("PodList", &pods));
    world.server.put("/apis/apps/v1/namespaces/shop/replicasets", list("ReplicaSetList", &sets));
    world.server.put("/apis/apps/v1/namespaces/shop/deployments", list("DeploymentList", &deployments));
    assert_eq!(names(&world.get(PODS).await).len(), 250);
    let lines = world.server.lines();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert_eq!(names(&world.get(PODS).await).len(), 250);
    assert_eq!(world.server.lines(), [format!("GET {PODS}")], "what was read a moment ago is known");
}

#[tokio::test]
async fn nothing_managed_is_an_empty_list() {
    let mut world = World::filtered().await;
    world.server.put(PODS, list("PodList", &[object("a"), object("b")]));
    let read = world.get(PODS).await;
    assert_eq!(read.body, list("PodList", &[]).to_string());
    assert_eq!(read.status, 200);
}

#[tokio::test]
async fn what_was_compressed_leaves_compressed() {
    let mut world = World::filtered().await;
    let items: Vec<_> = (0..2_000).map(|n| if n % 2 == 0 { marked(&format!("m{n}")) } else { object("o") }).collect();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(list("SecretList", &items).to_string().as_bytes()).unwrap();
    let compressed = Bytes::from(gzip.finish().unwrap());
    world.server.special(move |request| {
        let compressed = compressed.clone();
        async move {
            if request.uri().path() != CONFIG_MAP {
                return Err(request);
            }
            let mut answer = raw(200, "application/json", compressed);
            answer.headers_mut().insert(CONTENT_ENCODING, "gzip".parse().unwrap());
            Ok(answer)
        }
    });
    let mut read = world.get(CONFIG_MAP).await;
    assert_eq!(read.headers[CONTENT_ENCODING], "gzip");
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*read.body), &mut plain).unwrap();
    read.body = plain.into();
    assert_eq!(names(&read).len(), 1_000);
}

#[tokio::test]
async fn only_encodings_that_are_read_are_asked_for_and_no_other_protocol() {
    let mut world = World::filtered().await;
    world.server.put(PODS, list("PodList", &[]));
    let mut call = request("GET", PODS);
    let headers = call.headers_mut();
    headers.insert(ACCEPT, "application/yaml, application/json;q=0.5".parse().unwrap());
    headers.insert("connection", "upgrade".parse().unwrap());
    headers.insert(UPGRADE, "websocket".parse().unwrap());
    assert_eq!(world.send(call).await.status, 200);
    let seen = world.server.take();
    assert_eq!(seen[0].headers[ACCEPT], "application/json;q=0.5");
    assert!(!seen[0].headers.contains_key(UPGRADE));
}

#[tokio::test]
async fn errors_of_the_api_server_are_its_own() {
    let mut world = World::filtered().await;
    world.server.fail(PODS, 403);
    let read = world.get(PODS).await;
    assert_eq!((read.status.as_u16(), read.refusal()), (403, None));
    assert_eq!(read.message(), format!("{PODS} is not for you"));
}

#[tokio::test]
async fn what_cannot_be_read_is_refused() {
    let mut world = World::filtered().await;
    let whole = list("PodList", &[marked("a")]).to_string();
    let huge = format!(r#"{{"kind":"PodList","items":[{{"metadata":{{}},"x":"{}"}}]}}"#, "x".repeat(17 << 20));
    for (content_type, body, status, label) in [
        ("application/yaml", "kind: PodList", 503, "undecidable"),
        ("text/plain", whole.as_str(), 503, "undecidable"),
        ("application/json", "gibberish", 503, "undecidable"),
        ("application/json", "", 503, "undecidable"),
        ("application/json", whole.get(..whole.len() - 20).unwrap(), 503, "undecidable"),
        ("application/json", r#"{"kind":"PodList","items":[{"spec":{}}]}"#, 503, "undecidable"),
        ("application/json", r#"{"kind":"PodList","items":[],"others":[]}"#, 503, "undecidable"),
        ("application/json", huge.as_str(), 502, "item_too_large"),
    ] {
        let (content_type, body) = (content_type.to_owned(), Bytes::from(body.to_owned()));
        let what = format!("{content_type}: {:.80}", String::from_utf8_lossy(&body));
        world.server.special(move |request| {
            let answer = raw(200, &content_type, body.clone());
            async move { if request.uri().path() == PODS { Ok(answer) } else { Err(request) } }
        });
        let read = world.get(PODS).await;
        assert_eq!((read.status.as_u16(), read.refusal()), (status, Some(label)), "{what}");
    }
}

#[tokio::test]
async fn owners_that_may_not_be_read_are_told() {
    let mut world = World::filtered().await;
    world.server.put(PODS, list("PodList", &[marked("a"), owned("b", &[("Deployment", "web")])]));
    world.server.fail("/apis/apps/v1/namespaces/shop/deployments", 403);
    world.server.fail(&deployment("web"), 403);
    let read = world.get(PODS).await;
    assert_eq!((read.status.as_u16(), read.refusal()), (503, Some("undecidable")));
    assert!(read.message().contains(&format!("{} is not for you", deployment("web"))), "{}", read.message());
}

#[tokio::test]
async fn what_goes_wrong_later_breaks_the_answer_off() {
    let mut world = World::filtered().await;
    let mut large = marked("a");
    large["data"] = json!({"large": "x".repeat(200_000)});
    let mut whole = list("PodList", &[large.clone(), large, object("hidden")]).to_string();
    whole.truncate(whole.len() - 30);
    world.server.special(move |request| {
        let answer = raw(200, "application/json", whole.clone());
        async move { if request.uri().path() == PODS { Ok(answer) } else { Err(request) } }
    });
    let answer = world.begin(request("GET", PODS)).await;
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    let mut read = Vec::new();
    let error = loop {
        match http_body_util::BodyExt::frame(&mut body).await.expect("it does not end as if it were whole") {
            Ok(frame) => read.extend_from_slice(frame.data_ref().unwrap()),
            Err(error) => break error,
        }
    };
    assert!(error.is_incomplete_message() || error.is_body_write_aborted() || !error.to_string().is_empty());
    assert!(!String::from_utf8_lossy(&read).contains("hidden"));
}
