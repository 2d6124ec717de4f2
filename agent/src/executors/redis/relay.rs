//! Commands to Redis and its answers back, some at a time.
//!
//! Always true:
//! - Every command has one answer, in order. What cannot be asked is answered with an error; an answer that has begun and
//!   cannot be ended cuts the pipe.
//! - Only reads come here, so what an old connection lost is said once more, on a new one.
//! - An answer streams: what is held of it fits a chunk. While the pipe's reader takes nothing, nothing more is read of
//!   Redis, and nobody but this pipe waits.

use std::{collections::VecDeque, io, pin::pin, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout, timeout_at},
};

use super::{
    answer::{Answer, Wrong},
    connections::{Connections, Freshness, Lease},
    failure::Failure,
    metrics::{Outcome, RedisMetrics},
    output::Output,
    policy::Ask,
};

/// Commands of one pipe that are to be answered, in order.
#[derive(Debug, Default)]
pub(super) struct Batch {
    turns: VecDeque<Turn>,
    asks: usize,
}

#[derive(Debug)]
enum Turn {
    /// Its answer is known.
    Known(Bytes),
    Ask(Ask),
}

/// The pipe is of no more use.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cut {
    /// The other end has left.
    #[error("the pipe broke")]
    Pipe(#[source] io::Error),
    /// What came from it is no command.
    #[error("what came is no command")]
    Protocol(#[source] common::resp::ProtocolError),
    /// An answer has begun and cannot be ended.
    #[error("an answer broke off")]
    Answer,
}

/// Why a connection answers no further command.
enum Stop {
    Failed(Failure),
    Cut(Cut),
}

// === impl Batch ===

impl Batch {
    /// A command whose answer is known.
    pub(super) fn answer(&mut self, frame: Bytes) {
        self.turns.push_back(Turn::Known(frame));
    }

    /// A command that Redis answers.
    pub(super) fn ask(&mut self, ask: Ask) {
        self.turns.push_back(Turn::Ask(ask));
        self.asks += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Whether these are as many as Redis is told at a time. It holds what it answers until we have taken it, so this
    /// bounds what a pipe whose reader stalls costs it.
    pub(super) fn is_full(&self) -> bool {
        self.turns.len() >= FULL
    }

    /// What is to be said to Redis.
    fn commands(&self) -> BytesMut {
        let asks = || self.turns.iter().filter_map(Turn::ask);
        let mut commands = BytesMut::with_capacity(asks().map(|ask| ask.commands.len()).sum());
        asks().for_each(|ask| commands.extend_from_slice(&ask.commands));
        commands
    }

    /// The answers that are known, up to the next command that Redis answers, or at most as many as are written at once.
    fn known(&mut self, out: &mut Output) {
        while let Some(Turn::Known(frame)) = self.turns.front_mut() {
            if out.is_full() {
                return;
            }
            out.push(std::mem::take(frame));
            self.turns.pop_front();
        }
    }

    /// The command that Redis answers next.
    fn next(&self) -> Option<&Ask> {
        self.turns.front().and_then(Turn::ask)
    }

    fn answered(&mut self) {
        self.turns.pop_front();
        self.asks = self.asks.saturating_sub(1);
    }

    /// None of what is left is answered by Redis.
    fn fail(&mut self, failure: &Failure, metrics: &RedisMetrics) {
        self.asks = 0;
        for turn in &mut self.turns {
            if let Turn::Ask(ask) = turn {
                metrics.ran(ask.class, failure.outcome());
                *turn = Turn::Known(failure.frame());
            }
        }
    }
}

impl Turn {
    fn ask(&self) -> Option<&Ask> {
        match self {
            Self::Ask(ask) => Some(ask),
            Self::Known(_) => None,
        }
    }
}

/// Answers all that is in `batch`, which is empty then.
///
/// # Cancel safety
/// Not cancel safe: the pipe is of no more use.
pub(super) async fn answer<P>(
    connections: &Connections,
    metrics: &RedisMetrics,
    batch: &mut Batch,
    pipe: &mut P,
) -> Result<(), Cut>
where
    P: AsyncWrite + Unpin,
{
    let deadline = Instant::now() + SILENCE;
    let mut out = Output::default();
    let mut freshness = Freshness::Any;
    while batch.asks > 0 {
        let failure = match connections.lend(freshness, deadline).await {
            Ok(mut lease) => match converse(&mut lease, metrics, batch, &mut out, deadline, pipe).await {
                Ok(()) => {
                    lease.end();
                    continue;
                }
                Err(Stop::Cut(cut)) => return Err(cut),
                Err(Stop::Failed(failure)) => failure,
            },
            Err(failure) => failure,
        };
        // It was closed while nobody looked, or Redis has just ended.
        if failure == Failure::Lost && freshness == Freshness::Any {
            freshness = Freshness::New;
        } else {
            batch.fail(&failure, metrics);
        }
    }
    while !batch.is_empty() || !out.is_empty() {
        batch.known(&mut out);
        out.write_to(pipe).await.map_err(Cut::Pipe)?;
    }
    Ok(())
}

/// Says what is to be said on one connection, and hands on the answers. What is written to `out` and not to the pipe is
/// whole answers.
async fn converse<P>(
    lease: &mut Lease<'_>,
    metrics: &RedisMetrics,
    batch: &mut Batch,
    out: &mut Output,
    mut deadline: Instant,
    pipe: &mut P,
) -> Result<(), Stop>
where
    P: AsyncWrite + Unpin,
{
    let commands = batch.commands();
    let said = async {
        lease.connection.stream.write_all(&commands).await?;
        lease.connection.stream.flush().await
    };
    match timeout_at(deadline, said).await {
        Ok(Ok(())) => {}
        Ok(Err(_lost)) => return Err(Stop::Failed(Failure::Lost)),
        Err(_elapsed) => return Err(Stop::Failed(Failure::Silent)),
    }
    drop(commands);
    loop {
        batch.known(out);
        let Some(ask) = batch.next() else {
            if batch.is_empty() {
                return Ok(());
            }
            write(lease, out, pipe).await?;
            continue;
        };
        let mut answer = Answer::new(ask.form);
        let handed = hand_on(lease, &mut answer, out, &mut deadline, pipe).await;
        let outcome = match &handed {
            Ok(()) => answer.failure().map_or(Outcome::Answered, Failure::outcome),
            // It is said again, or fails with all others.
            Err(Stop::Failed(_)) => return handed,
            Err(Stop::Cut(_)) => Outcome::Cut,
        };
        metrics.ran(ask.class, outcome);
        handed?;
        batch.answered();
    }
}

/// Hands on one answer.
async fn hand_on<P>(
    lease: &mut Lease<'_>,
    answer: &mut Answer,
    out: &mut Output,
    deadline: &mut Instant,
    pipe: &mut P,
) -> Result<(), Stop>
where
    P: AsyncWrite + Unpin,
{
    let stop = |answer: &Answer, failure| match answer.has_begun() {
        true => Stop::Cut(Cut::Answer),
        false => Stop::Failed(failure),
    };
    let wrong = |answer: &Answer, wrong| match wrong {
        Wrong::Kind => stop(answer, Failure::NoRedis),
        Wrong::Value => Stop::Cut(Cut::Answer),
    };
    loop {
        let connection = &mut lease.connection;
        match connection.scanner.next(&mut connection.came) {
            Ok(Some(event)) => answer.hear(event, out).map_err(|kind| wrong(answer, kind))?,
            Ok(None) => {
                // What Redis said last is on its way before more is waited for.
                if !out.is_empty() {
                    write(lease, out, pipe).await?;
                    *deadline = Instant::now() + SILENCE;
                }
                read(lease, *deadline).await.map_err(|failure| stop(answer, failure))?;
                *deadline = Instant::now() + SILENCE;
                continue;
            }
            Err(_malformed) => return Err(stop(answer, Failure::NoRedis)),
        }
        while answer.give(out).map_err(|kind| wrong(answer, kind))? {
            if out.is_full() {
                write(lease, out, pipe).await?;
            }
        }
        if answer.is_over() {
            return Ok(());
        }
        if out.is_full() {
            write(lease, out, pipe).await?;
        }
    }
}

async fn read(lease: &mut Lease<'_>, deadline: Instant) -> Result<(), Failure> {
    let connection = &mut lease.connection;
    connection.came.reserve(if connection.scanner.is_between() { ROOM } else { ROOM_WITHIN });
    match timeout_at(deadline, connection.stream.read_buf(&mut connection.came)).await {
        Ok(Ok(0) | Err(_)) => Err(Failure::Lost),
        Ok(Ok(_)) => Ok(()),
        Err(_elapsed) => Err(Failure::Silent),
    }
}

/// Writes to the pipe for as long as that takes: its reader's pace is the principal's business.
async fn write<P>(lease: &mut Lease<'_>, out: &mut Output, pipe: &mut P) -> Result<(), Stop>
where
    P: AsyncWrite + Unpin,
{
    let mut written = pin!(out.write_to(pipe));
    let written = match timeout(STALL, &mut written).await {
        Ok(written) => written,
        Err(_elapsed) => {
            lease.give_way();
            written.await
        }
    };
    written.map_err(|error| Stop::Cut(Cut::Pipe(error)))
}

/// For how long Redis may say nothing while it owes us something. Reads of a key take it microseconds; a Redis that forks
/// or frees much memory stops for a second or two. Argo CD itself gives up after 5 s (go-redis's `ReadTimeout`).
const SILENCE: Duration = Duration::from_secs(5);

/// A pipe whose reader takes nothing for so long does not count among those that work.
const STALL: Duration = Duration::from_millis(100);

/// So many commands are said at a time.
const FULL: usize = 32;

/// Room for what Redis says: some usual values at once, and a chunk of one that is large.
const ROOM: usize = 16 << 10;
const ROOM_WITHIN: usize = 64 << 10;
