//! A command as a user would run it: one process, its output captured or followed.

use std::env;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::{Instant, timeout};

use crate::process::signal;

/// Something that commands are given to: kubectl, a shell.
pub(crate) trait Tool {
    /// A command as it can be typed.
    fn line(&self, args: &[&str]) -> String;

    /// The process that it is.
    fn command(&self, args: &[&str]) -> Command;

    /// Runs it to its end, with `input` to read if there is any.
    async fn run(&self, args: &[&str], input: Option<&str>) -> Result<Output> {
        let started = Instant::now();
        let mut child =
            prepared(self.command(args)).stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() }).spawn()?;
        let stdin = child.stdin.take();
        let write = async move {
            if let (Some(mut stdin), Some(input)) = (stdin, input) {
                // It may end without reading all; its exit code says whether that was right.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
        };
        let end = async { tokio::join!(child.wait_with_output(), write).0 };
        let output = timeout(TIMEOUT, end).await.with_context(|| format!("not finished within {TIMEOUT:?}"))?;
        let output = output.context("waiting for a command")?;
        Ok(Output {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            took: started.elapsed(),
        })
    }

    /// Starts one that goes on.
    fn follow(&self, args: &[&str]) -> Result<Follow> {
        let mut child = prepared(self.command(args)).stdin(Stdio::null()).spawn()?;
        let stdout = child.stdout.take().context("the command's output is not ours")?;
        let stderr = child.stderr.take().context("the command's messages are not ours")?;
        Ok(Follow { child, lines: tokio::io::AsyncBufReadExt::lines(BufReader::new(stdout)), stderr })
    }
}

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Output {
    /// The exit code; none where a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

/// A command that goes on, read line by line.
#[derive(Debug)]
pub(crate) struct Follow {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    stderr: ChildStderr,
}

/// Gives its output to us, and keeps the terminal's Ctrl-C from it.
fn prepared(mut command: Command) -> Command {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    command
}

// === impl Output ===

impl Output {
    /// Both streams, as a terminal would show them.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.stdout.lines().chain(self.stderr.lines())
    }

    /// Whether two commands ended alike and printed the same. What is said about it may name the way it went.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        (self.code, &self.stdout) == (other.code, &other.stdout)
    }

    /// Fails unless the exit code is this one.
    pub(crate) fn exits(&self, code: i32) -> Result<&Self> {
        if self.code == Some(code) {
            return Ok(self);
        }
        match self.code {
            Some(other) => bail!("exit code {other}, expected {code}"),
            None => bail!("ended by a signal, expected exit code {code}"),
        }
    }

    /// Fails unless it said this.
    pub(crate) fn says(&self, text: &str) -> Result<&Self> {
        if self.stdout.contains(text) || self.stderr.contains(text) {
            return Ok(self);
        }
        bail!("expected to read {text:?}")
    }
}

// === impl Follow ===

impl Follow {
    /// The next line. The end of the command, or silence, is an error with what it said about it.
    pub(crate) async fn next(&mut self) -> Result<String> {
        match timeout(SILENCE, self.lines.next_line()).await {
            Ok(Ok(Some(line))) => Ok(line),
            Ok(Ok(None)) => bail!("ended: {}", self.said().await),
            Ok(Err(error)) => Err(error).context("reading a command's output"),
            Err(_) => bail!("nothing for {SILENCE:?}: {}", self.said().await),
        }
    }

    /// Ctrl-C.
    pub(crate) async fn interrupt(mut self) -> Result<()> {
        let Some(pid) = self.child.id() else { return Ok(()) };
        signal("INT", pid).await?;
        if timeout(HEEDED, self.child.wait()).await.is_err() {
            // A shell that runs us in the background has SIGINT ignored, and so has whatever we start.
            signal("TERM", pid).await?;
        }
        timeout(SILENCE, self.child.wait())
            .await
            .context("did not end on Ctrl-C")?
            .map(drop)
            .context("ending a command")
    }

    async fn said(&mut self) -> String {
        let mut text = Vec::new();
        // It may still run, and then its messages have no end.
        let _ = timeout(LAST_WORDS, (&mut self.stderr).take(MAX_WORDS).read_to_end(&mut text)).await;
        String::from_utf8_lossy(&text).trim().to_owned()
    }
}

/// A program of the user's, if there is one.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// A word as a shell reads it back.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// No command of the tour takes long; one that hangs must not hang the tour.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How long a followed command may be silent where a line is due.
const SILENCE: Duration = Duration::from_secs(20);

/// Longer than kubectl takes to end.
const HEEDED: Duration = Duration::from_secs(3);
/// How long to wait for an explanation of what went wrong.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// More of an explanation is not read.
const MAX_WORDS: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::Shell;

    fn shell() -> Shell {
        Shell::new(vec![("SECRET", "word".to_owned())])
    }

    #[tokio::test]
    async fn a_command_is_judged_by_code_and_words() {
        let line = r#"sh -c 'cat; echo "sorry, $SECRET" >&2; exit 7'"#;
        let output = shell().run(&[line], Some("read this\n")).await.unwrap();
        assert_eq!(output.lines().collect::<Vec<_>>(), ["read this", "sorry, word"]);
        assert!(output.exits(7).and_then(|output| output.says("sorry")).is_ok());
        assert!(output.exits(0).is_err());
        assert!(output.says("thanks").is_err());
    }

    #[tokio::test]
    async fn a_pipeline_is_a_command_too() {
        let output = shell().run(&["printf 'b\\na\\n' | sort"], None).await.unwrap();
        assert_eq!((output.code, output.stdout.as_str()), (Some(0), "a\nb\n"));
    }

    #[tokio::test]
    async fn a_followed_command_is_read_while_it_runs_and_ends_on_ctrl_c() {
        let mut follow = shell().follow(&["sh -c 'echo one; echo two; exec sleep 600'"]).unwrap();
        assert_eq!(follow.next().await.unwrap(), "one");
        assert_eq!(follow.next().await.unwrap(), "two");
        follow.interrupt().await.unwrap();
    }

    #[tokio::test]
    async fn a_followed_command_that_ends_says_why() {
        let mut follow = shell().follow(&["sh -c 'echo no such pod >&2; exit 1'"]).unwrap();
        let error = follow.next().await.unwrap_err().to_string();
        assert!(error.contains("no such pod"), "{error}");
    }
}
