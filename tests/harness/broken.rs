//! An API server that is right in all that a filter needs to begin with, and whose lists and watches of Pods are what a test
//! makes of them; and callers that take whatever comes, to its end or its break.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};

use crate::{
    World,
    client::{self, Endpoint, Protocol},
    faulty::{self, AGENT, Body, Faulty},
    soon,
    world::Attached,
};

/// An agent with the filter on, before a server whose Pods are broken.
#[derive(Debug)]
pub struct Broken {
    /// The API server.
    pub server: Faulty,
    /// A caller at the door.
    pub door: Endpoint,
    _agent: Attached,
    _world: World,
}

/// Where the Pods are.
pub const PODS: &str = "/api/v1/namespaces/shop/pods";

/// What stands in objects that nobody may see.
pub const SECRET: &str = "hunter2";

/// An answer as far as it came.
#[derive(Debug)]
pub struct Taken {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// What came of its body.
    pub body: Bytes,
    /// Whether it broke off.
    pub is_cut: bool,
}

// === impl Broken ===

impl Broken {
    /// With Pods that are what `pods` answers.
    pub async fn pods(pods: impl Fn(Request<Incoming>) -> Response<Body> + Send + Sync + 'static) -> Self {
        let server = server(pods).await;
        let world = World::start().await;
        let kubeconfig = server.kubeconfig(world.folder());
        let agent = world.agent_with(AGENT, "argocd", |config| config.kube.kubeconfig = Some(kubeconfig)).await;
        Self { door: Endpoint::door(&world, AGENT), server, _agent: agent, _world: world }
    }

    /// With Pods of which each request finds others: the first of these, and so on, by the number in its query. What came
    /// of each is taken in turn.
    pub async fn each<T: Send + Sync + 'static>(
        cases: Vec<T>,
        query: &str,
        accept: &str,
        answer: impl Fn(&T) -> Response<Body> + Send + Sync + 'static,
    ) -> Vec<Taken> {
        let count = cases.len();
        let broken = Self::pods(move |request| {
            let query = request.uri().query().unwrap_or_default();
            let number = query.split('&').find_map(|pair| pair.strip_prefix("case=")?.parse::<usize>().ok());
            answer(&cases[number.expect("the query passes as it is")])
        })
        .await;
        let mut taken = Vec::new();
        for case in 0..count {
            taken.push(broken.take(&format!("?case={case}&{query}"), accept, Protocol::Http1).await);
        }
        taken
    }

    /// Asks for the Pods, and takes what comes.
    ///
    /// # Panics
    /// When neither an end nor a break comes.
    pub async fn take(&self, query: &str, accept: &str, protocol: Protocol) -> Taken {
        let mut connection = self.door.connect(protocol).await;
        let answer = connection.send(client::get_as(&format!("{PODS}{query}"), accept)).await;
        let (head, mut body) = answer.into_parts();
        let mut taken = BytesMut::new();
        let is_cut = loop {
            match soon(body.frame()).await {
                None => break false,
                Some(Err(_)) => break true,
                Some(Ok(frame)) => taken.extend_from_slice(&frame.into_data().unwrap_or_default()),
            }
        };
        Taken { status: head.status, headers: head.headers, body: taken.freeze(), is_cut }
    }
}

/// A server that is right in all but its Pods.
pub async fn server(pods: impl Fn(Request<Incoming>) -> Response<Body> + Send + Sync + 'static) -> Faulty {
    let pods = Arc::new(pods);
    Faulty::http(move |request: Request<Incoming>| {
        let answer = if request.uri().path() == PODS { pods(request) } else { usual(&request) };
        async move { Ok(answer) }
    })
    .await
}

// === impl Taken ===

impl Taken {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Where the body begins, as text for whoever reads of a failure.
    #[must_use]
    pub fn excerpt(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(1000).collect()
    }

    /// Asserts that nothing came that must not be seen.
    ///
    /// # Panics
    /// When something did.
    pub fn assert_hides(&self, what: &str) {
        let shows = self.body.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
        assert!(!shows, "{what}: {}", self.excerpt());
    }

    /// Asserts that this is no whole answer: a Status that tells a fault, or an answer that breaks off. And that nothing
    /// came that must not be seen.
    ///
    /// # Panics
    /// When it is one.
    pub fn assert_fails(&self, what: &str) {
        self.assert_hides(what);
        if self.is_cut {
            return;
        }
        assert!(matches!(self.status.as_u16(), 502 | 503), "{what}: {} {}", self.status, self.excerpt());
        let status: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        assert_eq!(status["kind"], "Status", "{what}: {}", self.excerpt());
        assert_eq!(status["code"], self.status.as_u16(), "{what}");
        let message = status["message"].as_str().unwrap_or_default();
        assert!(!message.is_empty() && self.body.len() < 1024, "{what}: {message}");
    }
}

