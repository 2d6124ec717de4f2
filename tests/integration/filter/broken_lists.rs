//! Lists of an API server that is broken: nothing of them is ever shown unfiltered, and none of them hangs.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use harness::{
    broken::{Broken, PODS, SECRET, Taken, envelope, message, pod, pod_message},
    client::{Protocol, get},
    faulty::{self, Body},
};
use http::Response;
use serde_json::{Value, json};

use super::mixed::{PROTOBUF, TABLE};

const JSON: &str = "application/json";

#[tokio::test]
async fn a_sound_list_is_filtered_so_that_what_follows_means_something() {
    for (content_type, body) in [(JSON, list(&[pod("a", true), pod("b", false)])), (PROTOBUF, protobuf_list())] {
        let taken = ask(content_type, body, content_type).await;
        taken.assert_hides(content_type);
        assert_eq!((taken.status.as_u16(), taken.is_cut), (200, false), "{}", taken.text());
        assert!(taken.text().contains("in public"), "{}", taken.text());
    }
}

#[tokio::test]
async fn json_that_is_none_or_breaks_off_is_an_error() {
    let whole = String::from_utf8(list(&[pod("a", true), pod("b", false), pod("c", true)])).unwrap();
    let mut bodies: Vec<(String, Vec<u8>)> = Vec::new();
    // Everywhere within it.
    for end in (0..whole.len()).step_by(7) {
        bodies.push((format!("cut behind {end}"), whole.as_bytes()[..end].to_vec()));
    }
    for (what, body) in [
        ("garbage", "\0\u{1}{nonsense".to_owned()),
        ("text", "hello".to_owned()),
        ("an array", format!(r#"[{}]"#, pod("b", false))),
        ("two lists", format!("{whole}{whole}")),
        ("garbage behind it", format!("{whole}garbage {SECRET}")),
        ("items that are none", whole.replace(r#""items":["#, r#""items":"x","more":["#)),
        ("a number among the items", whole.replacen(r#""items":["#, r#""items":[1,"#, 1)),
        ("no comma", whole.replace("},{", "}{")),
        ("no colon", whole.replace(r#""spec":"#, r#""spec" "#)),
        ("nested without end", "[".repeat(200_000)),
        ("items nested without end", whole.replace(r#""hunter2""#, &"[".repeat(200_000))),
        ("a string without end", format!(r#"{{"kind":"PodList","items":[{{"spec":"{}"#, "x".repeat(1 << 20))),
    ] {
        bodies.push((what.to_owned(), body.into_bytes()));
    }
    ask_each(JSON, bodies).await.iter().for_each(|(what, taken)| taken.assert_fails(what));
}

#[tokio::test]
async fn items_that_do_not_say_what_they_are_are_never_shown() {
    let hidden = pod("b", false);
    let with = |key: &str, value: Value| {
        let mut object = hidden.clone();
        object[key] = value;
        object
    };
    let marked = pod("a", true)["metadata"].clone();
    let mut no_uid = pod("b", false);
    no_uid["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "x"}]);
    for (what, item) in [
        ("no metadata", json!({"spec": {"said": SECRET}})),
        ("metadata that are null", with("metadata", Value::Null)),
        ("metadata that are text", with("metadata", "argocd.argoproj.io/tracking-id".into())),
        ("metadata that are a list", with("metadata", json!([marked]))),
        ("metadata elsewhere", with("spec", json!({"said": SECRET, "metadata": marked}))),
        ("another spelling", with("Metadata", marked.clone())),
        ("annotations that are text", with("metadata", json!({"annotations": "argocd.argoproj.io/tracking-id"}))),
        ("a mark that is a number", with("metadata", json!({"annotations": {"argocd.argoproj.io/tracking-id": 1}}))),
        ("a mark that is null", with("metadata", json!({"annotations": {"argocd.argoproj.io/tracking-id": null}}))),
        ("an owner that says nothing", no_uid),
        ("text", json!(SECRET)),
        ("a list", json!([SECRET])),
        ("null", Value::Null),
    ] {
        let taken = ask(JSON, list(&[pod("a", true), item]), JSON).await;
        taken.assert_hides(what);
        assert!(taken.is_cut || taken.status.is_server_error() || taken.status == 200, "{what}: {}", taken.excerpt());
    }
    // Said twice: whoever reads may take either.
    let twice = String::from_utf8(list(std::slice::from_ref(&hidden))).unwrap();
    for (what, body) in [
        ("marked first", twice.replacen(r#"{"metadata":"#, &format!(r#"{{"metadata":{marked},"metadata":"#), 1)),
        ("marked last", twice.replacen(r#""spec":"#, &format!(r#""metadata":{marked},"spec":"#), 1)),
        ("items twice", twice.replacen(r#""items":"#, &format!(r#""items":[{}],"items":"#, pod("a", true)), 1)),
        ("an annotation twice", twice.replacen(
            r#""name":"b""#,
            r#""annotations":{"argocd.argoproj.io/tracking-id":"x","argocd.argoproj.io/tracking-id":""},"name":"b""#,
            1,
        )),
    ] {
        assert!(serde_json::from_str::<Value>(&body).is_ok(), "{what}");
        ask(JSON, body.into_bytes(), JSON).await.assert_hides(what);
    }
}

#[tokio::test]
async fn protobuf_that_is_none_or_breaks_off_is_an_error() {
    let whole = protobuf_list();
    let list = |items: &[&[u8]]| {
        let mut list = message(&[(1, &message(&[(2, b"7")]))]);
        items.iter().for_each(|item| list.extend(message(&[(2, item)])));
        list
    };
    let hidden = pod_message("b", false);
    // Behind these an envelope may end: it is then an empty one.
    let legal = [4, envelope("PodList", b"").len() - 2];
    let cut = |end: usize| (format!("cut behind {end}"), whole[..end].to_vec());
    let mut bodies: Vec<(String, Vec<u8>)> = (0..whole.len()).filter(|end| !legal.contains(end)).map(cut).collect();
    for (what, body) in [
        ("no envelope", list(&[&hidden])),
        ("another magic", [b"k9s\0", &whole[4..]].concat()),
        ("a length beyond the end", [&whole[..], &[0x12, 0xff, 0x7f]].concat()),
        ("a number that does not end", [&whole[..], &[0xff; 12]].concat()),
        ("groups", envelope("PodList", &[0x0b, 0x0c])),
        ("field 0", envelope("PodList", &[0x02, 0x01, b'x'])),
        ("an item that is a number", envelope("PodList", &[0x10, 0x01])),
        ("JSON in the envelope", envelope("PodList", &self::list(&[pod("b", false)]))),
    ] {
        bodies.push((what.to_owned(), body));
    }
    ask_each(PROTOBUF, bodies).await.iter().for_each(|(what, taken)| taken.assert_fails(what));
    // Two that are legal protobuf, which adds up what is said twice.
    let mark = message(&[(12, &message(&[(1, b"argocd.argoproj.io/tracking-id"), (2, b"")]))]);
    for (what, item) in [
        ("no metadata", message(&[(2, &message(&[(10, SECRET.as_bytes())]))])),
        ("an empty mark", [hidden.clone(), message(&[(1, &mark)])].concat()),
        ("a mark elsewhere", [hidden.clone(), message(&[(3, &pod_message("a", true))])].concat()),
    ] {
        ask(PROTOBUF, envelope("PodList", &list(&[&item])), PROTOBUF).await.assert_hides(what);
    }
}

#[tokio::test]
async fn an_answer_that_is_not_what_it_says_is_an_error() {
    let (json, protobuf) = (list(&[pod("b", false)]), protobuf_list());
    let not_shown = [pod("b", false)];
    for (what, content_type, body, accept) in [
        ("JSON called protobuf", PROTOBUF, json.clone(), PROTOBUF),
        ("protobuf called JSON", JSON, protobuf, JSON),
        ("JSON called YAML", "application/yaml", json.clone(), JSON),
        ("JSON called CBOR", "application/cbor", json.clone(), JSON),
        ("a page of a website", "text/html", format!("<html>{SECRET}").into_bytes(), JSON),
        ("nothing", "", json.clone(), JSON),
        ("no list", JSON, not_shown[0].to_string().into_bytes(), JSON),
        ("a list called a table", "application/json;as=Table;v=v1;g=meta.k8s.io", json.clone(), TABLE),
    ] {
        let taken = ask(content_type, body, accept).await;
        taken.assert_hides(what);
        let is_error = taken.is_cut || taken.status.is_server_error();
        // A table that is a list may be read as the list that it is.
        assert!(is_error || what == "a list called a table", "{what}: {} {}", taken.status, taken.text());
    }
    for (what, encoding, body) in [
        ("no gzip called gzip", "gzip", json.clone()),
        ("half of it", "gzip", gzip(&json)[..60].to_vec()),
        ("gzip and something else", "gzip", [gzip(&json), SECRET.into()].concat()),
        ("gzip twice", "gzip, gzip", gzip(&gzip(&json))),
        ("another compression", "br", json.clone()),
        ("an unknown one", "x-nonsense", json.clone()),
    ] {
        let taken = ask_encoded(encoding, body).await;
        taken.assert_hides(what);
        assert!(taken.is_cut || !taken.status.is_success() || what.starts_with("gzip"), "{what}: {}", taken.text());
    }
}

#[tokio::test]
async fn an_item_over_sixteen_mebibytes_is_told_when_it_comes_first_and_later_breaks_the_list_off() {
    let large = |is_first: bool| {
        let mut large = pod("large", true);
        let stuffing = Value::from("x".repeat(17 << 20));
        if is_first {
            // Before the metadata, as only a custom resource has it: `a` comes before `metadata`.
            large["a"] = stuffing;
        } else {
            large["spec"]["stuffing"] = stuffing;
        }
        large
    };
    for is_first in [true, false] {
        let taken = ask(JSON, list(&[large(is_first), pod("b", false)]), JSON).await;
        taken.assert_fails("first");
        assert!(!taken.is_cut && taken.status == 502, "{} {}", taken.status, taken.is_cut);
        assert!(taken.text().contains("16 MiB"), "{}", taken.text());

        // Enough before it that the answer has begun.
        let mut items: Vec<_> = (0..64).map(|number| pod(&format!("p-{number}"), true)).collect();
        for item in &mut items {
            item["spec"]["stuffing"] = "y".repeat(256 << 10).into();
        }
        items.extend([large(is_first), pod("b", false)]);
        let taken = ask(JSON, list(&items), JSON).await;
        taken.assert_hides("later");
        assert!(taken.is_cut && taken.status == 200, "{} {}", taken.status, taken.body.len());
    }
    let large = [pod_message("large", true), message(&[(2, &vec![b'x'; 17 << 20])])].concat();
    let body = envelope("PodList", &message(&[(1, b""), (2, &large), (2, &pod_message("b", false))]));
    let taken = ask(PROTOBUF, body, PROTOBUF).await;
    taken.assert_fails("protobuf");
    assert!(!taken.is_cut && taken.status == 502 && taken.text().contains("16 MiB"), "{}", taken.text());
}

#[tokio::test]
async fn an_answer_that_is_cut_or_falls_silent_is_so_for_the_client() {
    let cut = Broken::pods(|_| {
        let body = faulty::cut_after(br#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[{"metadata":{"name":"b"},"spec":{"said":"hunter2"}"#);
        Response::builder().header("content-type", JSON).body(body).unwrap()
    })
    .await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        cut.take("", JSON, protocol).await.assert_fails("cut");
    }
    // One that says no more says no more: but others go on.
    let silent = Broken::pods(|_| {
        let body = faulty::silent_after(br#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":["#);
        Response::builder().header("content-type", JSON).body(body).unwrap()
    })
    .await;
    let mut waiting = silent.door.connect(Protocol::Http2).await;
    let mut other = waiting.share();
    tokio::select! {
        answer = waiting.ask(get(PODS)) => assert!(!answer.status.is_success(), "{}", answer.text()),
        version = other.ask(get("/api/v1")) => drop(version.expect_status(200)),
    }
}

#[tokio::test]
async fn what_the_api_server_refuses_is_its_own_answer_also_where_it_is_odd() {
    for (status, content_type, body) in [
        (500, "text/plain", "out of order"),
        (429, JSON, r#"{"kind":"Status","code":429}"#),
        (404, "text/plain", "404 page not found"),
        (403, JSON, "{half"),
    ] {
        let broken = Broken::pods(move |_| faulty::answer(status, content_type, body)).await;
        let taken = broken.take("", JSON, Protocol::Http1).await;
        assert_eq!((taken.status.as_u16(), taken.text().as_str(), taken.is_cut), (status, body, false));
    }
}

async fn ask_each(content_type: &'static str, bodies: Vec<(String, Vec<u8>)>) -> Vec<(String, Taken)> {
    let (names, bodies): (Vec<_>, Vec<_>) = bodies.into_iter().unzip();
    let answer = move |body: &Vec<u8>| faulty::answer(200, content_type, body.clone());
    names.into_iter().zip(Broken::each(bodies, "", content_type, answer).await).collect()
}

async fn ask(content_type: &str, body: Vec<u8>, accept: &str) -> Taken {
    let content_type = content_type.to_owned();
    let answer = move || -> Response<Body> {
        let mut answer = faulty::answer(200, "text/plain", body.clone());
        if content_type.is_empty() {
            answer.headers_mut().remove("content-type");
        } else {
            answer.headers_mut().insert("content-type", content_type.parse().unwrap());
        }
        answer
    };
    Broken::pods(move |_| answer()).await.take("", accept, Protocol::Http1).await
}

async fn ask_encoded(encoding: &'static str, body: Vec<u8>) -> Taken {
    let answer = move || {
        let mut answer = faulty::answer(200, JSON, body.clone());
        answer.headers_mut().insert("content-encoding", encoding.parse().unwrap());
        answer
    };
    Broken::pods(move |_| answer()).await.take("", JSON, Protocol::Http1).await
}

fn list(items: &[Value]) -> Vec<u8> {
    let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}, "items": items});
    list.to_string().into_bytes()
}

fn protobuf_list() -> Vec<u8> {
    let metadata = message(&[(2, b"7")]);
    let items = [(1, &metadata[..]), (2, &pod_message("a", true)), (2, &pod_message("b", false))];
    envelope("PodList", &message(&items))
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}
