//! gRPC on one connection of an agent, with the tunnel's own windows and limits.

use std::{future::ready, sync::Arc};

use common::{
    Report, drain,
    enrollment::LONGEST_REQUEST,
    proto::{
        enrollment::enrollment_server::{EnrollmentServer, SERVICE_NAME},
        tunnel_server::TunnelServer,
    },
    tunnel::{
        call,
        limits::{CONCURRENT_STREAMS, FRAME, HANDSHAKE, MESSAGE, PENDING_RESETS, connection_window, http2_window},
    },
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
use crate::enrollment::EnrollmentService;

/// Serves the tunnel's connections.
#[derive(Debug, Clone)]
pub struct TunnelServe {
    http2: Arc<http2::Builder<TokioExecutor>>,
    /// For who is no agent.
    strangers: Arc<http2::Builder<TokioExecutor>>,
    service: TunnelServer<TunnelService>,
    /// The same, for the calls that are none of tonic's.
    pipes: Arc<TunnelService>,
    /// Where agents get their certificates here.
    enrollment: Option<EnrollmentServer<EnrollmentService>>,
}

// === impl TunnelServe ===

impl TunnelServe {
    /// Serves `service`, which takes `stream_window` bytes of a pipe before it grants more.
    #[must_use]
    pub fn new(service: TunnelService, stream_window: u32) -> Self {
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .initial_stream_window_size(http2_window(stream_window))
            .initial_connection_window_size(connection_window(stream_window, service.per_agent()))
            .max_concurrent_streams(CONCURRENT_STREAMS)
            .max_pending_accept_reset_streams(PENDING_RESETS)
            .max_local_error_reset_streams(PENDING_RESETS)
            .max_frame_size(FRAME);
        let mut strangers = http2::Builder::new(TokioExecutor::new());
        strangers.timer(TokioTimer::new()).max_concurrent_streams(STRANGERS_STREAMS);
        let pipes = Arc::new(service.with_window(stream_window));
        let service = TunnelServer::from_arc(Arc::clone(&pipes)).max_decoding_message_size(MESSAGE);
        Self { http2: Arc::new(http2), strangers: Arc::new(strangers), service, pipes, enrollment: None }
    }

    /// The same, where agents get their certificates, too.
    #[must_use]
    pub fn with_enrollment(self, service: Option<EnrollmentService>) -> Self {
        let server = |service| EnrollmentServer::new(service).max_decoding_message_size(LONGEST_REQUEST + OVERHEAD);
        Self { enrollment: service.map(server), ..self }
    }

    /// Serves one connection until it ends.
    pub fn serve<I>(&self, io: I, entrance: Entrance, drain: drain::Watch) -> impl Future<Output = ()> + Send + use<I>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (used, kill) = (CancellationToken::new(), CancellationToken::new());
        // Where agents get their certificates they are known by them, so whoever shows none can only be there to join.
        let stranger = self.enrollment.is_some() && !entrance.shows_certificate();
        let http2 = if stranger { &self.strangers } else { &self.http2 };
        let peer = Peer::new(entrance, used.clone(), kill.clone());
        let (tunnel, pipes, enrollment) = (self.service.clone(), Arc::clone(&self.pipes), self.enrollment.clone());
        let service = hyper::service::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(peer.clone());
            match (request.uri().path(), &enrollment) {
                (call::PATH, _) => Box::pin(ready(Ok(pipes.pipe(request)))),
                (path, Some(enrollment)) if is_enrollment(path) => enrollment.clone().call(request),
                _ => tunnel.clone().call(request),
            }
        });
        // Boxed: it is kilobytes, and every future around it would have them once more.
        let mut connection = Box::pin(http2.serve_connection(TokioIo::new(io), service));
        // A connection with a session lives as long as that: HTTP/2's own graceful shutdown would keep the agent from
        // opening pipes for the exchanges that still run. Boxed: it is over soon, and the connection stays.
        let in_use = Box::pin(async move {
            tokio::select! {
                () = used.cancelled() => true,
                () = drain.draining() => false,
                () = tokio::time::sleep(HANDSHAKE) => false,
            }
        });
        async move {
            let begun = tokio::select! {
                ended = &mut connection => Err(ended),
                in_use = in_use => Ok(in_use),
            };
            let ended = match begun {
                Err(ended) => ended,
                Ok(false) => return,
                Ok(true) => tokio::select! {
                    ended = connection => ended,
                    () = kill.cancelled() => return,
                },
            };
            if let Err(error) = ended {
                debug!(error = %Report(&error), "connection of an agent ended");
            }
        }
    }
}

/// The paths of that service: `/<service>/<call>`.
fn is_enrollment(path: &str) -> bool {
    path.strip_prefix('/').and_then(|path| path.strip_prefix(SERVICE_NAME)).is_some_and(|rest| rest.starts_with('/'))
}

/// Whoever is no agent has a question or two; HTTP/2's other defaults are made for strangers.
const STRANGERS_STREAMS: u32 = 8;

/// What a message has beside the request: a token's id and secret, a name.
const OVERHEAD: usize = 1 << 10;
