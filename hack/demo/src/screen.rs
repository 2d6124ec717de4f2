//! What the demo says and how: pretty on a terminal, plain lines everywhere else.
//!
//! Nothing is ever said before it is true: a stage is shown as done when its work has returned.

use std::cell::RefCell;
use std::env;
use std::fmt::{Display, Write as _};
use std::io::{self, IsTerminal, Write};
use std::pin::pin;
use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Standard output.
#[derive(Debug)]
pub(crate) struct Screen {
    terminal: bool,
    colour: bool,
}

/// What a running stage is busy with, told by the stage itself.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    detail: RefCell<String>,
    result: RefCell<String>,
}

/// How a piece of text looks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Look {
    /// A heading.
    Bold,
    /// What matters less, such as the output of a command.
    Dim,
    /// A command as it could be typed.
    Command,
    /// What went well.
    Good,
    /// What did not.
    Bad,
}

/// Takes its line off the terminal when the stage ends, also when it is interrupted.
struct Stage<'a> {
    screen: &'a Screen,
    title: &'a str,
    started: Instant,
    drawn: bool,
    ended: bool,
}

// === impl Screen ===

impl Screen {
    /// Looks at what standard output is.
    pub(crate) fn new() -> Self {
        let terminal = io::stdout().is_terminal() && env::var_os("TERM").is_some_and(|term| term != "dumb");
        let colour = terminal && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { terminal, colour }
    }

    /// One line.
    pub(crate) fn line(&self, text: impl Display) {
        // A reader that went away does not stop the demo: its exit code still counts.
        let _ = writeln!(io::stdout(), "{text}");
    }

    /// One line that starts a part, with space above.
    pub(crate) fn heading(&self, text: &str) {
        self.line(format!("\n{}", self.paint(Look::Bold, text)));
    }

    /// A verdict, with its mark in front.
    pub(crate) fn verdict(&self, good: bool, text: impl Display) {
        self.line(format!("{} {text}", self.mark(good)));
    }

    /// The text as it is to be printed here.
    pub(crate) fn paint(&self, look: Look, text: impl Display) -> String {
        if !self.colour {
            return text.to_string();
        }
        let code = match look {
            Look::Bold => "1",
            Look::Dim => "2",
            Look::Command => "36",
            Look::Good => "32",
            Look::Bad => "1;31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Does a stage's work and shows for how long, what with, and how it ended.
    pub(crate) async fn stage<T>(&self, title: &str, work: impl AsyncFnOnce(&Progress) -> Result<T>) -> Result<T> {
        let progress = Progress::default();
        let mut stage = Stage { screen: self, title, started: Instant::now(), drawn: false, ended: false };
        if !self.terminal {
            self.line(format!("{title} ..."));
        }
        let mut work = pin!(work(&progress));
        let mut ticks = interval(if self.terminal { FRAME } else { REMINDER });
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let outcome = loop {
            tokio::select! {
                biased;
                outcome = work.as_mut() => break outcome,
                _ = ticks.tick() => stage.draw(&progress),
            }
        };
        stage.end(outcome.is_ok(), &progress.result.borrow());
        outcome
    }

    fn mark(&self, good: bool) -> String {
        match (good, self.terminal) {
            (true, true) => self.paint(Look::Good, "✓"),
            (false, true) => self.paint(Look::Bad, "✗"),
            (true, false) => "ok:".to_owned(),
            (false, false) => "FAILED:".to_owned(),
        }
    }
}

// === impl Progress ===

impl Progress {
    /// What is being done now.
    pub(crate) fn detail(&self, text: impl Into<String>) {
        self.detail.replace(text.into());
    }

    /// What came of it, shown when the stage ends well.
    pub(crate) fn result(&self, text: impl Into<String>) {
        self.result.replace(text.into());
    }
}

// === impl Stage ===

impl Stage<'_> {
    fn draw(&mut self, progress: &Progress) {
        let elapsed = self.started.elapsed();
        let detail = progress.detail.borrow();
        if self.screen.terminal {
            let frame = FRAMES.get(elapsed.as_millis() as usize / FRAME.as_millis() as usize % FRAMES.len());
            let detail = self.screen.paint(Look::Dim, format!("{:3} s  {detail}", elapsed.as_secs()));
            // Without automatic wrapping a long detail is cut, and stays one line that can be taken away.
            let line = format!("\r\x1b[2K\x1b[?7l{} {}  {detail}\x1b[?7h", frame.unwrap_or(&"-"), self.title);
            let mut out = io::stdout();
            let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
            self.drawn = true;
        } else if elapsed >= REMINDER {
            self.screen.line(format!("    {} s: {detail}", elapsed.as_secs()));
        }
    }

    fn end(&mut self, good: bool, result: &str) {
        self.ended = true;
        self.clear();
        let mut text = format!("{}  {}", self.title, seconds(self.started.elapsed()));
        if good && !result.is_empty() {
            let _ = write!(text, "  {}", self.screen.paint(Look::Dim, result));
        }
        self.screen.verdict(good, text);
    }

    fn clear(&self) {
        if self.drawn {
            let mut out = io::stdout();
            let _ = out.write_all(b"\r\x1b[2K").and_then(|()| out.flush());
        }
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.clear();
            self.screen.line(format!("{} (interrupted)", self.title));
        }
    }
}

/// `1.2 s`.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

const FRAMES: &[&str] = &["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// Time between two pictures on a terminal: smooth to the eye, nothing to the processor.
const FRAME: Duration = Duration::from_millis(120);

/// Time between two lines elsewhere: a build log must show life, and stay short.
const REMINDER: Duration = Duration::from_secs(15);
