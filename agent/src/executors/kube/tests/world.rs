//! An executor, the server behind it, and a client on a pipe before it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use common::drain;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use prometheus_client::registry::Registry;
use serde_json::Value;
use tokio::time::timeout;
use tracing::Span;

use super::server::{Server, pod};
use crate::{
    config::KubeSource,
    executors::kube::{KubeExecutor, KubeOptions, api_server},
};

pub(super) struct World {
    pub(super) server: Server,
    pub(super) registry: Registry,
    pub(super) executor: KubeExecutor,
    pub(super) pipe: SendRequest<Full<Bytes>>,
    pub(super) watch: drain::Watch,
    _signal: drain::Signal,
    _kubeconfig: tempfile::NamedTempFile,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// What a world is made from.
pub(super) struct Plan {
    pub(super) options: KubeOptions,
    /// Whether requests are carried out at all.
    pub(super) enabled: bool,
    /// Behind the server's address in the kubeconfig.
    pub(super) prefix: &'static str,
    /// The members of the user in the kubeconfig, as JSON.
    pub(super) user: Value,
    /// Another server than ours.
    pub(super) address: Option<String>,
}

// === impl Plan ===

impl Plan {
    pub(super) fn filtered() -> Self {
        Self {
            options: KubeOptions {
                api_server: None,
                managed_only: true,
                managed_creates_only: false,
                namespace: "argocd".to_owned(),
                application_namespaces: vec!["argocd".to_owned()],
            },
            enabled: true,
            prefix: "",
            user: serde_json::json!({"token": "agents-own"}),
            address: None,
        }
    }

    pub(super) fn open() -> Self {
        let mut plan = Self::filtered();
        plan.options.managed_only = false;
        plan
    }

    /// Starts it all; `prepare` sees the server before the executor does.
    pub(super) async fn build(mut self, prepare: impl FnOnce(&Server)) -> World {
        let (signal, watch) = drain::channel();
        let server = Server::start(&watch).await;
        prepare(&server);
        let address = self.address.unwrap_or_else(|| format!("http://{}", server.address));
        let kubeconfig = tempfile::NamedTempFile::new().unwrap();
        let text = serde_json::json!({
            "kind": "Config",
            "apiVersion": "v1",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": format!("{address}{}", self.prefix)}}],
            "users": [{"name": "u", "user": self.user}],
        });
        std::fs::write(kubeconfig.path(), text.to_string()).unwrap();
        let source = KubeSource { kubeconfig: Some(kubeconfig.path().to_owned()), context: None };
        let mut registry = Registry::default();
        if self.enabled {
            let kept = api_server(&source, &Arc::default(), &mut registry, &watch).await;
            self.options.api_server = Some(kept.unwrap());
        }
        let executor = KubeExecutor::start(self.options, &watch, &mut registry).await.unwrap();
        let pipe = pipe(&executor, &watch).await;
        World { server, registry, executor, pipe, watch, _signal: signal, _kubeconfig: kubeconfig }
    }
}

// === impl World ===

impl World {
    pub(super) async fn filtered() -> Self {
        Plan::filtered().build(|_| {}).await
    }

    pub(super) async fn open() -> Self {
        Plan::open().build(|_| {}).await
    }

    /// A further pipe to the same executor.
    pub(super) async fn another_pipe(&self) -> SendRequest<Full<Bytes>> {
        pipe(&self.executor, &self.watch).await
    }

    /// Sends a request and returns the answer when its head is here.
    pub(super) async fn begin(&mut self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        self.pipe.ready().await.unwrap();
        timeout(LONG, self.pipe.send_request(request)).await.unwrap().unwrap()
    }

    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> Read {
        read(self.begin(request).await).await
    }

    pub(super) async fn get(&mut self, target: &str) -> Read {
        self.send(request("GET", target)).await
    }

    pub(super) async fn get_pod(&mut self, name: &str) -> Read {
        self.get(&pod(name)).await
    }
}

// === impl Read ===

impl Read {
    /// Which of our own refusals this is.
    pub(super) fn refusal(&self) -> Option<&str> {
        self.headers.get("argocd-agent-refusal").map(|label| label.to_str().unwrap())
    }

    /// The message of the Status in the body.
    pub(super) fn message(&self) -> String {
        let status: Value = serde_json::from_slice(&self.body).unwrap();
        status["message"].as_str().unwrap().to_owned()
    }
}

async fn pipe(executor: &KubeExecutor, watch: &drain::Watch) -> SendRequest<Full<Bytes>> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let executor = executor.clone();
    let inner = watch.clone();
    watch.spawn(Span::none(), async move { executor.serve_stream(far, &inner).await });
    let (pipe, connection) = handshake(TokioIo::new(near)).await.unwrap();
    watch.spawn(Span::none(), async move {
        connection.with_upgrades().await.ok();
    });
    pipe
}

pub(super) async fn read(answer: Response<Incoming>) -> Read {
    let (parts, body) = answer.into_parts();
    #[expect(clippy::disallowed_methods, reason = "the bodies of the tests are small")]
    let body = timeout(LONG, body.collect()).await.unwrap().unwrap().to_bytes();
    Read { status: parts.status, headers: parts.headers, body }
}

pub(super) fn request(method: &str, target: &str) -> Request<Full<Bytes>> {
    with_body(method, target, "application/json", Bytes::new())
}

pub(super) fn with_body(
    method: &str,
    target: &str,
    content_type: &str,
    body: impl Into<Bytes>,
) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body.into()));
    *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
    *request.uri_mut() = target.parse().unwrap();
    request.headers_mut().insert("host", "workload".parse().unwrap());
    request.headers_mut().insert("content-type", content_type.parse().unwrap());
    request
}

/// Longer than anything takes, so that a test that hangs fails instead.
pub(super) const LONG: Duration = Duration::from_secs(20);
