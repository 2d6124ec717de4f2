//! `kube`'s client, whose requests go the way that is current when they begin.

use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use http::Request;
use kube::{
    Client, Config,
    client::{Body, ClientBuilder},
};
use tower_service::Service;
use tracing::error;

use super::ApiServer;
use crate::Report;

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

pub(super) fn following(server: ApiServer) -> Result<Client, kube::Error> {
    let config = server.current();
    let namespace = config.default_namespace.clone();
    let client = Client::try_from(Config::clone(&config))?;
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
        let client = Client::try_from(Config::clone(&config)).unwrap_or_else(|error| {
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
