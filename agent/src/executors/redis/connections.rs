//! Connections to the agent's Redis, lent to one pipe at a time and kept for the next.
//!
//! Always true:
//! - What is kept has been logged in, is owed nothing by Redis and owes nothing to anybody.
//! - At most [`MAX_WORKING`] connections work at a time; who waits for one waits within its own deadline. A connection
//!   whose pipe's reader stalls does not work, and gives its place to others; with those there are at most [`MAX_LENT`].
//! - While Redis is away one tries to reach it and all others are told so at once.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::BytesMut;
use common::{
    Report, drain,
    http::pool::{self, Pool},
    redis::{Credentials, Endpoint, LoginError, Stream, login, select},
    resp::{ReplyScanner, replies::Limits},
};
use tokio::{
    sync::{Notify, Semaphore, SemaphorePermit},
    time::{Instant, timeout, timeout_at},
};
use tracing::{debug_span, info, warn};

use super::{
    failure::Failure,
    metrics::{ConnectOutcome, Open, RedisMetrics},
};

/// Lends connections to one Redis.
pub(super) struct Connections {
    endpoint: Endpoint,
    credentials: Credentials,
    database: u32,
    /// There is but one server.
    pool: Arc<Pool<(), Connection>>,
    lent: Semaphore,
    working: Semaphore,
    /// A std mutex: held for a look, never across an await.
    away: Mutex<Option<Away>>,
    back: Notify,
    metrics: RedisMetrics,
}

/// A connection that is logged in. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: Stream,
    /// What Redis has said and nobody has read.
    pub(super) came: BytesMut,
    pub(super) scanner: ReplyScanner,
    _open: Open,
}

/// A connection that is lent. Dropping it closes it; [`Lease::end`] keeps it.
#[derive(Debug)]
pub(super) struct Lease<'c> {
    connections: &'c Connections,
    pub(super) connection: Connection,
    _lent: SemaphorePermit<'c>,
    working: Option<SemaphorePermit<'c>>,
}

/// Which connections will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    /// Any.
    Any,
    /// One that is made now.
    New,
}

/// Redis could not be used when it was tried last.
struct Away {
    failure: Failure,
    /// When it may be tried again; none while somebody tries.
    again: Option<Instant>,
}

/// Somebody who tries to reach a Redis that is away. Dropped without an outcome, the next may try.
struct Attempt<'c>(&'c Connections);

// === impl Connections ===

impl Connections {
    /// Connections to `endpoint`, kept within `drain`. Nothing is connected yet.
    pub(super) fn new(
        endpoint: Endpoint,
        credentials: Credentials,
        database: u32,
        metrics: RedisMetrics,
        drain: &drain::Watch,
    ) -> Self {
        let pool = Pool::new(MAX_WORKING);
        drain.spawn(debug_span!("idle_redis_connections"), Arc::clone(&pool).expire(drain.clone()));
        let (lent, working) = (Semaphore::new(MAX_LENT), Semaphore::new(MAX_WORKING));
        let (away, back) = (Mutex::new(None), Notify::new());
        Self { endpoint, credentials, database, pool, lent, working, away, back, metrics }
    }

