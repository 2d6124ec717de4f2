//! Real kubectl as a process.

use std::{
    ffi::OsStr,
    fmt,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::{World, cluster::cluster, soon};

/// kubectl for whom a kubeconfig is.
#[derive(Debug, Clone)]
pub struct Kubectl {
    kubeconfig: PathBuf,
    cache: PathBuf,
    namespace: String,
    env: Vec<(&'static str, &'static str)>,
}

/// What a run said and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error, as text.
    pub stderr: String,
}

/// A run that goes on, read line by line. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    /// The process.
    pub child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

// === impl Kubectl ===

impl Kubectl {
    /// kubectl of a caller at the door of `world`.
    #[must_use]
    pub fn door(world: &World, caller: &str, namespace: &str) -> Self {
        Self::new(&world.kubeconfig(caller), world.folder(), namespace)
    }

    /// kubectl of the admin at the API server itself.
    #[must_use]
    pub fn direct(world: &World, namespace: &str) -> Self {
        Self::new(&cluster().kubeconfig_path(), world.folder(), namespace)
    }

    fn new(kubeconfig: &Path, folder: &Path, namespace: &str) -> Self {
        let cache = folder.join("kubectl-cache");
        Self { kubeconfig: kubeconfig.to_owned(), cache, namespace: namespace.to_owned(), env: Vec::new() }
    }

    /// The same with a variable in its environment.
    #[must_use]
    pub fn env(mut self, name: &'static str, value: &'static str) -> Self {
        self.env.push((name, value));
        self
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn run(&self, args: &[&str]) -> Output {
        self.run_with_input(args, b"").await
    }

    /// As [`run`](Self::run), with something to read.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn run_with_input(&self, args: &[&str], input: &[u8]) -> Output {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().expect("kubectl runs");
        let mut stdin = child.stdin.take().expect("piped");
        let write = async move {
            // It may end without reading all; its exit code says whether that was right.
            let _unread = stdin.write_all(input).await;
        };
        let (output, ()) = soon(async { tokio::join!(child.wait_with_output(), write) }).await;
        let output = output.expect("kubectl ends");
        Output {
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The output of a run that succeeds.
    pub async fn ok(&self, args: &[&str]) -> String {
        self.run(args).await.expect_success(args).text()
    }

    /// The output of a run that reads `input` and succeeds.
    pub async fn ok_with_input(&self, args: &[&str], input: &str) -> String {
        self.run_with_input(args, input.as_bytes()).await.expect_success(args).text()
    }

    /// What a run says on standard error that fails.
    ///
    /// # Panics
    /// When it succeeds.
    pub async fn fails(&self, args: &[&str]) -> String {
        let output = self.run(args).await;
        assert_ne!(output.code, Some(0), "kubectl {args:?} should fail, but said {}", output.text());
        output.stderr
    }

    /// Starts a run that goes on. Its standard input is a pipe that stays open.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(&self, args: &[&str]) -> Running {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().expect("kubectl runs");
        let stdout = child.stdout.take().expect("piped");
        Running { child, lines: BufReader::new(stdout).lines() }
    }

    /// A command with its output piped.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let flag = |name: &str, value: &dyn AsRef<OsStr>| {
            let mut flag = std::ffi::OsString::from(name);
            flag.push(value.as_ref());
            flag
        };
        let mut command = Command::new(cluster().kubectl_path());
        command
            .arg(flag("--kubeconfig=", &self.kubeconfig))
            .arg(flag("--cache-dir=", &self.cache))
            .arg(flag("--namespace=", &self.namespace))
            .args(args)
            .env("KUBERC", "off")
            .env_remove("KUBECONFIG")
            .envs(self.env.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

// === impl Output ===

impl Output {
    /// Standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    fn expect_success(self, args: &[&str]) -> Self {
        assert_eq!(self.code, Some(0), "kubectl {args:?}\n{}{}", self.text(), self.stderr);
        self
    }
}

// === impl Running ===

impl Running {
    /// The next line, or none when it has no more to say.
    ///
    /// # Panics
    /// When neither comes.
    pub async fn line(&mut self) -> Option<String> {
        soon(self.lines.next_line()).await.expect("readable output")
    }

    /// Reads lines until one contains `text`, and returns that one.
    ///
    /// # Panics
    /// When none does.
    pub async fn line_with(&mut self, text: impl AsRef<str> + fmt::Display) -> String {
        while let Some(line) = self.line().await {
            if line.contains(text.as_ref()) {
                return line;
            }
        }
        let mut stderr = String::new();
        if let Some(pipe) = &mut self.child.stderr {
            let _partial = pipe.read_to_string(&mut stderr).await;
        }
        panic!("kubectl ended before it said {text}: {stderr}")
    }

    /// Waits for its end; the exit code, or none where a signal ended it.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn end(&mut self) -> Option<i32> {
        soon(self.child.wait()).await.expect("kubectl ends").code()
    }
}
