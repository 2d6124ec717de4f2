//! A door, its authority, and callers.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use common::{
    config::TlsVersions,
    drain,
    telemetry::{Exposition, Registry},
    tls::{ClientAuth, Identity, Pem, Roots, Verification, client_config, server_config},
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tracing::Span;

use super::super::*;

/// A door whose handler answers with who it sees, and then echoes until the caller is done.
pub(super) struct World {
    pub(super) address: SocketAddr,
    pub(super) authority: Authority,
    pub(super) tls: Arc<ArcSwap<ServerConfig>>,
    pub(super) registry: Registry,
    pub(super) signal: drain::Signal,
    pub(super) handled: Arc<Handled>,
}

#[derive(Default)]
pub(super) struct Handled {
    now: AtomicUsize,
    pub(super) most: AtomicUsize,
}

pub(in crate::listen) struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

// === impl World ===

impl World {
    pub(super) async fn new(limits: ListenLimits) -> Self {
        Self::with(limits, Security::Tls).await
    }

    /// With TLS as doors have it, and as agents do.
    pub(super) async fn of_each_tls(limits: ListenLimits) -> [Self; 2] {
        [Self::new(limits).await, Self::with(limits, Security::LeanTls).await]
    }

    pub(super) async fn plain(limits: ListenLimits) -> Self {
        Self::with(limits, |_unused| Security::Plain).await
    }

    async fn with(limits: ListenLimits, security: impl FnOnce(Arc<ArcSwap<ServerConfig>>) -> Security) -> Self {
        let listener = Listener::bind("kube", "127.0.0.1", 0).await.unwrap();
        let address = listener.local_addr();
        let authority = Authority::new();
        let tls = Arc::new(ArcSwap::from(authority.server()));
        let security = security(Arc::clone(&tls));
        let mut registry = Registry::new();
        let metrics = ListenMetrics::register(registry.part("listen"));
        let (signal, watch) = drain::channel();
        let handled = Arc::<Handled>::default();
        let handler = {
            let handled = Arc::clone(&handled);
            move |connection| Arc::clone(&handled).handle(connection)
        };
        watch.spawn(Span::none(), listener.serve(security, limits, metrics, watch.clone(), handler));
        Self { address, authority, tls, registry, signal, handled }
    }

    pub(super) async fn call(&self, leaf: Option<Identity>, alpn: &[&[u8]]) -> TlsStream<TcpStream> {
        connect(self.address, &self.authority, leaf, alpn).await.unwrap()
    }

    /// Waits until the metrics show `line`.
    pub(super) async fn until(&self, line: &str) {
        let line = format!("argocd_agent_listen_{line}\n");
        let shown = async {
            while !self.registry.encode(Exposition::Classic).contains(&line) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(10), shown).await.is_err() {
            panic!("never saw {line}in\n{}", self.registry.encode(Exposition::Classic));
        }
    }
}

// === impl Handled ===

impl Handled {
    async fn handle(self: Arc<Self>, connection: Connection) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        let Connection { mut io, identity, alpn, .. } = connection;
        let name = identity.and_then(|identity| identity.common_name.clone()).unwrap_or("-".into());
        let alpn = alpn.map_or("-".into(), |alpn| String::from_utf8(alpn).unwrap());
        io.write_all(format!("{name} {alpn}\n").as_bytes()).await.unwrap();
        let (mut read, mut write) = tokio::io::split(io);
        let _ = tokio::io::copy(&mut read, &mut write).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(super) async fn connect(
    address: SocketAddr,
    authority: &Authority,
    leaf: Option<Identity>,
    alpn: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let client = client_config(leaf, Verification::Roots(authority.roots()), TlsVersions::TLS13, alpn).unwrap();
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(client).connect("localhost".try_into().unwrap(), stream).await
}

pub(super) async fn greeting(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await.unwrap() {
            b'\n' => return String::from_utf8(line).unwrap(),
            byte => line.push(byte),
        }
    }
}

pub(super) async fn echo(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), bytes: &[u8]) -> Vec<u8> {
    stream.write_all(bytes).await.unwrap();
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).await.unwrap();
    back
}

pub(super) const LIMITS: ListenLimits =
    ListenLimits { max_connections: 100, handshake_timeout: Duration::from_secs(10) };

// === impl Authority ===

impl Authority {
    pub(in crate::listen) fn new() -> Self {
        let mut params = params("ca");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self { certificate: params.self_signed(&key).unwrap().pem(), issuer: Issuer::new(params, key) }
    }

    pub(in crate::listen) fn roots(&self) -> Roots {
        Roots::from_pem(&Pem::new("ca", self.certificate.as_str())).unwrap()
    }

    pub(in crate::listen) fn leaf(&self, common_name: &str) -> Identity {
        self.sign(&params(common_name))
    }

    pub(super) fn sign(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity::from_pem(&Pem::new("certificate", certificate), &Pem::new("key", key.serialize_pem())).unwrap()
    }

    /// Client certificates are optional, as at the Kubernetes door.
    pub(super) fn server(&self) -> Arc<ServerConfig> {
        self.server_of(TlsVersions::TLS13)
    }

    pub(in crate::listen) fn server_of(&self, versions: TlsVersions) -> Arc<ServerConfig> {
        let clients = ClientAuth::Optional(self.roots());
        server_config(self.leaf("server"), clients, versions, &[b"h2", b"http/1.1"]).unwrap()
    }
}

pub(super) fn params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}
