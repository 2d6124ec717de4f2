//! TCP for HTTP clients, through a proxy where one is on the way.

use std::{
    error::Error,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::{Uri, uri::Scheme};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use tokio::net::TcpStream;
use tower_service::Service;

use super::Proxy;

/// Connects to the host and port of a URL. It has no deadline of its own. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ProxyConnector {
    tcp: HttpConnector,
    proxy: Option<Arc<Proxy>>,
}

// === impl ProxyConnector ===

impl ProxyConnector {
    /// All connections go through `proxy`, if there is one.
    #[must_use]
    pub fn new(proxy: Option<Proxy>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEP_ALIVE));
        tcp.set_keepalive_interval(Some(KEEP_ALIVE_INTERVAL));
        tcp.set_keepalive_retries(Some(3));
        Self { tcp, proxy: proxy.map(Arc::new) }
    }
}

impl Service<Uri> for ProxyConnector {
    type Response = TokioIo<TcpStream>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Some(proxy) = self.proxy.clone() else {
            let connecting = self.tcp.call(uri);
            return Box::pin(async move { Ok(connecting.await?) });
        };
        let connecting = self.tcp.call(proxy.url().clone());
        Box::pin(async move {
            let tcp = connecting.await.map_err(|error| proxy.unreachable(error))?.into_inner();
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
            let usual = if uri.scheme() == Some(&Scheme::HTTP) { 80 } else { 443 };
            Ok(TokioIo::new(proxy.ask(tcp, host, uri.port_u16().unwrap_or(usual)).await?))
        })
    }
}

/// A watch may be silent for long, and a node that is gone says nothing: noticed after a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
