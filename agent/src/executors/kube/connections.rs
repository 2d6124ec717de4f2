//! Connections to the API server, kept for the next exchange.
//!
//! Always true:
//! - One exchange at a time runs on a connection. One that ended badly, was cancelled or was upgraded is never used
//!   again.
//! - Nothing is sent twice that may have reached the API server. A request moves to another connection only when hyper
//!   hands it back, which it does as long as no byte of it was written.
//!
//! Not hyper-util's pooled client: it asks whether a connection can be used again from a task of its own per answer,
//! hashes the server's address for each request, and its tasks belong to nobody.

use std::{
    error::Error,
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use common::{
    Report, drain,
    http::{
        pool::{self, Pool},
        sender::Sender,
    },
};
use http::{Request, Response, Uri};
use hyper::{body::Incoming, client::conn::http1};
use tokio::sync::oneshot;
use tower::ServiceExt;
use tracing::{debug, debug_span};

use super::{body::SendBody, connect::Connector};

/// Exchanges HTTP/1.1 messages with one server.
pub(super) struct Connections {
    connector: Connector,
    server: Uri,
    /// There is but one server.
    pool: Arc<Pool<(), Connection>>,
    drain: drain::Watch,
    /// Dropped with the rest: then no connection is kept any more.
    _in_use: oneshot::Sender<()>,
}

/// Why no answer came.
#[derive(Debug)]
pub(super) enum SendError {
    /// There is no connection, so nothing was sent.
    Connect(Box<dyn Error + Send + Sync>),
    /// The connection broke, or what came was not HTTP.
    Exchange(hyper::Error),
}

/// One connection. Dropping it closes it when what runs on it has ended.
struct Connection {
    sender: Sender<SendBody>,
    running: Running,
}

/// Where a connection's sender waits for the end of its answer. The connection's own task looks after each of its turns,
/// since it is there that an exchange ends; whoever puts a sender in looks once, since it may have ended already.
#[derive(Clone, Default)]
struct Running(Arc<Mutex<Option<Sender<SendBody>>>>);

// === impl Connections ===

impl Connections {
    /// Connections to `server`, a scheme and an authority; their tasks belong to `drain`. Nothing is connected yet.
    pub(super) fn new(connector: Connector, server: Uri, drain: drain::Watch) -> Self {
        let pool = Pool::new(MAX_IDLE);
        let (in_use, out_of_use) = oneshot::channel::<()>();
        let (expiring, draining) = (Arc::clone(&pool), drain.clone());
        drain.spawn(debug_span!("idle_connections"), async move {
            tokio::select! {
                () = Arc::clone(&expiring).expire(draining) => {}
                _dropped = out_of_use => expiring.close(),
            }
        });
        Self { connector, server, pool, drain, _in_use: in_use }
    }

    /// Sends a request, whose URI is a path, and returns the answer when its head is here.
    ///
    /// # Cancel safety
    /// Dropping the future, or the answer's body before its end, closes the connection.
    pub(super) async fn send(&self, mut request: Request<SendBody>) -> Result<Response<Incoming>, SendError> {
        loop {
            let idle = self.pool.take(());
            let reused = idle.is_some();
            let mut connection = match idle {
                Some(connection) => connection,
                None => Box::pin(self.connect()).await?,
            };
            // One that was just put back may have a word to say yet, for instance that it is closed.
            if reused && connection.sender.ready().await.is_err() {
                continue;
            }
            let Connection { sender, running } = connection;
            match sender.send(request).await {
                Ok((answer, sender)) => {
                    if let Some(sender) = sender {
                        running.begin(sender);
                        running.park_ended(&self.pool);
                    }
                    return Ok(answer);
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if reused => request = unsent,
                    _ => return Err(SendError::Exchange(error.into_error())),
                },
            }
        }
    }

    async fn connect(&self) -> Result<Connection, SendError> {
        let io = self.connector.clone().oneshot(self.server.clone()).await.map_err(SendError::Connect)?;
        let (requests, connection) = http1::handshake(io).await.map_err(SendError::Exchange)?;
        let (sender, driven) = Sender::new(requests);
        let running = Running::default();
        let (mut connection, pool, ours) = (connection.with_upgrades(), Arc::clone(&self.pool), running.clone());
        self.drain.spawn(debug_span!("connection"), async move {
            let ended = driven.drive(poll_fn(move |cx| {
                let polled = Pin::new(&mut connection).poll(cx);
                ours.park_ended(&pool);
                polled
            }));
            if let Err(error) = ended.await {
                debug!(error = %Report(&error), "connection to the API server ended");
            }
        });
        Ok(Connection { sender, running })
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("server", &self.server).field("pool", &self.pool).finish_non_exhaustive()
    }
}

// === impl Connection ===

impl pool::Connection for Connection {
    fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

// === impl Running ===

impl Running {
    fn begin(&self, sender: Sender<SendBody>) {
        *self.sender() = Some(sender);
    }

    /// Keeps the connection if its exchange has ended: hyper then waits for the next request.
    fn park_ended(&self, pool: &Pool<(), Connection>) {
        let ended = self.sender().take_if(|sender| sender.is_ready());
        if let Some(sender) = ended {
            pool.park((), Connection { sender, running: self.clone() });
        }
    }

    fn sender(&self) -> MutexGuard<'_, Option<Sender<SendBody>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thousand clients at once leave as many connections; a handshake costs more than a kept socket.
const MAX_IDLE: usize = 1024;
