//! The log: what is worth a line goes to stdout, what went wrong to stderr.
//!
//! Every line is whole: one event, and in JSON one object, panics included. Lines are written by threads of their own
//! (`lines`): a reader that stalls costs lines, which are counted and told of, and never a request. The price is that a
//! process which is killed takes the lines of its last hundredth of a second with it.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    fmt,
    io::{self, IsTerminal},
    panic::PanicHookInfo,
    time::Duration,
};

use jiff::Timestamp;
use tracing::{Dispatch, Level, error};
use tracing_subscriber::{
    filter::{ParseError, Targets},
    fmt::{MakeWriter, format::Writer, time::FormatTime, writer::MakeWriterExt},
    layer::SubscriberExt,
    util::{SubscriberInitExt, TryInitError},
};

use super::{fields::PlainFields, lines::Lines};
use crate::config::{LogConfig, LogFormat};

/// The log of the process. Dropping it waits until what was said has been written.
#[derive(Debug)]
#[must_use = "what was said last is lost with it"]
pub struct Log {
    outputs: [Lines; 2],
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The directives do not parse.
    #[error("invalid log directives `{directives}`")]
    Directives {
        /// What was given.
        directives: String,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
    /// The process has a log already.
    #[error("logging is set up already")]
    Again(#[source] TryInitError),
    /// Nothing would write it.
    #[error("cannot start a thread for the log")]
    Thread(#[source] io::Error),
}

/// Sets up the log of the process: debug and info to stdout, warnings and errors to stderr. Call it once, first thing.
///
/// # Errors
/// When the directives do not parse, the process has a log already, or no thread for it.
pub fn init(config: &LogConfig) -> Result<Log, LoggingError> {
    let terminal = io::stdout().is_terminal() && io::stderr().is_terminal();
    let stdout = Lines::to(io::stdout(), GATHER, tell_lost).map_err(LoggingError::Thread)?;
    // What went wrong is seldom and is not kept waiting.
    let stderr = Lines::to(io::stderr(), Duration::ZERO, tell_lost).map_err(LoggingError::Thread)?;
    let log = Log { outputs: [stdout.clone(), stderr.clone()] };
    dispatch(config, terminal, stderr.clone().with_max_level(Level::WARN).or_else(stdout))?
        .try_init()
        .map_err(LoggingError::Again)?;
    std::panic::set_hook(Box::new(move |panic| {
        log_panic(panic);
        // The process may be about to end.
        stderr.flush(LAST_WORDS);
    }));
    Ok(log)
}

fn dispatch<W>(config: &LogConfig, terminal: bool, writer: W) -> Result<Dispatch, LoggingError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // Cheaper per event than `EnvFilter`, and enough: a level by module.
    let filter: Targets = config
        .directives
        .parse()
        .map_err(|source| LoggingError::Directives { directives: config.directives.clone(), source })?;
    let layer = tracing_subscriber::fmt::layer().with_timer(Rfc3339).with_writer(writer);
    let registry = tracing_subscriber::registry().with(filter);
    Ok(match config.format {
        // Left alone on a terminal, the layer heeds NO_COLOR.
        LogFormat::Text if terminal => registry.with(layer).into(),
        LogFormat::Text => registry.with(layer.with_ansi(false).fmt_fields(PlainFields)).into(),
        LogFormat::Json => {
            let layer = layer.json().flatten_event(true).with_current_span(false).with_span_list(true);
            registry.with(layer).into()
        }
    })
}

/// Said by the thread of an output that is read again, after lines that it had no room for.
fn tell_lost(lines: u64) {
    error!(lines, "lines of the log were lost because nobody read it");
}

/// In place of the standard hook, which would print several lines of its own format.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| tracing::field::display(backtrace));
    error!(
        reason = panic.payload_as_str(),
        location = panic.location().map(tracing::field::display),
        thread = std::thread::current().name(),
        backtrace,
        "panicked"
    );
}

// === impl Log ===

impl Drop for Log {
    fn drop(&mut self) {
        for output in &self.outputs {
            output.flush(LAST_WORDS);
        }
    }
}

/// RFC 3339 in UTC with microseconds, always of the same length.
#[derive(Debug)]
struct Rfc3339;

// === impl Rfc3339 ===

impl FormatTime for Rfc3339 {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{:.6}", Timestamp::now())
    }
}

