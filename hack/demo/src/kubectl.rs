//! Real kubectl, run as a user would: one process per command, its output captured.

use std::env;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::{Instant, timeout};

use crate::process::signal;

/// kubectl for one cluster as one kubeconfig reaches it.
#[derive(Debug, Clone)]
pub(crate) struct Kubectl {
    program: PathBuf,
    /// Flags in front of every command.
    flags: Vec<String>,
    /// Those of them that a reader has to type.
    shown: Vec<String>,
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

// === impl Kubectl ===

impl Kubectl {
    /// One that uses the file. `cache` is for discovery: the user's own stays untouched.
    pub(crate) fn new(program: &Path, kubeconfig: &Path, cache: &Path) -> Self {
        let flags = vec![
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--cache-dir={}", cache.join("kubectl-cache").display()),
        ];
        Self { program: program.to_owned(), flags, shown: Vec::new() }
    }

    /// The same with a context, which is shown.
    pub(crate) fn with_context(mut self, context: &str) -> Self {
        self.flags.push(format!("--context={context}"));
        self.shown.push(format!("--context={context}"));
        self
    }

    /// The same, and a reader sees which file it is.
    pub(crate) fn with_file_shown(mut self) -> Self {
        let file = self.flags.first().cloned();
        self.shown.splice(0..0, file);
        self
    }

    /// The command as it can be typed.
    pub(crate) fn line(&self, args: &[&str]) -> String {
        let mut line = "kubectl".to_owned();
        for word in self.shown.iter().map(String::as_str).chain(args.iter().copied()) {
            let _ = write!(line, " {}", quoted(word));
        }
        line
    }

    /// Runs it to its end, with `input` to read if there is any.
    pub(crate) async fn run(&self, args: &[&str], input: Option<&str>) -> Result<Output> {
        let started = Instant::now();
        let mut child =
            self.command(args).stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() }).spawn()?;
        let stdin = child.stdin.take();
        let write = async move {
            if let (Some(mut stdin), Some(input)) = (stdin, input) {
                // It may end without reading all; its exit code says whether that was right.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
        };
        let end = async { tokio::join!(child.wait_with_output(), write).0 };
        let output = timeout(TIMEOUT, end).await.with_context(|| format!("not finished within {TIMEOUT:?}"))?;
        let output = output.context("waiting for kubectl")?;
        Ok(Output {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            took: started.elapsed(),
        })
    }

    /// Starts one that goes on.
    pub(crate) fn follow(&self, args: &[&str]) -> Result<Follow> {
        let mut child = self.command(args).stdin(Stdio::null()).spawn()?;
        let stdout = child.stdout.take().context("kubectl's output is not ours")?;
        let stderr = child.stderr.take().context("kubectl's messages are not ours")?;
        Ok(Follow { child, lines: tokio::io::AsyncBufReadExt::lines(BufReader::new(stdout)), stderr })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.flags)
            .args(args)
            // The user's own aliases and defaults would change what the tour expects.
            .env("KUBERC", "off")
            .env_remove("KUBECONFIG")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command
    }
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
            Ok(Err(error)) => Err(error).context("reading kubectl's output"),
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
        timeout(SILENCE, self.child.wait()).await.context("did not end on Ctrl-C")?.map(drop).context("ending kubectl")
    }

    async fn said(&mut self) -> String {
        let mut text = Vec::new();
        // It may still run, and then its messages have no end.
        let _ = timeout(LAST_WORDS, (&mut self.stderr).take(MAX_WORDS).read_to_end(&mut text)).await;
        String::from_utf8_lossy(&text).trim().to_owned()
    }
}

/// kubectl of the user's, who has to have one.
pub(crate) fn in_path() -> Result<PathBuf> {
    find().context("kubectl is not in PATH; with --kubeconfig the demo uses yours, please install it")
}

/// kubectl of the user's, if there is one.
pub(crate) fn find() -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join("kubectl")).find(|path| path.is_file())
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

    fn shell() -> Kubectl {
        Kubectl { program: "/bin/sh".into(), flags: vec!["-c".to_owned()], shown: Vec::new() }
    }

    #[test]
    fn a_shown_command_can_be_pasted() {
        let kubectl = Kubectl::new(Path::new("k"), Path::new("/f"), Path::new("/c"));
        assert_eq!(
            kubectl.line(&["exec", "p", "--", "sh", "-c", "echo 'a'"]),
            r"kubectl exec p -- sh -c 'echo '\''a'\'''"
        );
        let other = kubectl.with_context("c").with_file_shown();
        assert_eq!(other.line(&["get", "x"]), "kubectl --kubeconfig=/f --context=c get x");
    }

    #[tokio::test]
    async fn a_command_is_judged_by_code_and_words() {
        let output = shell().run(&["cat; echo sorry >&2; exit 7"], Some("read this\n")).await.unwrap();
        assert_eq!(output.lines().collect::<Vec<_>>(), ["read this", "sorry"]);
        assert!(output.exits(7).and_then(|output| output.says("sorry")).is_ok());
        assert!(output.exits(0).is_err());
        assert!(output.says("thanks").is_err());
    }

    #[tokio::test]
    async fn a_followed_command_is_read_while_it_runs_and_ends_on_ctrl_c() {
        let mut follow = shell().follow(&["echo one; echo two; exec sleep 600"]).unwrap();
        assert_eq!(follow.next().await.unwrap(), "one");
        assert_eq!(follow.next().await.unwrap(), "two");
        follow.interrupt().await.unwrap();
    }

    #[tokio::test]
    async fn a_followed_command_that_ends_says_why() {
        let mut follow = shell().follow(&["echo no such pod >&2; exit 1"]).unwrap();
        let error = follow.next().await.unwrap_err().to_string();
        assert!(error.contains("no such pod"), "{error}");
    }
}