    /// A connection, before `deadline`.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn lend(&self, freshness: Freshness, deadline: Instant) -> Result<Lease<'_>, Failure> {
        let lent = place(&self.lent, deadline).await?;
        let working = place(&self.working, deadline).await?;
        let kept = || match freshness {
            Freshness::Any => std::iter::from_fn(|| self.pool.take(())).find_map(Connection::if_quiet),
            Freshness::New => None,
        };
        let connection = match kept() {
            Some(connection) => connection,
            None => self.connect(deadline).await?,
        };
        Ok(Lease { connections: self, connection, _lent: lent, working: Some(working) })
    }

    /// A new connection, before `deadline`, that nobody counts among those that are lent.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn connect(&self, deadline: Instant) -> Result<Connection, Failure> {
        let attempt = self.attempt()?;
        let tried = self.dial(deadline).await;
        let outcome = match &tried {
            Ok(_) => ConnectOutcome::Connected,
            Err((Failure::Login(_), _)) => ConnectOutcome::LoginRefused,
            Err(_) => ConnectOutcome::Unreachable,
        };
        self.metrics.connected(outcome);
        match tried {
            Ok(stream) => {
                attempt.succeeded();
                Ok(Connection {
                    stream,
                    came: BytesMut::new(),
                    scanner: ReplyScanner::new(Limits::default()),
                    _open: self.metrics.open(),
                })
            }
            Err((failure, why)) => {
                attempt.failed(&failure, &why);
                Err(failure)
            }
        }
    }

    /// Resolves when Redis can be reached again, for those who wait before they try. May miss that it could already be.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn back(&self) {
        self.back.notified().await;
    }

    async fn dial(&self, deadline: Instant) -> Result<Stream, (Failure, String)> {
        let mut stream = match timeout(CONNECT, self.endpoint.connect()).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err((Failure::Unreachable(error.reason().into()), Report(&error).to_string())),
            Err(_elapsed) => {
                let text = format!("no connection within {} ms", CONNECT.as_millis());
                return Err((Failure::Unreachable(text.as_str().into()), text));
            }
        };
        let prepare = async {
            login(&mut stream, &self.credentials).await?;
            if self.database == 0 { Ok(()) } else { select(&mut stream, self.database).await }
        };
        match timeout_at(deadline, prepare).await {
            Ok(Ok(())) => Ok(stream),
            Ok(Err(error)) => Err((of_login(&error), Report(&error).to_string())),
            Err(_elapsed) => Err((Failure::Silent, Failure::Silent.to_string())),
        }
    }

    /// Whether to try now: not while Redis is away and somebody else tries, or has just tried.
    fn attempt(&self) -> Result<Attempt<'_>, Failure> {
        if let Some(away) = self.away().as_mut() {
            match away.again {
                Some(again) if again <= Instant::now() => away.again = None,
                _ => return Err(away.failure.clone()),
            }
        }
        Ok(Attempt(self))
    }

    fn away(&self) -> MutexGuard<'_, Option<Away>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, database, pool, .. } = self;
        f.debug_struct("Connections")
            .field("endpoint", endpoint)
            .field("database", database)
            .field("pool", pool)
            .finish_non_exhaustive()
    }
}

// === impl Attempt ===

impl Attempt<'_> {
    fn succeeded(&self) {
        if self.0.away().take().is_some() {
            info!(redis = %self.0.endpoint, "Redis can be used again");
            self.0.back.notify_waiters();
        }
    }

    fn failed(&self, failure: &Failure, why: &str) {
        let again = Some(Instant::now() + PAUSE);
        let before = self.0.away().replace(Away { failure: failure.clone(), again });
        if before.is_none_or(|before| before.failure != *failure) {
            warn!(redis = %self.0.endpoint, error = why, "Redis cannot be used");
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Some(away) = self.0.away().as_mut() {
            away.again.get_or_insert_with(Instant::now);
        }
    }
}

// === impl Connection ===

impl Connection {
    fn if_quiet(mut self) -> Option<Self> {
        self.stream.is_quiet().then_some(self)
    }
}

impl pool::Connection for Connection {
    /// It is looked at when it is taken out.
    fn is_closed(&self) -> bool {
        false
    }
}

// === impl Lease ===

impl Lease<'_> {
    /// Lets others work while this one waits for its pipe's reader.
    pub(super) fn give_way(&mut self) {
        self.working = None;
    }

    /// Keeps the connection, to which Redis has said all that it had to.
    pub(super) fn end(self) {
        let Self { connections, connection, .. } = self;
        if connection.came.is_empty() && connection.scanner.is_between() {
            connections.pool.park((), connection);
        }
    }
}

/// A place, before `deadline`.
async fn place(places: &Semaphore, deadline: Instant) -> Result<SemaphorePermit<'_>, Failure> {
    if let Ok(place) = places.try_acquire() {
        return Ok(place);
    }
    match timeout_at(deadline, places.acquire()).await {
        Ok(Ok(place)) => Ok(place),
        Ok(Err(_)) | Err(_) => Err(Failure::Busy),
    }
}

/// What a caller is told. Where the credentials are is none of its business.
fn of_login(error: &LoginError) -> Failure {
    match error {
        LoginError::Timeout => Failure::Silent,
        LoginError::Lost(_) => Failure::Lost,
        LoginError::NoRedis(_) => Failure::NoRedis,
        LoginError::Credentials(_) | LoginError::Refused(_) | LoginError::Database(..) => {
            Failure::Login(error.to_string().into())
        }
    }
}

/// Redis has one thread: more commands at a time are none the faster.
const MAX_WORKING: usize = 64;

/// Redis takes 10,000 clients (`maxclients`), and most of them are for Argo CD, however many readers stall.
const MAX_LENT: usize = 1024;

/// A connection within a cluster takes less than a millisecond. A caller is told within a second that there is none, so
/// this leaves some of it for the way through the tunnel.
const CONNECT: Duration = Duration::from_millis(800);

/// A Redis that is away is not tried more often: a wrong password would fill its log.
const PAUSE: Duration = Duration::from_millis(100);
