//! One pipe: commands in, answers and messages out.

use std::{io, sync::Arc};

use bytes::{Bytes, BytesMut};
use common::{
    Report, drain,
    resp::{
        Command, CommandEvent, CommandScanner,
        commands::Limits,
        frames::{self, ErrorCode},
    },
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tracing::debug;

use super::{
    Shared,
    metrics::{CommandClass, Outcome},
    output::Output,
    policy::{Step, judge},
    relay::{self, Batch, Cut},
    subscriptions::Subscriptions,
};

/// What runs on one pipe.
pub(super) struct Session<P> {
    shared: Arc<Shared>,
    pipe: P,
    scanner: CommandScanner,
    input: BytesMut,
    batch: Batch,
    subscriptions: Subscriptions,
}

// === impl Session ===

impl<P> Session<P>
where
    P: AsyncRead + AsyncWrite + Unpin,
{
    pub(super) fn new(shared: Arc<Shared>, pipe: P) -> Self {
        let subscriptions = Subscriptions::new(Arc::clone(&shared));
        let scanner = CommandScanner::new(Limits { bulk: BULK, hold: HOLD, ..Limits::default() });
        Self { shared, pipe, scanner, input: BytesMut::new(), batch: Batch::default(), subscriptions }
    }

    /// Runs until the principal has had enough, or `finish` says that what runs is the last.
    pub(super) async fn run(mut self, finish: &drain::Watch) {
        match self.serve(finish).await {
            // Nobody may be there to hear it.
            Ok(()) => self.pipe.shutdown().await.unwrap_or_default(),
            Err(cut) => debug!(error = %Report(&cut), "pipe cut"),
        }
    }

    async fn serve(&mut self, finish: &drain::Watch) -> Result<(), Cut> {
        loop {
            while let Some(event) = self.scanner.next(&mut self.input).map_err(Cut::Protocol)? {
                // What follows the beginning of a command adds nothing to what is known of it.
                if let CommandEvent::Command(command) = event {
                    self.take(&command).await?;
                }
            }
            self.answer().await?;
            self.input.reserve(ROOM);
            let read = tokio::select! {
                read = self.pipe.read_buf(&mut self.input) => read.map_err(Cut::Pipe)?,
                told = self.subscriptions.next() => {
                    let mut out = Output::default();
                    out.push(told);
                    out.write_to(&mut self.pipe).await.map_err(Cut::Pipe)?;
                    continue;
                }
                () = finish.draining() => return Ok(()),
            };
            if read == 0 {
                return if self.scanner.is_between() && self.input.is_empty() {
                    Ok(())
                } else {
                    Err(Cut::Pipe(io::ErrorKind::UnexpectedEof.into()))
                };
            }
        }
    }

    /// Takes a command, and answers it with those before it where it does not wait for more.
    async fn take(&mut self, command: &Command) -> Result<(), Cut> {
        let class = CommandClass::of(command.word());
        match judge(command, &self.shared.naming) {
            Ok(Step::Ask(ask)) => self.batch.ask(ask),
            Ok(Step::Ping) => {
                self.shared.metrics.ran(class, Outcome::Answered);
                self.batch.answer(Bytes::from_static(PONG));
            }
            Ok(Step::Subscribe(channels)) => {
                self.answer().await?;
                let told = self.subscriptions.subscribe(&channels).await;
                self.batch.answer(told);
            }
            Ok(Step::Unsubscribe(channels)) => {
                self.answer().await?;
                let told = self.subscriptions.unsubscribe(&channels);
                self.batch.answer(told);
            }
            Err(refused) => {
                self.shared.metrics.ran(class, Outcome::Refused);
                self.batch.answer(frames::error(ErrorCode::Err, &refused.to_string()));
            }
        }
        if self.batch.is_full() { self.answer().await } else { Ok(()) }
    }

    async fn answer(&mut self) -> Result<(), Cut> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let Shared { connections, metrics, .. } = &*self.shared;
        relay::answer(connections, metrics, &mut self.batch, &mut self.pipe).await
    }
}

/// No argument of a command that runs is as long, and what is skipped of another has an end.
const BULK: u64 = 1 << 20;

/// So much is held of a command with many keys: twice what a principal makes of one of its clients'.
const HOLD: usize = 128 << 10;

/// The answer to PING.
const PONG: &[u8] = b"+PONG\r\n";

/// Room for what the principal says: some hundred bytes per command.
const ROOM: usize = 4 << 10;
