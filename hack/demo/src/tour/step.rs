//! What a step does: runs commands in front of the reader, and says in a word what came of it.

use std::cell::RefCell;
use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::command::{Follow, Output, Tool, quoted};
use crate::screen::{Look, Screen};

/// One step of the tour.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    screen: &'a Screen,
    notes: RefCell<Vec<String>>,
    took: RefCell<Vec<Duration>>,
}

/// A shown command that goes on.
#[derive(Debug)]
pub(crate) struct Followed<'a> {
    screen: &'a Screen,
    follow: Follow,
    hidden: Option<&'static str>,
}

// === impl Step ===

impl<'a> Step<'a> {
    pub(super) fn new(screen: &'a Screen) -> Self {
        Self { screen, notes: RefCell::default(), took: RefCell::default() }
    }

    /// Runs a command that must succeed.
    pub(crate) async fn ok(&self, tool: &impl Tool, args: &[&str]) -> Result<Output> {
        self.exits(0, tool, args).await
    }

    /// Runs a command that must end with this exit code.
    pub(crate) async fn exits(&self, code: i32, tool: &impl Tool, args: &[&str]) -> Result<Output> {
        let output = self.run(tool, args, None).await?;
        output.exits(code)?;
        Ok(output)
    }

    /// Runs a command that has something to read, and that must succeed.
    pub(crate) async fn reads(&self, input: &str, tool: &impl Tool, args: &[&str]) -> Result<Output> {
        let output = self.run(tool, args, Some(input)).await?;
        output.exits(0)?;
        Ok(output)
    }

    /// Runs a command, however it ends.
    pub(crate) async fn run(&self, tool: &impl Tool, args: &[&str], input: Option<&str>) -> Result<Output> {
        let line = tool.line(args);
        self.command(&match input {
            Some(input) => format!("printf %s {} | {line}", quoted(input)),
            None => line,
        });
        let output = tool.run(args, input).await?;
        let count = output.lines().count();
        let left_out = count.saturating_sub(SHOWN_FIRST + SHOWN_LAST);
        for (number, line) in output.lines().enumerate() {
            if left_out == 0 || number < SHOWN_FIRST || number >= SHOWN_FIRST + left_out {
                self.output(line);
            } else if number == SHOWN_FIRST {
                self.output(&format!("... {left_out} more lines ..."));
            }
        }
        if let Some(code) = output.code.filter(|code| *code != 0) {
            self.output(&format!("(exit code {code})"));
        }
        self.took.borrow_mut().push(output.took);
        Ok(output)
    }

    /// Starts a command that goes on.
    pub(crate) fn follow(&self, tool: &impl Tool, args: &[&str]) -> Result<Followed<'a>> {
        self.command(&tool.line(args));
        Ok(Followed { screen: self.screen, follow: tool.follow(args)?, hidden: None })
    }

    /// Says between the commands what the reader sees next.
    pub(crate) fn say(&self, text: &str) {
        self.screen.line(format!("    {text}"));
    }

    /// Adds to what is said when the step ends well.
    pub(crate) fn note(&self, text: impl Into<String>) {
        self.notes.borrow_mut().push(text.into());
    }

    /// What is said when the step has ended well.
    pub(super) fn outcome(&self) -> String {
        let mut said = self.notes.borrow().join(", ");
        if said.is_empty() {
            said.push_str("as it should be");
        }
        let took = self.took.borrow().iter().map(|time| time.as_millis().to_string()).collect::<Vec<_>>();
        if !took.is_empty() {
            let _ = write!(said, "  {}", self.screen.paint(Look::Dim, format!("({} ms)", took.join(", "))));
        }
        said
    }

    /// Something that was read, indented as output is.
    pub(crate) fn output(&self, line: &str) {
        self.screen.line(indented(self.screen, line));
    }

    fn command(&self, line: &str) {
        self.screen.line(format!("  {}", self.screen.paint(Look::Command, format!("$ {line}"))));
    }
}

// === impl Followed ===

impl Followed<'_> {
    /// From now on a line with this in it is an error.
    pub(crate) fn never(mut self, hidden: &'static str) -> Self {
        self.hidden = Some(hidden);
        self
    }

    /// Shows lines until one is what `wanted` looks for, and returns it.
    pub(crate) async fn until(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
        for _ in 0..FOLLOWED_LINES {
            let line = self.follow.next().await.with_context(|| format!("waiting for {what}"))?;
            self.screen.line(indented(self.screen, &line));
            if let Some(hidden) = self.hidden.filter(|hidden| line.contains(hidden)) {
                bail!("{hidden:?} is not to be seen here");
            }
            if wanted(&line) {
                return Ok(line);
            }
        }
        bail!("{FOLLOWED_LINES} lines, and none is {what}")
    }

    /// Ends it as a user would.
    pub(crate) async fn interrupt(self) -> Result<()> {
        self.follow.interrupt().await?;
        self.screen.line(indented(self.screen, "^C"));
        Ok(())
    }
}

fn indented(screen: &Screen, line: &str) -> String {
    let mut line = line.to_owned();
    if line.chars().count() > SHOWN_WIDTH {
        line = line.chars().take(SHOWN_WIDTH).chain("...".chars()).collect();
    }
    format!("    {}", screen.paint(Look::Dim, line))
}

/// How much of a long output is shown: what it begins with says what it is.
const SHOWN_FIRST: usize = 11;

/// The events of an object come last.
const SHOWN_LAST: usize = 4;

/// Wide tables fit, annotations with a whole manifest inside do not.
const SHOWN_WIDTH: usize = 150;

/// A follow that says more than this before the awaited line has gone wrong.
const FOLLOWED_LINES: usize = 200;
