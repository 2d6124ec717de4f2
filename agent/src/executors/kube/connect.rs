//! A connection to the API server: TCP, maybe through a proxy, and TLS for `https`, under one deadline.

use std::{
    error::Error,
    task::{Context, Poll},
    time::Duration,
};

use common::proxy::{Proxy, ProxyConnector};
use futures_util::future::BoxFuture;
use http::Uri;
use hyper_rustls::HttpsConnector;
use kube::{Config, client::ConfigExt};
use tower_service::Service;

/// Connects to the API server.
pub(super) type Connector = Deadline<HttpsConnector<ProxyConnector>>;

/// Lets a connection take so long and no longer, its TLS handshake included.
#[derive(Debug, Clone)]
pub(super) struct Deadline<C>(C);

/// The deadline is over.
#[derive(Debug, thiserror::Error)]
#[error("no connection within {} s", CONNECT.as_secs())]
struct TimedOut;

/// A connector as the configuration says. HTTP/1.1 only: without ALPN an API server speaks nothing else.
pub(super) fn connector(config: &Config) -> kube::Result<Connector> {
    // `kube` builds its TLS configuration on the process's default provider.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Fails only where somebody else just did the same.
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    }
    let proxy = config.proxy_url.as_ref().and_then(|url| Proxy::parse(&url.to_string()));
    let tcp = ProxyConnector::new(proxy);
    config.rustls_https_connector_with_connector(tcp).map(Deadline)
}

// === impl Deadline ===

impl<C> Service<Uri> for Deadline<C>
where
    C: Service<Uri>,
    C::Error: Into<Box<dyn Error + Send + Sync>>,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<C::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async move {
            match tokio::time::timeout(CONNECT, connecting).await {
                Ok(connected) => connected.map_err(Into::into),
                Err(_elapsed) => Err(TimedOut.into()),
            }
        })
    }
}

/// Below the 10 s that a request may take to its answer's head, so that the caller learns why there is none.
const CONNECT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use tokio::{net::TcpListener, time::Instant};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_proxy_that_says_nothing_is_given_up() {
        // The kernel accepts, and nobody answers.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = Config::new("https://api.example:6443".parse().unwrap());
        config.proxy_url = Some(format!("http://{}", silent.local_addr().unwrap()).parse().unwrap());
        let began = Instant::now();
        let error = connector(&config).unwrap().call(config.cluster_url.clone()).await.err().unwrap();
        assert_eq!(error.to_string(), "no connection within 5 s");
        assert_eq!(began.elapsed(), CONNECT);
    }
}
