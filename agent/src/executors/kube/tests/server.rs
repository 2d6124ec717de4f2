//! An API server in a few lines: objects by path, discovery, an error for all else, and a note of every request.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use common::drain;
use futures_util::StreamExt;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tracing::Span;

/// A request as the API server saw it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

pub(super) type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// Answers what the server would answer otherwise, or has nothing to say.
pub(super) type Special = Arc<dyn Fn(Request<Incoming>) -> SpecialAnswer + Send + Sync>;
pub(super) type SpecialAnswer = Pin<Box<dyn Future<Output = Result<Answer, Request<Incoming>>> + Send>>;

#[derive(Clone)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    objects: BTreeMap<String, Value>,
    /// Paths that are answered with an error, and which.
    errors: BTreeMap<String, u16>,
    special: Option<Special>,
    connections: usize,
}

// === impl Seen ===

impl Seen {
    /// Method and target.
    pub(super) fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

// === impl Server ===

impl Server {
    pub(super) async fn start(watch: &drain::Watch) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Self { address, state: Arc::default() };
        let accepting = server.clone();
        let inner = watch.clone();
        watch.spawn(Span::none(), async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                accepting.state.lock().unwrap().connections += 1;
                let server = accepting.clone();
                inner.spawn(Span::none(), async move {
                    let service = service_fn(move |request| server.clone().answer(request));
                    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                    connection.with_upgrades().await.ok();
                });
            }
        });
        server
    }

    pub(super) fn put(&self, path: &str, object: Value) {
        self.state.lock().unwrap().objects.insert(path.to_owned(), object);
    }

    pub(super) fn remove(&self, path: &str) {
        self.state.lock().unwrap().objects.remove(path);
    }

    pub(super) fn fail(&self, path: &str, status: u16) {
        self.state.lock().unwrap().errors.insert(path.to_owned(), status);
    }

    pub(super) fn heal(&self, path: &str) {
        self.state.lock().unwrap().errors.remove(path);
    }

    /// Lets `special` answer first.
    pub(super) fn special<F, A>(&self, special: F)
    where
        F: Fn(Request<Incoming>) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Answer, Request<Incoming>>> + Send + 'static,
    {
        self.state.lock().unwrap().special = Some(Arc::new(move |request| Box::pin(special(request))));
    }

    /// Takes the requests that were seen, without those by which the filter keeps itself up to date.
    pub(super) fn take(&self) -> Vec<Seen> {
        let seen = std::mem::take(&mut self.state.lock().unwrap().seen);
        seen.into_iter().filter(|seen| !is_of_filter(&seen.target)).collect()
    }

    /// [`Self::take`], method and target only.
    pub(super) fn lines(&self) -> Vec<String> {
        self.take().iter().map(Seen::line).collect()
    }

    pub(super) fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Answer, Infallible> {
        let special = self.state.lock().unwrap().special.clone();
        let request = match special {
            Some(special) if !is_of_filter(&request.uri().to_string()) => {
                self.note(&request, Bytes::new());
                match special(request).await {
                    Ok(answer) => return Ok(answer),
                    Err(request) => {
                        self.state.lock().unwrap().seen.pop();
                        request
                    }
                }
            }
            _ => request,
        };
        let (parts, body) = request.into_parts();
        #[expect(clippy::disallowed_methods, reason = "the bodies of the tests are small")]
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let request = Request::from_parts(parts, ());
        self.note(&request, body);
        Ok(self.usual(request.method(), request.uri().path(), request.uri().query().unwrap_or_default()))
    }

    fn note<B>(&self, request: &Request<B>, body: Bytes) {
        self.state.lock().unwrap().seen.push(Seen {
            method: request.method().clone(),
            target: request.uri().to_string(),
            headers: request.headers().clone(),
            body,
        });
    }

    fn usual(&self, method: &Method, path: &str, query: &str) -> Answer {
        let state = self.state.lock().unwrap();
        if let Some(code) = state.errors.get(path) {
            return status(*code, &format!("{path} is not for you"));
        }
        if is_watch(query) {
            return pending();
        }
        if let Some(object) = state.objects.get(path) {
            return json(200, object);
        }
        match path {
            "/api/v1" => discovery(&[
                ("pods", "Pod", true),
                ("pods/log", "Pod", true),
                ("nodes", "Node", false),
                ("configmaps", "ConfigMap", true),
            ]),
            "/apis/apps/v1" => discovery(&[
                ("deployments/scale", "Scale", true),
                ("replicasets", "ReplicaSet", true),
                ("deployments", "Deployment", true),
            ]),
            "/apis/argoproj.io/v1alpha1" => discovery(&[("applications", "Application", true)]),
            _ if path.ends_with("/configmaps") => json(
                200,
                &json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []}),
            ),
            _ if *method == Method::POST => status(201, "created"),
            _ => status(404, &format!("{path} not found")),
        }
    }
}

