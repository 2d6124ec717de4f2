//! From the start of one half to its end: it ends by itself when it cannot start, it drains when it is told to stop, and
//! it is cut when it is told so twice.

use std::{io, pin::pin, time::Duration};

use common::drain;
use tokio::signal::unix::{self, SignalKind};
use tracing::{info, warn};

/// How a half that started came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// All that ran was finished, or reset when the grace period was over.
    Finished,
    /// A second signal came before that.
    Cut,
}

/// The signals that ask the process to stop.
#[derive(Debug)]
pub(crate) struct StopSignals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

/// Runs `half`; the first `stop` drains it within `grace`, the second ends the wait for that.
///
/// # Errors
/// When `half` fails.
pub(crate) async fn until_stopped<E>(
    half: impl Future<Output = Result<(), E>>,
    signal: drain::Signal,
    grace: Duration,
    mut stop: impl AsyncFnMut() -> &'static str,
) -> Result<End, E> {
    let mut half = pin!(half);
    let name = tokio::select! {
        ended = &mut half => return ended.map(|()| End::Finished),
        name = stop() => name,
    };
    info!(signal = name, "asked to stop");
    tokio::select! {
        (ended, _) = async { tokio::join!(half, signal.drain(grace)) } => ended.map(|()| End::Finished),
        name = stop() => {
            warn!(signal = name, "asked to stop again, resetting what is left");
            Ok(End::Cut)
        }
    }
}

// === impl StopSignals ===

impl StopSignals {
    /// From here on the signals no longer kill the process.
    ///
    /// # Errors
    /// When the operating system does not let us.
    pub(crate) fn listen() -> io::Result<Self> {
        let terminate = unix::signal(SignalKind::terminate())?;
        let interrupt = unix::signal(SignalKind::interrupt())?;
        Ok(Self { terminate, interrupt })
    }

    /// The name of the next one.
    ///
    /// # Cancel safety
    /// Cancel safe: no signal is lost.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tracing::Span;

    use super::*;

    const GRACE: Duration = Duration::from_secs(25);

    /// A half as the real ones are: serves until drained.
    async fn serving(watch: drain::Watch) -> Result<(), &'static str> {
        watch.draining().await;
        Ok(())
    }

    /// Says stop `times` times, and then never again.
    fn stops(times: usize) -> impl AsyncFnMut() -> &'static str {
        let mut left = times;
        async move || {
            if left == 0 {
                pending::<()>().await;
            }
            left -= 1;
            "SIGTERM"
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_half_that_cannot_start_ends_it() {
        let (signal, watch) = drain::channel();
        let failing = async { Err("cannot bind") };
        assert_eq!(until_stopped(failing, signal, GRACE, stops(0)).await, Err("cannot bind"));
        watch.aborted().await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_signal_lets_running_work_finish() {
        let (signal, watch) = drain::channel();
        let (finished, mut seen) = tokio::sync::oneshot::channel();
        watch.spawn(Span::none(), async move {
            tokio::time::sleep(GRACE / 2).await;
            finished.send(()).unwrap();
        });
        let end = until_stopped(serving(watch), signal, GRACE, stops(1)).await;
        assert_eq!(end, Ok(End::Finished));
        seen.try_recv().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_outlives_the_grace_period_is_reset() {
        let (signal, watch) = drain::channel();
        watch.spawn(Span::none(), pending());
        let start = tokio::time::Instant::now();
        let end = until_stopped(serving(watch), signal, GRACE, stops(1)).await;
        assert_eq!(end, Ok(End::Finished));
        assert!(start.elapsed() >= GRACE);
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_signal_ends_it_at_once() {
        let (signal, watch) = drain::channel();
        watch.spawn(Span::none(), pending());
        let start = tokio::time::Instant::now();
        let end = until_stopped(serving(watch.clone()), signal, GRACE, stops(2)).await;
        assert_eq!((end, start.elapsed()), (Ok(End::Cut), Duration::ZERO));
        watch.aborted().await;
    }
}
