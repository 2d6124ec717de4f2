//! The HTTP/1.1 client whose connections are pipes to agents.
//!
//! Always true:
//! - One exchange at a time runs in a pipe. One that ended badly, was cancelled or was upgraded is never used again.
//! - Nothing is sent twice that may have reached the agent. A request moves to another pipe only when hyper hands it
//!   back, which it does as long as no byte of it was written: that is how an idle pipe found closed is replaced.
//! - Whoever drops an exchange, at any point, cuts its pipe at once, and with that cancels the work at the agent.
//!
//! Not hyper-util's pooled client: it spawns a task per answer to put the connection back, cannot cut a connection whose
//! peer has stopped reading, and its idle reaper would hold up the drain.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use common::{
    AgentName, Refusal, Report, drain,
    http::{
        pool::{Connection, Pool},
        sender::Sender,
    },
    tunnel::{PipeError, SessionId, Target, error::RefusedReason},
};
use http::{Request, Response, StatusCode};
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use tracing::{debug, debug_span};

use super::upload::{Upload, UploadBody};
use crate::agents::{DialError, Dialer, Lease};

/// Exchanges HTTP/1.1 messages with one target of any agent.
pub(crate) struct Client<B: Body> {
    dialer: Arc<dyn Dialer>,
    target: Target,
    pool: Arc<Pipes<B>>,
    drain: drain::Watch,
}

/// Idle pipes by session, so that a pipe of a session that was replaced is never used for the next one.
type Pipes<B> = Pool<SessionId, Pipe<UploadBody<B>>>;

/// One pipe with HTTP/1.1 in it. Dropping it ends the pipe, whatever runs in it: hyper's own way to close waits until the
/// peer has taken what is buffered, which a peer that stalls never does.
struct Pipe<B>(Sender<B>);

/// The body of an answer. Its clean end gives the pipe back; dropping it before cuts the pipe.
pub(crate) struct PipeBody<B: Body> {
    incoming: Incoming,
    exchange: Option<Exchange<B>>,
}

/// What an exchange holds until its answer has ended.
pub(crate) struct Exchange<B: Body> {
    /// None when it has ended already.
    pipe: Option<Pipe<UploadBody<B>>>,
    pool: Arc<Pipes<B>>,
    upload: Upload,
    lease: Lease,
}

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// There is no session to ask for a pipe.
    #[error("no pipe to the agent")]
    Dial(#[source] DialError),
    /// The pipe broke, was refused, or carried no HTTP.
    #[error("exchange with the agent failed")]
    Exchange(#[source] hyper::Error),
}

// === impl Client ===

impl<B> Client<B>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// A client for `target`; its tasks belong to `drain`.
    pub(crate) fn new(dialer: Arc<dyn Dialer>, target: Target, drain: drain::Watch) -> Self {
        let pool = Pool::new(MAX_IDLE);
        drain.spawn(debug_span!("idle_pipes"), Arc::clone(&pool).expire(drain.clone()));
        Self { dialer, target, pool, drain }
    }

    /// Reserves one exchange with the agent.
    pub(crate) fn reserve(&self, agent: &AgentName) -> Result<Lease, DialError> {
        self.dialer.reserve(agent)
    }

    /// Sends a request, whose URI is a path and whose headers are for the agent, and returns the answer's head as soon
    /// as it is there.
    ///
    /// # Errors
    /// When no answer comes. What was sent until then may have been carried out.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the exchange.
    pub(crate) async fn send(
        &self,
        lease: Lease,
        mut request: Request<UploadBody<B>>,
    ) -> Result<Response<PipeBody<B>>, SendError> {
        let upload = request.body().observer().clone();
        loop {
            let idle = self.pool.take(lease.session);
            let reused = idle.is_some();
            let mut pipe = match idle {
                Some(pipe) => pipe,
                None => self.dial(lease.session).await?,
            };
            // A pipe that was just put back may have a word to say yet, for instance that it is closed.
            if reused && pipe.0.ready().await.is_err() {
                continue;
            }
            match pipe.0.send(request).await {
                Ok((response, sender)) => {
                    let exchange = Exchange { pipe: sender.map(Pipe), pool: Arc::clone(&self.pool), upload, lease };
                    let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
                    return Ok(response.map(|incoming| PipeBody::new(incoming, exchange, switches)));
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if reused => request = unsent,
                    _ => return Err(SendError::Exchange(error.into_error())),
                },
            }
        }
    }

    async fn dial(&self, session: SessionId) -> Result<Pipe<UploadBody<B>>, SendError> {
        let stream = self.dialer.dial(session, self.target).map_err(SendError::Dial)?;
        let (requests, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(SendError::Exchange)?;
        let (sender, driven) = Sender::new(requests);
        self.drain.spawn(debug_span!("pipe", %session), async move {
            if let Some(Err(error)) = driven.drive_while_used(connection.with_upgrades()).await {
                debug!(error = %Report(&error), "pipe ended");
            }
        });
        Ok(Pipe(sender))
    }
}

impl<B: Body> fmt::Debug for Client<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("target", &self.target).finish_non_exhaustive()
    }
}

// === impl Pipe ===

impl<B> Connection for Pipe<B> {
    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

// === impl PipeBody ===

impl<B: Body> PipeBody<B> {
    fn new(incoming: Incoming, exchange: Exchange<B>, switches: bool) -> Self {
        let mut new = Self { incoming, exchange: Some(exchange) };
        // Nobody polls a body that is empty. An exchange that switches protocols is only beginning.
        if new.incoming.is_end_stream() && !switches {
            new.finish();
        }
        new
    }

    /// What must be held while the pipe is used beyond this answer.
    pub(crate) fn into_exchange(self) -> Option<Exchange<B>> {
        self.exchange
    }

    fn finish(&mut self) {
        if let Some(Exchange { pipe: Some(pipe), pool, upload, lease }) = self.exchange.take()
            // An answer that did not wait for all of its request: the rest has no place in the next exchange.
            && upload.is_complete()
        {
            pool.park(lease.session, pipe);
        }
    }
}

impl<B: Body> Body for PipeBody<B> {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(frame))) => {
                if self.incoming.is_end_stream() || frame.is_trailers() {
                    self.finish();
                }
            }
            Poll::Ready(None) => self.finish(),
            Poll::Ready(Some(Err(_))) => self.exchange = None,
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl<B: Body> Unpin for PipeBody<B> {}

impl<B: Body> fmt::Debug for PipeBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipeBody").field("incoming", &self.incoming).finish_non_exhaustive()
    }
}

// === impl SendError ===

impl SendError {
    /// What the caller is told.
    pub(crate) fn refusal(&self) -> Refusal {
        match self {
            Self::Dial(DialError::NotConnected) => Refusal::AgentNotConnected,
            Self::Dial(DialError::Busy) => Refusal::TooManyRequests,
            Self::Exchange(error) => match PipeError::find(error) {
                Some(PipeError::Refused(RefusedReason::Target)) => Refusal::ProxyDisabled,
                Some(PipeError::Refused(RefusedReason::Busy)) => Refusal::TooManyRequests,
                Some(PipeError::Refused(RefusedReason::Draining)) => Refusal::AgentNotConnected,
                Some(PipeError::Refused(RefusedReason::Unknown) | PipeError::SessionLost | PipeError::Cut(_))
                | None => Refusal::TunnelBroken,
            },
        }
    }
}

/// Idle pipes of one session: more exchanges than this seldom end at the same moment, and each costs both ends memory.
const MAX_IDLE: usize = 32;
