//! The cluster's processes, and their end.
//!
//! A test run may end by any means, SIGKILL included, and must leave neither processes nor files. So a shell waits
//! for the end of a pipe that only we hold: when the pipe closes, by `Drop` or by our death, it kills every process
//! group that it was told of and removes the directory. (A parent-death signal would not do: it fires when the
//! *thread* that spawned the child ends, and a cluster shared by several tests outlives its first test's thread.)

use std::ffi::OsStr;
use std::fs::{self, File};
use std::future::Future;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::{Instant, sleep};

/// `$1` is the directory to remove, or empty. Processes that are being killed may still write: removal is tried again.
const JANITOR: &str = r#"
trap '' HUP INT TERM
groups=
while read -r group; do groups="$groups $group"; done
for group in $groups; do kill -s KILL -- "-$group"; done
tries=0
while [ -n "$1" ] && [ -e "$1" ] && [ "$tries" -lt 100 ]; do
    rm -rf -- "$1" || sleep 0.05
    tries=$((tries + 1))
done
"#;

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(50);

/// How many lines of a log an error quotes.
const TAIL_LINES: usize = 15;

#[derive(Debug)]
pub(crate) struct Supervisor {
    log_dir: PathBuf,
    janitor: Child,
    groups: Option<ChildStdin>,
    processes: Vec<Process>,
}

#[derive(Debug)]
struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Supervisor {
    /// `remove` is the directory that ends with the processes.
    pub(crate) fn new(log_dir: PathBuf, remove: Option<&Path>) -> Result<Self> {
        fs::create_dir_all(&log_dir).with_context(|| format!("creating {}", log_dir.display()))?;
        let mut janitor = Command::new("/bin/sh")
            .args(["-c", JANITOR, "janitor"])
            .arg(remove.map_or(OsStr::new(""), Path::as_os_str))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .process_group(0)
            .spawn()
            .context("starting the janitor shell")?;
        let groups = janitor.stdin.take();
        Ok(Self { log_dir, janitor, groups, processes: Vec::new() })
    }

    pub(crate) fn log_dir(&self) -> &Path {
        &self.log_dir
    }

    /// Starts a program with its output in `<name>.log`, and returns its process id.
    pub(crate) fn spawn(&mut self, name: &'static str, program: &Path, args: &[String]) -> Result<u32> {
        let log = self.log_dir.join(format!("{name}.log"));
        let out = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let err = out.try_clone().context("sharing the log")?;
        // A group of its own: a terminal's Ctrl-C must reach only us, and what the program starts must die with it.
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let pid = child.id();
        self.processes.push(Process { name, child, log });
        let groups = self.groups.as_mut().context("the janitor is gone")?;
        writeln!(groups, "{pid}").context("telling the janitor")?;
        Ok(pid)
    }

    /// Waits until the probe succeeds. Fails when a process has ended or the deadline has passed, and then says what
    /// the processes last said.
    pub(crate) async fn until<F>(&mut self, what: &str, deadline: Instant, mut probe: impl FnMut() -> F) -> Result<()>
    where
        F: Future<Output = Result<()>>,
    {
        loop {
            self.check()?;
            let Err(last) = probe().await else { return Ok(()) };
            if Instant::now() >= deadline {
                let logs = self.processes.iter().map(Process::tail).collect::<String>();
                return Err(last.context(format!("gave up waiting until {what}\n{logs}")));
            }
            sleep(POLL).await;
        }
    }

    fn check(&mut self) -> Result<()> {
        for process in &mut self.processes {
            if let Some(status) = process.child.try_wait().with_context(|| format!("waiting for {}", process.name))? {
                bail!("{} ended ({status})\n{}", process.name, process.tail());
            }
        }
        Ok(())
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        drop(self.groups.take());
        // Blocks for the milliseconds that SIGKILL takes: whoever drops a cluster may rely on its ports being free.
        let _ = self.janitor.wait();
        for process in &mut self.processes {
            // Only for a child that the janitor could not be told of.
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }
}

impl Process {
    fn tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().collect::<Vec<_>>();
        let from = lines.len().saturating_sub(TAIL_LINES);
        let tail = lines.iter().skip(from).map(|line| format!("  {line}\n")).collect::<String>();
        format!("--- {} ({}):\n{tail}", self.name, self.log.display())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn sh(script: &str) -> Vec<String> {
        vec!["-c".to_owned(), script.to_owned()]
    }

    fn in_a_minute() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    async fn exists(path: &Path) -> Result<()> {
        path.exists().then_some(()).context("not there yet")
    }

    #[tokio::test]
    async fn dropping_kills_grandchildren_and_removes_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let work = dir.path().join("work");
        fs::create_dir(&work).unwrap();
        let mut supervisor = Supervisor::new(dir.path().join("logs"), Some(&work)).unwrap();
        let (fifo, ready) = (dir.path().join("fifo"), dir.path().join("ready"));
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        // Both hold the pipe's writing end, and it ends when the last of them has.
        let script = format!("exec 3> {}; sleep 600 & : > {}; wait", fifo.display(), ready.display());
        supervisor.spawn("parent", Path::new("/bin/sh"), &sh(&script)).unwrap();
        let mut pipe = fs::File::open(&fifo).unwrap();
        supervisor.until("it has a child", in_a_minute(), || exists(&ready)).await.unwrap();
        drop(supervisor);
        assert!(!work.exists());
        assert_eq!(pipe.read(&mut [0]).unwrap(), 0);
    }

    #[tokio::test]
    async fn a_process_that_ends_early_is_reported_with_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let mut supervisor = Supervisor::new(dir.path().join("logs"), None).unwrap();
        supervisor.spawn("mortal", Path::new("/bin/sh"), &sh("echo farewell; exit 3")).unwrap();
        let never = || async { bail!("never") };
        let err = supervisor.until("pigs fly", in_a_minute(), never).await.unwrap_err().to_string();
        assert!(err.contains("mortal ended") && err.contains("farewell"), "{err}");
    }
}
