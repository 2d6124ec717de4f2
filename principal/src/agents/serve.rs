//! gRPC on one connection of an agent, with the tunnel's own windows and limits.

use std::sync::Arc;

use common::{
    Report, drain,
    proto::tunnel_server::TunnelServer,
    tunnel::limits::{CONCURRENT_STREAMS, CONNECTION_WINDOW, FRAME, HANDSHAKE, MESSAGE, PENDING_RESETS},
};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tower_service::Service;
use tracing::debug;

use super::{
    auth::Entrance,
    service::{Peer, TunnelService},
};

/// Serves the tunnel's connections.
#[derive(Debug, Clone)]
pub struct TunnelServe {
    http2: Arc<http2::Builder<TokioExecutor>>,
    service: TunnelServer<TunnelService>,
}

// === impl TunnelServe ===

impl TunnelServe {
    /// Serves `service` with `stream_window` bytes of HTTP/2 window for each pipe.
    #[must_use]
    pub fn new(service: TunnelService, stream_window: u32) -> Self {
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .initial_stream_window_size(stream_window)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_concurrent_streams(CONCURRENT_STREAMS)
            .max_pending_accept_reset_streams(PENDING_RESETS)
            .max_local_error_reset_streams(PENDING_RESETS)
            .max_frame_size(FRAME);
        Self { http2: Arc::new(http2), service: TunnelServer::new(service).max_decoding_message_size(MESSAGE) }
    }

    /// Serves one connection until it ends.
    pub async fn serve<I>(&self, io: I, entrance: Entrance, drain: drain::Watch)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (used, kill) = (CancellationToken::new(), CancellationToken::new());
        let peer = Peer::new(entrance, used.clone(), kill.clone());
        let grpc = self.service.clone();
        let service = hyper::service::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(peer.clone());
            grpc.clone().call(request)
        });
        let connection = self.http2.serve_connection(TokioIo::new(io), service);
        // A connection with a session lives as long as that: HTTP/2's own graceful shutdown would keep the agent from
        // opening pipes for the exchanges that still run.
        let unused = async {
            tokio::select! {
                () = used.cancelled() => std::future::pending().await,
                () = drain.draining() => {}
                () = tokio::time::sleep(HANDSHAKE) => {}
            }
        };
        let ended = tokio::select! {
            ended = connection => ended,
            () = kill.cancelled() => return,
            () = unused => return,
        };
        if let Err(error) = ended {
            debug!(error = %Report(&error), "connection of an agent ended");
        }
    }
}
