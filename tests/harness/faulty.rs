//! A faulty API server: slow, cut short, silent or talking garbage, and honest about what it was asked.

use std::{
    collections::BTreeMap,
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use common::drain;
use futures_util::{StreamExt, stream};
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};
use tracing::Span;

use crate::{World, link::Link, pki, raw, raw::Caller, world::Attached};

/// The server. Dropping it cuts everything.
pub struct Faulty {
    /// Where it listens, without TLS.
    pub address: SocketAddr,
    /// Bytes of endless answers that were taken from it.
    pub sent: Arc<AtomicU64>,
    seen: Arc<Mutex<Vec<String>>>,
    _signal: drain::Signal,
}

/// A world with an agent, called [`AGENT`], that shows everything of a faulty API server.
#[derive(Debug)]
pub struct Rig {
    /// The principal's side.
    pub world: World,
    /// The API server.
    pub server: Faulty,
    /// The agent, until a test takes it away.
    pub agent: Option<Attached>,
    /// Who may reach the agent.
    pub caller: Caller,
}

/// The agent's name in a [`Rig`].
pub const AGENT: &str = "workload";

/// What an answer carries.
pub type Body = BoxBody<Bytes, io::Error>;

/// Instead of an answer: the connection is closed.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the faulty server closes the connection")]
pub struct Close;

// === impl Faulty ===

impl Faulty {
    /// A server that commits the fault that a request's query asks for, and else tells what it was sent, as JSON:
    /// `method`, `target`, `headers`, `body`.
    ///
    /// - `fault=hang`: never answers.
    /// - `fault=close`: closes the connection instead of an answer.
    /// - `fault=cut`: closes the connection within the answer's body.
    /// - `fault=silent`: begins a body, `first`, and never goes on.
    /// - `fault=endless`: sends a body for ever.
    /// - `fault=switch`: switches protocols, and then repeats what it is sent.
    pub async fn on_demand() -> Self {
        let sent = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&sent);
        let mut this = Self::http(move |request| commit(request, Arc::clone(&counter))).await;
        this.sent = sent;
        this
    }

    /// A server that answers as `handler` says.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn http<F, R>(handler: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<Response<Body>, Close>> + Send + 'static,
    {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&seen);
        Self::start(seen, move |tcp| {
            let (handler, heard) = (handler.clone(), Arc::clone(&heard));
            async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let line = format!("{} {}", request.method(), request.uri());
                    heard.lock().expect("not poisoned").push(line);
                    handler(request)
                });
                // How a connection ends is up to the handler.
                let _ended = http1::Builder::new().serve_connection(TokioIo::new(tcp), service).with_upgrades().await;
            }
        })
        .await
    }

    /// A server that does with a connection what `handler` says.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn raw<F, R>(handler: F) -> Self
    where
        F: Fn(TcpStream) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        Self::start(Arc::default(), handler).await
    }

    async fn start<F, R>(seen: Arc<Mutex<Vec<String>>>, handler: F) -> Self
    where
        F: Fn(TcpStream) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let (signal, watch) = drain::channel();
        let tasks = watch.clone();
        watch.spawn(Span::none(), async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tasks.spawn(Span::none(), handler(tcp));
            }
        });
        Self { address, sent: Arc::default(), seen, _signal: signal }
    }

    /// The requests that came, each as method and target, in order.
    ///
    /// # Panics
    /// When a handler panicked.
    #[must_use]
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("not poisoned").clone()
    }

    /// How often that method and target came.
    #[must_use]
    pub fn count(&self, line: &str) -> usize {
        self.seen().iter().filter(|seen| *seen == line).count()
    }

    /// A kubeconfig, in `folder`, that leads here.
    #[must_use]
    pub fn kubeconfig(&self, folder: &Path) -> PathBuf {
        kubeconfig(self.address, folder)
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").field("address", &self.address).finish_non_exhaustive()
    }
}

// === impl Rig ===

impl Rig {
    /// With the default settings, and faults on demand.
    pub async fn start() -> Self {
        Self::with(|_config| {}).await
    }

    /// With a principal of other settings.
    pub async fn with(change: impl FnOnce(&mut principal::config::Config)) -> Self {
        Self::around(World::start_with(change).await, Faulty::on_demand().await).await
    }

    /// Of these parts.
    pub async fn around(world: World, server: Faulty) -> Self {
        let agent = attach(&world, &server).await;
        let caller = Caller::of(&world, AGENT);
        Self { world, server, agent: Some(agent), caller }
    }

    /// The same with faults on demand, where what is between principal and agent can be cut, stalled and delayed.
    pub async fn distant(world: World) -> (Self, Link) {
        let link = Link::to(world.principal.grpc).await;
        let server = Faulty::on_demand().await;
        let port = link.address.port();
        let agent = attach_with(&world, &server, |config| config.server.1 = port).await;
        let caller = Caller::of(&world, AGENT);
        (Self { world, server, agent: Some(agent), caller }, link)
    }

    /// One request, on a connection of its own.
    pub async fn ask(&self, request: impl AsRef<[u8]>) -> raw::Answer {
        self.caller.ask(self.world.door(), request).await
    }