/// How long a line waits for others. A write, and waking whoever reads it, costs more than all else that a line does;
/// longer than this saves little.
const GATHER: Duration = Duration::from_millis(10);

/// How long an end waits for a reader that stalls.
const LAST_WORDS: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::Value;
    use tracing::{debug, debug_span, info, warn};

    use super::*;

    /// What was written, as (to stderr?, line).
    #[derive(Clone, Default)]
    struct Sink {
        lines: Arc<Mutex<Vec<(bool, String)>>>,
    }

    impl Sink {
        fn writer(&self, stderr: bool) -> impl Fn() -> Line + use<> {
            let sink = self.clone();
            move || Line { sink: sink.clone(), stderr }
        }

        fn log(config: &LogConfig, events: impl FnOnce()) -> Vec<(bool, String)> {
            let sink = Self::default();
            let writer = sink.writer(true).with_max_level(Level::WARN).or_else(sink.writer(false));
            tracing::dispatcher::with_default(&dispatch(config, false, writer).unwrap(), events);
            let lines = sink.lines.lock().unwrap();
            lines.clone()
        }
    }

    struct Line {
        sink: Sink,
        stderr: bool,
    }

    impl io::Write for Line {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.sink.lines.lock().unwrap().push((self.stderr, String::from_utf8(bytes.to_vec()).unwrap()));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn config(directives: &str, format: LogFormat) -> LogConfig {
        LogConfig { directives: directives.into(), format }
    }

    #[test]
    fn json_is_one_flat_object_a_line() {
        let lines = Sink::log(&config("debug", LogFormat::Json), || {
            debug_span!("connection", door = "kube").in_scope(|| info!(agent = "a1", status = 200, "two\nlines"));
        });
        let [(false, line)] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!(line.matches('\n').count(), 1);
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["message"], "two\nlines");
        assert_eq!(event["agent"], "a1");
        assert_eq!(event["status"], 200);
        assert_eq!(event["level"], "INFO");
        assert_eq!(event["target"], "common::telemetry::logging::tests");
        assert_eq!(event["spans"][0]["door"], "kube");
        let time = event["timestamp"].as_str().unwrap();
        assert!(time.parse::<Timestamp>().is_ok() && time.len() == "2026-11-20T00:00:00.000000Z".len(), "{time}");
    }

    #[test]
    fn text_is_a_plain_line_with_its_fields() {
        let lines = Sink::log(&config("info", LogFormat::Text), || info!(agent = "a1", "agent connected"));
        let [(false, line)] = lines.as_slice() else { panic!("{lines:?}") };
        assert!(line.ends_with(" INFO common::telemetry::logging::tests: agent connected agent=\"a1\"\n"), "{line}");
        assert!(!line.contains('\x1b'));
    }

    #[test]
    fn warnings_and_errors_go_to_stderr() {
        let lines = Sink::log(&config("debug", LogFormat::Text), || {
            debug!("d");
            info!("i");
            warn!("w");
            error!("e");
        });
        let stderr: Vec<_> = lines.iter().map(|(stderr, _)| *stderr).collect();
        assert_eq!(stderr, [false, false, true, true]);
    }

    #[test]
    fn directives_choose_levels_by_module() {
        let lines = Sink::log(&config("warn,common::telemetry=debug", LogFormat::Text), || {
            debug!("shown");
            info!(target: "h2", "hidden");
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
        let broken = dispatch(&config("common=loud", LogFormat::Text), false, io::stdout).unwrap_err();
        assert_eq!(broken.to_string(), "invalid log directives `common=loud`");
    }
}
