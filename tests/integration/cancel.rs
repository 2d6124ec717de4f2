//! A client that leaves takes its request with it, as far as the API server and what stands behind it.

use std::{path::Path, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use harness::{
    audit::Audit,
    client::{Body, Protocol, get, with_json},
    eventually, pki,
    scene::{Scene, apply, tracked},
    soon,
};
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{body::Frame, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::json;
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};
use tokio_rustls::TlsAcceptor;

#[tokio::test]
async fn a_watch_ends_at_the_api_server_when_its_client_leaves() {
    let scene = Scene::open("watch").await;
    scene.untracked("a").await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut audit = Audit::from_now();
        let target = scene.core("configmaps?watch=true&fieldSelector=metadata.name%3Da");
        let mut connection = scene.door.connect(protocol).await;
        let mut watch = connection.stream(&target).await;
        watch.event().await.unwrap();
        audit.event("ResponseStarted", &target).await;
        assert!(audit.completed(&target).is_empty());
        drop(watch);
        if protocol == Protocol::Http1 {
            drop(connection);
        } else {
            // Only its stream was reset.
            connection.ask(get(&scene.core("configmaps/a"))).await.expect_status(200);
        }
        audit.soon_complete(&target).await;
    }
}

#[tokio::test]
async fn a_request_that_waits_for_its_answer_is_cancelled_when_its_client_leaves() {
    let (open, filtered) = tokio::join!(Scene::open("slow"), Scene::filtered("slow"));
    for scene in [&open, &filtered] {
        let mut slow = SlowWebhook::start(scene).await;
        for (protocol, name) in [(Protocol::Http1, "one"), (Protocol::Http2, "two")] {
            let mut audit = Audit::from_now();
            let target = scene.core(&format!("configmaps?fieldManager={name}"));
            let mut connection = scene.door.connect(protocol).await;
            let object = tracked(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}));
            let mut waiting = Box::pin(connection.try_send(with_json("POST", &target, &object)));
            tokio::select! {
                answer = &mut waiting => panic!("answered: {answer:?}"),
                () = slow.is_asked() => {}
            }
            drop(waiting);
            drop(connection);
            audit.soon_complete(&target).await;
            slow.is_left().await;
            scene.direct.ask(get(&scene.core(&format!("configmaps/{name}")))).await.expect_status(404);
        }
    }
}

#[tokio::test]
async fn an_upload_that_breaks_off_is_no_request() {
    let scene = Scene::open("upload").await;
    for (protocol, name) in [(Protocol::Http1, "one"), (Protocol::Http2, "two")] {
        let mut audit = Audit::from_now();
        let target = scene.core(&format!("configmaps?fieldManager={name}"));
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}).to_string();
        let (pieces, body) = mpsc::channel(1);
        let body = StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(body));
        let body: Body = BodyExt::boxed(body.map_err(|never: std::convert::Infallible| match never {}));
        let request = Request::post(&target).header("content-type", "application/json").body(body).unwrap();
        let mut connection = scene.door.connect(protocol).await;
        let mut waiting = Box::pin(connection.try_send(request));
        // A whole object, but not a whole body: more might come.
        let send = async {
            pieces.send(Ok(Frame::data(Bytes::from(object)))).await.unwrap();
            audit.began(&target).await;
        };
        tokio::select! {
            answer = &mut waiting => panic!("answered: {answer:?}"),
            () = send => {}
        }
        drop(waiting);
        drop(connection);
        audit.soon_complete(&target).await;
        scene.direct.ask(get(&scene.core(&format!("configmaps/{name}")))).await.expect_status(404);
    }
}