/// Whether the filter keeps itself up to date by it.
fn is_of_filter(target: &str) -> bool {
    target.contains("/configmaps?") || target.contains("/applications?")
}

fn is_watch(query: &str) -> bool {
    query.contains("watch=true")
}

/// An answer that begins and does not go on.
pub(super) fn pending() -> Answer {
    Response::new(StreamBody::new(futures_util::stream::pending()).boxed_unsync())
}

/// An answer in pieces, as they come out of a channel.
pub(super) fn pieces(pieces: tokio::sync::mpsc::Receiver<Bytes>) -> Answer {
    let frames = futures_util::stream::unfold(pieces, |mut pieces| async {
        pieces.recv().await.map(|piece| (Ok(Frame::data(piece)), pieces))
    });
    Response::new(StreamBody::new(frames.boxed()).boxed_unsync())
}

pub(super) fn raw(status: u16, content_type: &str, body: impl Into<Bytes>) -> Answer {
    let body = Full::new(body.into()).boxed_unsync();
    Response::builder().status(status).header("content-type", content_type).body(body).unwrap()
}

pub(super) fn json(status: u16, value: &Value) -> Answer {
    raw(status, "application/json", value.to_string())
}

pub(super) fn status(code: u16, message: &str) -> Answer {
    let outcome = if StatusCode::from_u16(code).unwrap().is_success() { "Success" } else { "Failure" };
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": outcome, "message": message, "code": code});
    json(code, &status)
}

fn discovery(resources: &[(&str, &str, bool)]) -> Answer {
    let resources: Vec<Value> = resources
        .iter()
        .map(|(name, kind, namespaced)| json!({"name": name, "kind": kind, "namespaced": namespaced, "verbs": ["get"]}))
        .collect();
    json(200, &json!({"kind": "APIResourceList", "resources": resources}))
}

// === objects ===

pub(super) const MARK: &str = "argocd.argoproj.io/tracking-id";

/// An object of `shop`, with its name for a UID.
pub(super) fn object(name: &str) -> Value {
    json!({
        "kind": "Thing",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}")},
        "data": {"key": "value"},
    })
}

pub(super) fn marked(name: &str) -> Value {
    let mut object = object(name);
    object["metadata"]["annotations"] = json!({MARK: "shop:apps/Deployment:shop/web"});
    object
}

/// `kind` and `name` of owners in `apps/v1`.
pub(super) fn owned(name: &str, owners: &[(&str, &str)]) -> Value {
    let mut object = object(name);
    let owners: Vec<Value> = owners
        .iter()
        .map(|(kind, name)| {
            json!({"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": format!("uid-{name}"), "controller": true})
        })
        .collect();
    object["metadata"]["ownerReferences"] = json!(owners);
    object
}

pub(super) fn pod(name: &str) -> String {
    format!("/api/v1/namespaces/shop/pods/{name}")
}

pub(super) fn replica_set(name: &str) -> String {
    format!("/apis/apps/v1/namespaces/shop/replicasets/{name}")
}

pub(super) fn deployment(name: &str) -> String {
    format!("/apis/apps/v1/namespaces/shop/deployments/{name}")
}