    /// One GET, on a connection of its own.
    pub async fn get(&self, path: &str) -> raw::Answer {
        self.ask(raw::get(path)).await
    }

    /// A metric of the principal: see [`raw::metric`].
    ///
    /// # Panics
    /// When there are none.
    pub async fn metric(&self, prefix: &str, part: &str) -> f64 {
        raw::metric(self.world.principal.metrics.expect("a page of metrics"), prefix, part).await
    }
}

/// An agent called [`AGENT`], without the filter, in front of `server`.
pub async fn attach(world: &World, server: &Faulty) -> Attached {
    attach_with(world, server, |_config| {}).await
}

async fn attach_with(world: &World, server: &Faulty, change: impl FnOnce(&mut agent::config::Config)) -> Attached {
    let kubeconfig = server.kubeconfig(world.folder());
    let open = |config: &mut agent::config::Config| {
        config.managed_only = false;
        config.kube.kubeconfig = Some(kubeconfig);
        change(config);
    };
    world.agent_with(AGENT, "argocd", open).await
}

async fn commit(mut request: Request<Incoming>, sent: Arc<AtomicU64>) -> Result<Response<Body>, Close> {
    let query = request.uri().query().unwrap_or_default();
    let fault = query.split('&').find_map(|pair| pair.strip_prefix("fault=")).unwrap_or_default();
    let body = match fault {
        "hang" => std::future::pending().await,
        "close" => return Err(Close),
        "cut" => cut_after(b"first"),
        "silent" => silent_after(b"first"),
        "endless" => endless(sent),
        "switch" => {
            let switch = hyper::upgrade::on(&mut request);
            let answer = Response::builder().status(101).header("connection", "upgrade").header("upgrade", "echo");
            let (signal, watch) = drain::channel();
            watch.spawn(Span::none(), async move {
                // Lives as long as the connection does.
                let _signal = signal;
                let Ok(io) = switch.await else { return };
                let (mut read, mut write) = tokio::io::split(TokioIo::new(io));
                if tokio::io::copy(&mut read, &mut write).await.is_ok() {
                    write.shutdown().await.unwrap_or_default();
                }
            });
            return Ok(answer.body(empty()).expect("a head"));
        }
        _ => return Ok(tell(request).await),
    };
    let answer = Response::builder().header("content-type", "application/json");
    Ok(answer.body(body).expect("a head"))
}

async fn tell(request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, 1 << 20);
    #[expect(clippy::disallowed_methods, reason = "limited to 1 MiB")]
    let Ok(body) = body.collect().await else { return answer(400, "text/plain", "the body broke off") };
    let mut headers = BTreeMap::<&str, Vec<_>>::new();
    for (name, value) in &head.headers {
        headers.entry(name.as_str()).or_default().push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    let told = json!({
        "method": head.method.as_str(),
        "target": head.uri.to_string(),
        "headers": headers,
        "body": String::from_utf8_lossy(&body.to_bytes()),
    });
    answer(200, "application/json", told.to_string())
}

/// A kubeconfig, in `folder`, of an API server without TLS at `address`.
#[must_use]
pub fn kubeconfig(address: SocketAddr, folder: &Path) -> PathBuf {
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: faulty\n\
         clusters:\n- name: faulty\n  cluster:\n    server: http://{address}\n\
         users:\n- name: faulty\n  user: {{}}\n\
         contexts:\n- name: faulty\n  context:\n    cluster: faulty\n    user: faulty\n"
    );
    pki::write(folder, &format!("kubeconfig-faulty-{}", address.port()), &text)
}

/// An answer with a body of known length.
///
/// # Panics
/// When `status` is none.
pub fn answer(status: u16, content_type: &str, body: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(body.into()).map_err(|never| match never {}).boxed();
    let answer = Response::builder().status(status).header("content-type", content_type);
    answer.body(body).expect("a status and a content type")
}

/// A body that begins with these bytes and is cut behind them.
pub fn cut_after(first: &'static [u8]) -> Body {
    let cut = async {
        // So that what comes before is on its way.
        tokio::task::yield_now().await;
        Err(io::Error::other("the faulty server cuts the answer"))
    };
    let first = stream::iter([Ok(Frame::data(Bytes::from_static(first)))]);
    BodyExt::boxed(StreamBody::new(first.chain(stream::once(cut))))
}

/// A body that begins with these bytes and then goes on without another.
pub fn silent_after(first: &'static [u8]) -> Body {
    let first = stream::iter([Ok(Frame::data(Bytes::from_static(first)))]);
    BodyExt::boxed(StreamBody::new(first.chain(stream::pending())))
}

/// A body that never ends; `sent` counts the bytes that were taken of it.
pub fn endless(sent: Arc<AtomicU64>) -> Body {
    let block = Bytes::from(vec![b'x'; 64 * 1024]);
    let frames = stream::repeat_with(move || {
        sent.fetch_add(block.len() as u64, Ordering::SeqCst);
        Ok(Frame::data(block.clone()))
    });
    BodyExt::boxed(StreamBody::new(frames))
}

fn empty() -> Body {
    Full::default().map_err(|never| match never {}).boxed()
}
