//! The TLS of the principal's sockets and of its way to Redis, kept as the certificates' sources are.

use std::sync::Arc;

use arc_swap::ArcSwap;
use common::{
    api_server::ApiServer,
    config::TlsVersions,
    drain,
    telemetry::Registry as Metrics,
    tls::{ClientParts, ClientTls, Folders, IdentitySource, LoadError, Materials, RootsSource, ServerParts, What},
};
use rustls::ServerConfig;

use super::Error;
use crate::{
    config::{ClientCertificates, Config, ServerTls},
    control_plane,
    listen::Security,
};

/// Loads what doors need.
#[derive(Debug)]
pub(super) struct Tls {
    materials: Materials,
    versions: TlsVersions,
}

// === impl Tls ===

impl Tls {
    /// Nothing is loaded yet. The API server is needed where a Secret is named, and left alone elsewhere.
    pub(super) fn new(
        config: &Config,
        folders: Arc<Folders>,
        api_server: Option<&ApiServer>,
        metrics: &mut Metrics,
        drain: &drain::Watch,
    ) -> Result<Self, Error> {
        let secrets = match api_server.filter(|_| config.loads_secrets()) {
            Some(api_server) => {
                Some(control_plane::secrets(api_server, &config.namespace).map_err(Error::ControlPlane)?)
            }
            None => None,
        };
        let materials = Materials::new(folders, secrets, metrics.part("tls"), drain.clone());
        Ok(Self { materials, versions: config.tls_versions })
    }

    /// What agents see, and who else may call there. They are many, and idle most of the time.
    pub(super) async fn of_agents(&self, tls: &ServerTls, clients: ClientCertificates) -> Result<Security, Error> {
        let parts = ServerParts {
            identity: (What::Grpc, &tls.identity),
            clients: Some((What::GrpcClientCa, &tls.client_ca, clients.asked())),
            versions: self.versions,
            alpn: &[b"h2"],
        };
        self.server("grpc", parts, Security::LeanTls).await
    }

    /// What callers of the Kubernetes door see: whoever shows a certificate shows a good one.
    pub(super) async fn of_kube_door(&self, tls: &ServerTls) -> Result<Security, Error> {
        let parts = ServerParts {
            identity: (What::KubeDoor, &tls.identity),
            clients: Some((What::KubeDoorClientCa, &tls.client_ca, ClientCertificates::IfGiven.asked())),
            versions: self.versions,
            alpn: &[b"h2", b"http/1.1"],
        };
        self.server("kube", parts, Security::Tls).await
    }

    /// What callers of the Redis door see, who are asked for nothing.
    pub(super) async fn of_redis_door(&self, identity: &IdentitySource) -> Result<Security, Error> {
        let identity = (What::RedisDoor, identity);
        let parts = ServerParts { identity, clients: None, versions: self.versions, alpn: &[] };
        self.server("redis", parts, Security::Tls).await
    }

    /// How the principal's own Redis is known; by nothing, without authorities.
    pub(super) async fn of_redis(&self, ca: Option<&RootsSource>) -> Result<ClientTls, Error> {
        let roots = ca.map(|ca| (What::RedisCa, ca));
        let parts = ClientParts { identity: None, roots, versions: self.versions, alpn: &[] };
        self.materials.client(parts).await.map_err(|error| failed("redis", error))
    }

    async fn server(
        &self,
        door: &'static str,
        parts: ServerParts<'_>,
        security: fn(Arc<ArcSwap<ServerConfig>>) -> Security,
    ) -> Result<Security, Error> {
        self.materials.server(parts).await.map(security).map_err(|error| failed(door, error))
    }
}

fn failed(door: &'static str, error: LoadError) -> Error {
    match error {
        LoadError::Material(source) => Error::Material { door, source },
        LoadError::Tls(source) => Error::Tls { door, source },
    }
}
