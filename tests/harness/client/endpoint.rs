//! Where a caller goes, and what it shows there.

use std::{net::SocketAddr, sync::Arc};

use http::Request;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Answer, Body, Connection, get};
use crate::{World, cluster::cluster, pki, soon};

/// Where a caller goes, and what it shows there.
#[derive(Debug, Clone)]
pub struct Endpoint {
    address: SocketAddr,
    ca: String,
    leaf: Option<pki::Leaf>,
}

/// What a caller speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, agreed on by ALPN.
    Http1,
    /// HTTP/1.1 without ALPN, as clients do that want to upgrade.
    NoAlpn,
    /// HTTP/2.
    Http2,
}

// === impl Endpoint ===

impl Endpoint {
    /// A caller without a certificate, who trusts `ca`.
    #[must_use]
    pub fn new(address: SocketAddr, ca: &str) -> Self {
        Self { address, ca: ca.to_owned(), leaf: None }
    }

    /// The Kubernetes door of `world`, for a caller whose certificate says `name`.
    #[must_use]
    pub fn door(world: &World, name: &str) -> Self {
        Self::new(world.door(), &world.ca.pem()).with_certificate(world.ca.client(name))
    }

    /// The API server itself, for the admin of the cluster.
    ///
    /// # Panics
    /// When its address is none.
    #[must_use]
    pub fn direct() -> Self {
        let cluster = cluster();
        let address = cluster.api_server_url().trim_start_matches("https://").parse().expect("an address");
        let admin = cluster.admin();
        let leaf = pki::Leaf { certificate: admin.cert_pem.clone(), key: admin.key_pem.clone() };
        Self::new(address, cluster.ca_pem()).with_certificate(leaf)
    }

    /// The same with a certificate.
    #[must_use]
    pub fn with_certificate(mut self, leaf: pki::Leaf) -> Self {
        self.leaf = Some(leaf);
        self
    }

    /// Opens a TLS connection on which nothing has been said yet.
    ///
    /// # Panics
    /// When there is none.
    pub async fn tls(&self, protocol: Protocol) -> TlsStream<TcpStream> {
        let tcp = TcpStream::connect(self.address).await.expect("a connection");
        tcp.set_nodelay(true).expect("no delay");
        let name = ServerName::from(self.address.ip());
        let connector = TlsConnector::from(Arc::new(self.config(protocol)));
        soon(connector.connect(name, tcp)).await.expect("a TLS handshake")
    }

    /// Opens a connection.
    ///
    /// # Panics
    /// When there is none.
    pub async fn connect(&self, protocol: Protocol) -> Connection {
        Connection::open(self.tls(protocol).await, protocol, self.address.to_string()).await
    }

    /// Sends one request over HTTP/1.1 and reads its whole answer.
    pub async fn ask(&self, request: Request<Body>) -> Answer {
        self.connect(Protocol::Http1).await.ask(request).await
    }

    /// The object at `path`, as JSON.
    pub async fn object(&self, path: &str) -> Value {
        self.ask(get(path)).await.expect_status(200).json()
    }

    fn config(&self, protocol: Protocol) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca.as_bytes()).expect("PEM")).expect("a CA");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_root_certificates(roots);
        let mut config = match &self.leaf {
            Some(leaf) => {
                let chain = CertificateDer::pem_slice_iter(leaf.certificate.as_bytes());
                let chain = chain.collect::<Result<Vec<_>, _>>().expect("PEM");
                let key = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).expect("a key");
                builder.with_client_auth_cert(chain, key).expect("a certificate and its key")
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = match protocol {
            Protocol::Http1 => vec![b"http/1.1".to_vec()],
            Protocol::Http2 => vec![b"h2".to_vec()],
            Protocol::NoAlpn => Vec::new(),
        };
        config
    }
}