/// A Pod with the mark, or one that nobody may see.
#[must_use]
pub fn pod(name: &str, is_marked: bool) -> Value {
    let mut metadata = json!({"name": name, "namespace": "shop", "uid": format!("uid-{name}"), "resourceVersion": "5"});
    let mut spec = json!({"said": "in public"});
    if is_marked {
        metadata["annotations"] = json!({"argocd.argoproj.io/tracking-id": "shop:x:y/z"});
    } else {
        spec = json!({"said": SECRET});
    }
    json!({"metadata": metadata, "spec": spec})
}

/// A message in protobuf of these fields, each with its number.
#[must_use]
pub fn message(fields: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, content) in fields {
        bytes.push(number << 3 | 2);
        let mut length = content.len();
        while length >= 0x80 {
            bytes.push(length.to_le_bytes()[0] | 0x80);
            length >>= 7;
        }
        bytes.push(length.to_le_bytes()[0]);
        bytes.extend_from_slice(content);
    }
    bytes
}

/// The same Pods in protobuf.
#[must_use]
pub fn pod_message(name: &str, is_marked: bool) -> Vec<u8> {
    let mut metadata = message(&[(1, name.as_bytes()), (3, b"shop"), (5, format!("uid-{name}").as_bytes()), (6, b"5")]);
    let mark = message(&[(1, b"argocd.argoproj.io/tracking-id"), (2, b"shop:x:y/z")]);
    if is_marked {
        metadata.extend(message(&[(12, &mark)]));
    }
    // PodSpec: 10 is its node's name.
    let spec = message(&[(10, if is_marked { b"in public" } else { SECRET.as_bytes() })]);
    message(&[(1, &metadata), (2, &spec)])
}

/// What is in Kubernetes' envelope.
#[must_use]
pub fn envelope(kind: &str, object: &[u8]) -> Vec<u8> {
    let kind = message(&[(1, b"v1"), (2, kind.as_bytes())]);
    [&b"k8s\0"[..], &message(&[(1, &kind), (2, object)])].concat()
}

/// An answer in these pieces, which ends behind the last of them or goes on without another.
///
/// # Panics
/// When `content_type` is none.
pub fn pieces(content_type: &str, pieces: Vec<Vec<u8>>, ends: bool) -> Response<Body> {
    let pieces = stream::iter(pieces).map(|piece| Ok(Frame::data(Bytes::from(piece))));
    let rest = if ends { stream::empty().left_stream() } else { stream::pending().right_stream() };
    let body = BodyExt::boxed(StreamBody::new(pieces.chain(rest)));
    Response::builder().header("content-type", content_type).body(body).expect("a content type")
}

/// What a sound API server of a small cluster says.
fn usual(request: &Request<Incoming>) -> Response<Body> {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    if query.contains("watch=true") {
        let silent = faulty::silent_after(b"");
        return Response::builder().header("content-type", "application/json").body(silent).expect("a head");
    }
    let resources = |resources: &[(&str, &str)]| {
        let resources = resources.iter().map(|(name, kind)| {
            json!({"name": name, "singularName": "", "namespaced": true, "kind": kind, "verbs": ["get", "list", "watch"]})
        });
        json!({"kind": "APIResourceList", "apiVersion": "v1", "resources": resources.collect::<Vec<_>>()})
    };
    let list = |kind: &str, version: &str| json!({"kind": kind, "apiVersion": version, "metadata": {"resourceVersion": "1"}, "items": []});
    let answer = match path {
        "/api/v1" => resources(&[("pods", "Pod"), ("configmaps", "ConfigMap"), ("events", "Event")]),
        "/apis/apps/v1" => resources(&[("replicasets", "ReplicaSet"), ("deployments", "Deployment")]),
        path if path.ends_with("/configmaps") => list("ConfigMapList", "v1"),
        path if path.ends_with("/replicasets") => list("ReplicaSetList", "apps/v1"),
        path if path.ends_with("/applications") => list("ApplicationList", "argoproj.io/v1alpha1"),
        _ => {
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "NotFound",
                "message": "not found", "code": 404,
            });
            return faulty::answer(404, "application/json", status.to_string());
        }
    };
    faulty::answer(200, "application/json", answer.to_string())
}
