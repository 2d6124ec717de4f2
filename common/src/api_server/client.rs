//! `kube`'s client, whose requests go the way that is current when they begin, through a proxy where one is on it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use http::Request;
use hyper_timeout::TimeoutConnector;
use hyper_util::{client::legacy, rt::TokioExecutor};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder, ConfigExt},
};
use tower::{BoxError, ServiceBuilder};
use tower_service::Service;
use tracing::error;

use super::ApiServer;
use crate::{
    Report,
    proxy::{Proxy, ProxyConnector},
};

/// Hands requests to the client of what is current.
#[derive(Clone)]
struct Following {
    server: ApiServer,
    used: Arc<ArcSwap<Used>>,
}

struct Used {
    config: Arc<Config>,
    client: Client,
}

/// A client that goes where `config` says, through its proxy if it has one. Nothing is connected yet.
///
/// # Errors
/// When TLS or authentication cannot be set up.
pub fn client(config: Config) -> Result<Client, kube::Error> {
    match config.proxy_url.as_ref().and_then(|url| Proxy::parse(&url.to_string())) {
        Some(proxy) => through(proxy, &config),
        None => Client::try_from(config),
    }
}

/// As `kube` makes one, which knows no proxy unless it is built with its own; that would say less of what is wrong. It does
/// not ask again by itself.
fn through(proxy: Proxy, config: &Config) -> Result<Client, kube::Error> {
    let tls = config.rustls_https_connector_with_connector(ProxyConnector::new(Some(proxy)))?;
    let mut connector = TimeoutConnector::new(tls);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    let client: legacy::Client<_, Body> = legacy::Client::builder(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(client);
    Ok(ClientBuilder::new(service, config.default_namespace.clone()).build())
}

pub(super) fn following(server: ApiServer) -> Result<Client, kube::Error> {
    let config = server.current();
    let namespace = config.default_namespace.clone();
    let client = client(Config::clone(&config))?;
    let used = Arc::new(ArcSwap::from_pointee(Used { config, client }));
    Ok(ClientBuilder::new(Following { server, used }, namespace).build())
}

// === impl Following ===

impl Following {
    fn client(&self) -> Client {
        let (used, config) = (self.used.load(), self.server.current());
        if Arc::ptr_eq(&used.config, &config) {
            return used.client.clone();
        }
        let client = client(Config::clone(&config)).unwrap_or_else(|error| {
            // It was looked at before, so this is for what nobody thought of.
            error!(error = %Report(&error), "no client can be made of what was reloaded, the one before stays in use");
            used.client.clone()
        });
        self.used.store(Arc::new(Used { config, client: client.clone() }));
        client
    }
}

impl Service<Request<Body>> for Following {
    type Response = http::Response<Body>;
    type Error = kube::Error;
    type Future = BoxFuture<'static, Result<Self::Response, kube::Error>>;

    fn poll_ready(&mut self, _cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), kube::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let client = self.client();
        Box::pin(async move { client.send(request).await })
    }
}