#[tokio::test]
async fn what_kubectl_runs_ends_with_it() {
    let (open, filtered) = tokio::join!(Scene::open("killed"), Scene::filtered("killed"));
    for scene in [&open, &filtered] {
        scene.pod("pod", true).await;
        for websockets in ["true", "false"] {
            let kubectl = scene
                .kubectl()
                .env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets)
                .env("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets);
            let mut audit = Audit::from_now();
            let mut exec = kubectl.start(&["exec", "-i", "pod", "--", "sh", "-c", "echo $$; exec cat"]);
            // The pod's commands run on this machine.
            let process = format!("/proc/{}", exec.line().await.unwrap());
            assert!(Path::new(&process).exists());
            exec.child.kill().await.unwrap();
            audit.soon_complete(&scene.core("pods/pod/exec")).await;
            eventually("the command is gone", async || (!Path::new(&process).exists()).then_some(())).await;

            let mut forward = kubectl.start(&["port-forward", "pod/pod", ":9"]);
            forward.line_with("Forwarding from 127.0.0.1:").await;
            forward.child.kill().await.unwrap();
            audit.soon_complete(&scene.core("pods/pod/portforward")).await;
        }
        let mut audit = Audit::from_now();
        let mut follow = scene.kubectl().start(&["logs", "-f", "pod"]);
        follow.line_with("ready").await;
        follow.child.kill().await.unwrap();
        audit.soon_complete(&scene.core("pods/pod/log")).await;
    }
}

/// Keeps whoever makes a ConfigMap in one namespace waiting for as long as they will.
struct SlowWebhook {
    asked: mpsc::Receiver<()>,
    left: mpsc::Receiver<()>,
    _serving: JoinSet<()>,
}

/// Tells that a request was dropped before its answer.
struct Left(mpsc::Sender<()>);

// === impl SlowWebhook ===

impl SlowWebhook {
    async fn start(scene: &Scene) -> Self {
        let ca = pki::Ca::new();
        let leaf = ca.server();
        let chain = CertificateDer::pem_slice_iter(leaf.certificate.as_bytes()).collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).unwrap();
        let tls = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap());
        let ((ask, asked), (leave, left)) = (mpsc::channel(8), mpsc::channel(8));
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, TlsAcceptor::from(Arc::new(tls)), ask, leave));
        apply(&json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": scene.namespace},
            "webhooks": [{
                "name": "slow.example.com",
                "clientConfig": {"url": url, "caBundle": STANDARD.encode(ca.pem())},
                "rules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"],
                }],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": scene.namespace}},
                // A controller makes this one in every namespace.
                "matchConditions": [{"name": "ours", "expression": "object.metadata.name != 'kube-root-ca.crt'"}],
                "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 30,
            }],
        }))
        .await;
        let mut this = Self { asked, left, _serving: serving };
        // It takes the API server a moment to ask.
        let probe = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "probe"}});
        let target = scene.core("configmaps?dryRun=All");
        eventually("the webhook is asked", async || {
            tokio::select! {
                _answer = scene.direct.ask(with_json("POST", &target, &probe)) => None,
                () = this.is_asked() => Some(()),
            }
        })
        .await;
        this.is_left().await;
        this
    }

    async fn is_asked(&mut self) {
        soon(self.asked.recv()).await.unwrap();
    }

    async fn is_left(&mut self) {
        soon(self.left.recv()).await.unwrap();
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, ask: mpsc::Sender<()>, leave: mpsc::Sender<()>) {
    let mut connections = JoinSet::new();
    while let Ok((tcp, _)) = listener.accept().await {
        let (acceptor, ask, leave) = (acceptor.clone(), ask.clone(), leave.clone());
        connections.spawn(async move {
            let Ok(tls) = acceptor.accept(tcp).await else { return };
            let service = service_fn(|request: Request<hyper::body::Incoming>| {
                let (ask, left) = (ask.clone(), Left(leave.clone()));
                async move {
                    let mut body = request.into_body();
                    while body.frame().await.is_some() {}
                    ask.send(()).await.unwrap();
                    std::future::pending::<()>().await;
                    drop(left);
                    Ok::<_, hyper::Error>(Response::new(Full::<Bytes>::default()))
                }
            });
            drop(http1::Builder::new().serve_connection(TokioIo::new(tls), service).await);
        });
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        let _full = self.0.try_send(());
    }
}
