//! One process of ours, `argocd-agent` or Redis: started, watched, and ended as an operator would, by SIGTERM.
//!
//! It never outlives the demo: where `setpriv` is installed the kernel ends it with us, whatever ends us.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// A running process.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    /// Its unexpected end was an error already.
    told: bool,
}

// === impl Process ===

impl Process {
    /// Starts `program` with its output in `<name>.log`.
    ///
    /// The thread that calls this must live as long as the demo: the kernel counts the death of the thread.
    pub(crate) fn spawn(name: &str, program: &Path, args: &[String], logs: &Path) -> Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let out = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let err = out.try_clone().context("sharing the log")?;
        let mut command = if has_setpriv() {
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "TERM", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        // Flags rule, and what is not given keeps its default: no variable of the caller's is to say otherwise.
        for (variable, _) in env::vars_os() {
            let name = variable.to_string_lossy();
            if name.starts_with("ARGOCD_") || name.starts_with("REDIS_") {
                command.env_remove(variable);
            }
        }
        let child = command
            .args(args)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            // Ctrl-C on the terminal is for the demo, which ends the others in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        Ok(Self { name: name.to_owned(), child, log, told: false })
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Waits until a health page says 200. An end of the process or the deadline is an error with its last words.
    pub(crate) async fn until_healthy(&mut self, port: u16, page: &str) -> Result<()> {
        let ask = async || match timeout(PAGE_TIMEOUT, status_line(port, page)).await {
            Ok(Ok(line)) if line.contains(" 200") => Ok(()),
            Ok(Ok(line)) => Err(format!("{page} says {line}")),
            Ok(Err(error)) => Err(format!("{page}: {error}")),
            Err(_) => Err(format!("{page}: no answer")),
        };
        self.until("healthy", ask).await
    }

    /// Waits until it is what `ask` asks for; that says what there is instead. An end of the process or the deadline is an
    /// error with its last words.
    pub(crate) async fn until(&mut self, what: &str, ask: impl AsyncFn() -> Result<(), String>) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait().context("waiting for a process")? {
                self.told = true;
                bail!("{} ended ({status})\n{}", self.name, self.tail());
            }
            let Err(said) = ask().await else { return Ok(()) };
            if Instant::now() >= deadline {
                bail!("{} is not {what} after {START_TIMEOUT:?}: {said}\n{}", self.name, self.tail());
            }
            sleep(POLL).await;
        }
    }

    /// Resolves when it has ended on its own.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn ended(&mut self) -> String {
        let status = self.child.wait().await;
        self.told = true;
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        format!("{} ended ({status})\n{}", self.name, self.tail())
    }

    /// Asks it to end and waits. Anything but exit code 0 in time is an error, and so is an earlier end that nobody knows
    /// of yet.
    pub(crate) async fn stop(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait().context("waiting for a process")? {
            if self.told {
                return Ok(());
            }
            bail!("{} had ended before ({})\n{}", self.name, describe(status), self.tail());
        }
        let pid = self.child.id().context("a running process has an id")?;
        signal("TERM", pid).await?;
        let status = match timeout(STOP_TIMEOUT, self.child.wait()).await {
            Ok(status) => status.context("waiting for a process")?,
            Err(_) => {
                self.child.kill().await.context("killing a process")?;
                bail!("{} did not end within {STOP_TIMEOUT:?} of SIGTERM\n{}", self.name, self.tail());
            }
        };
        if !status.success() {
            bail!("{} ended badly after SIGTERM ({})\n{}", self.name, describe(status), self.tail());
        }
        Ok(())
    }

    /// The end of its log.
    pub(crate) fn tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().collect::<Vec<_>>();
        let from = lines.len().saturating_sub(TAIL_LINES);
        let tail = lines.iter().skip(from).map(|line| format!("\n  {line}")).collect::<String>();
        format!("the end of {}:{tail}", self.log.display())
    }
}

/// Sends a signal by name. A shell's `kill` is everywhere; the program of that name is not.
pub(crate) async fn signal(name: &str, pid: u32) -> Result<()> {
    let args = [OsStr::new("-c"), OsStr::new(r#"kill -s "$0" "$1""#), OsStr::new(name)];
    let status = Command::new("/bin/sh").args(args).arg(pid.to_string()).stderr(Stdio::null()).status().await;
    status.map(drop).with_context(|| format!("sending SIG{name}"))
}

async fn status_line(port: u16, page: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!("GET {page} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    stream.take(MAX_PAGE).read_to_end(&mut head).await?;
    let head = String::from_utf8_lossy(&head);
    // The last line says why a page is not 200.
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default().to_owned();
    Ok(lines.next_back().map_or(status.clone(), |reason| format!("{status}: {reason}")))
}

fn has_setpriv() -> bool {
    env::split_paths(&env::var_os("PATH").unwrap_or_default()).any(|dir| dir.join("setpriv").is_file())
}

fn describe(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) => format!("by signal {signal}"),
        None => status.to_string(),
    }
}

/// Starting takes milliseconds; a machine that compiles beside it may be slow.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// More than the default grace of a drain: that it ends in time is for it to keep.
const STOP_TIMEOUT: Duration = Duration::from_secs(35);

/// How often a health page is asked.
const POLL: Duration = Duration::from_millis(50);

/// How long a health page may take.
const PAGE_TIMEOUT: Duration = Duration::from_secs(2);

/// More of a health page is not read.
const MAX_PAGE: u64 = 4096;

/// How many lines of a log an error quotes.
const TAIL_LINES: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, logs: &Path) -> Process {
        let args = ["-c".to_owned(), script.to_owned()];
        Process::spawn("shell", Path::new("/bin/sh"), &args, logs).unwrap()
    }

    #[tokio::test]
    async fn a_process_that_ends_on_sigterm_with_code_0_is_a_good_one() {
        let logs = tempfile::tempdir().unwrap();
        let mut good = shell("trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done", logs.path());
        // A signal before the trap is set would end it another way.
        while !good.tail().contains("ready") {
            assert!(good.child.try_wait().unwrap().is_none());
            sleep(POLL).await;
        }
        good.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_process_that_sigterm_kills_is_reported_with_its_last_words() {
        let logs = tempfile::tempdir().unwrap();
        let mut bad = shell("echo farewell; exec sleep 600", logs.path());
        while !bad.tail().contains("farewell") {
            assert!(bad.child.try_wait().unwrap().is_none());
            sleep(POLL).await;
        }
        let error = bad.stop().await.unwrap_err().to_string();
        assert!(error.contains("signal 15") && error.contains("farewell"), "{error}");
    }

    #[tokio::test]
    async fn a_process_that_ends_early_never_gets_healthy() {
        let logs = tempfile::tempdir().unwrap();
        let error = shell("echo no such flag; exit 2", logs.path()).until_healthy(1, "/readyz").await.unwrap_err();
        assert!(error.to_string().contains("no such flag"), "{error}");
    }
}
