//! The real `argocd-agent` binary as a child process, and other programs beside it: their logs, their signals, their end.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Write,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Command as StdCommand, ExitStatus, Output, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU16, Ordering},
    },
};

use serde_json::Value;
use tokio::{
    net::TcpSocket,
    process::{Child, Command},
};

use crate::{eventually, eventually::soon};

/// One process; dropping it kills it, and all that it has started.
#[derive(Debug)]
pub struct Process {
    child: Child,
    janitor: std::process::Child,
    pid: u32,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// `argocd-agent`, built from this checkout by the first test that asks.
///
/// # Panics
/// When it cannot be built.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| built("argocd-agent"))
}

/// `argocd-agentctl`, built likewise.
///
/// # Panics
/// When it cannot be built.
pub fn ctl() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| built("argocd-agentctl"))
}

/// Builds the package whose only binary has its name.
fn built(package: &str) -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = StdCommand::new(cargo);
    build.args(["build", "--package", package, "--message-format=json-render-diagnostics"]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let output = build.current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::inherit()).output().expect("cargo runs");
    assert!(output.status.success(), "cargo build: {}", output.status);
    // As cargo reports it: the target directory may be anywhere.
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    let built = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find_map(|message| {
        let is_it = message.pointer("/target/name").and_then(Value::as_str) == Some(package);
        message.get("executable").and_then(Value::as_str).filter(|_| is_it).map(PathBuf::from)
    });
    built.expect("cargo built the binary")
}

/// Runs the binary until it ends by itself.
///
/// # Panics
/// When it does not.
pub async fn run<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>, env: &[(&str, &str)]) -> Output {
    let mut command = command(args);
    command.envs(env.iter().copied()).stdin(Stdio::null());
    soon(command.output()).await.expect("the binary runs")
}

/// A port that is free, and that no socket gets by asking for any free one: whoever restarts finds it free again.
///
/// # Panics
/// When there is none.
pub fn port() -> u16 {
    // Below the ports that the kernel gives out by itself. Test runs beside this one begin elsewhere.
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    let next = NEXT.get_or_init(|| AtomicU16::new((std::process::id() % 200) as u16 * 50));
    let free = (0..RANGE).map(|_| 20_000 + next.fetch_add(1, Ordering::SeqCst) % RANGE);
    // Bound and not listened on: a listener is inherited by what other threads fork meanwhile, and keeps the port taken.
    let bound = |port: u16| {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind((Ipv4Addr::UNSPECIFIED, port).into())
    };
    let mut free = free.filter(|port| bound(*port).is_ok());
    free.next().expect("a free port")
}

/// Whether a line of a JSON log has this message.
#[must_use]
pub fn says(line: &Value, message: &str) -> bool {
    line.get("message").and_then(Value::as_str) == Some(message)
}

/// The binary with these arguments, and nothing of this process's environment that it reads.
fn command<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(binary());
    command.args(args).kill_on_drop(true);
    let ours = |name: &str| name.starts_with("ARGOCD_") || name.starts_with("REDIS_") || name.starts_with("KUBE");
    for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    command
}

// === impl Process ===

impl Process {
    /// Starts the binary; its output goes to `<name>.out` and `<name>.err` in `folder`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(name: &str, args: &[String], folder: &Path) -> Self {
        Self::start_with(name, args, &[], folder)
    }

    /// As [`start`](Self::start), with variables in its environment.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start_with(name: &str, args: &[String], env: &[(String, String)], folder: &Path) -> Self {
        let mut command = command(args);
        command.envs(env.iter().cloned());
        Self::spawn(name, command, folder)
    }

    /// Starts any program; its output goes to the same files.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn spawn(name: &str, mut command: Command, folder: &Path) -> Self {
        let (stdout, stderr) = (folder.join(format!("{name}.out")), folder.join(format!("{name}.err")));
        let file = |path| File::create(path).expect("the test's own folder is writable");
        command.stdin(Stdio::null()).stdout(file(&stdout)).stderr(file(&stderr));
        // What it starts in turn is of its group.
        let child = command.process_group(0).kill_on_drop(true).spawn().expect("the program starts");
        let pid = child.id().expect("it was not waited for yet");
        // A test run may end without dropping anything: then the janitor's input ends, and it kills the group.
        let janitor = StdCommand::new("/bin/sh")
            .args(["-c", r#"trap "" HUP INT TERM; read -r done || kill -s KILL -- "-$1""#, "janitor", &pid.to_string()])
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell starts");
        Self { child, janitor, pid, stdout, stderr }
    }

    /// What it wrote on stdout until now.
    #[must_use]
    pub fn stdout(&self) -> String {
        fs::read_to_string(&self.stdout).unwrap_or_default()
    }

    /// What it wrote on stderr until now.
    #[must_use]
    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// The lines of its JSON log until now, of both outputs.
    #[must_use]
    pub fn log(&self) -> Vec<Value> {
        let text = self.stdout() + &self.stderr();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits for a line of its JSON log.
    ///
    /// # Panics
    /// When it never comes, or the process ends without it.
    pub async fn logged(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        eventually(what, async || {
            let ended = self.child.try_wait().expect("a child of ours");
            let line = self.log().into_iter().find(|line| is_it(line));
            assert!(line.is_some() || ended.is_none(), "ended ({ended:?}) without {what}:\n{}", self.stderr());
            line
        })
        .await
    }

    /// Sends a signal, by its name without `SIG`.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, name: &str) {
        let kill = StdCommand::new("/bin/sh").args(["-c", &format!("kill -s {name} {}", self.pid)]).status();
        assert!(kill.expect("a shell starts").success(), "SIG{name} to {}", self.pid);
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it never comes.
    pub async fn end(&mut self) -> ExitStatus {
        soon(self.child.wait()).await.expect("a child of ours")
    }

    /// Waits for its end, for as long as that takes.
    ///
    /// # Panics
    /// When it was waited for elsewhere.
    pub async fn end_or_pending(&mut self) -> ExitStatus {
        self.child.wait().await.expect("a child of ours")
    }

    /// Kills what it has started and left behind, once it was waited for.
    pub fn sweep(&self) {
        // Numbers are given out in turn, so that nobody else has this one yet.
        let kill =
            StdCommand::new("/bin/sh").args(["-c", &format!("kill -s KILL -- -{} 2>/dev/null", self.pid)]).status();
        let _nothing_was_left = kill.expect("a shell starts");
    }

    /// Kills it and waits for its end.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn kill(&mut self) {
        self.signal("KILL");
        self.end().await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let input = self.janitor.stdin.take();
        // Once it was waited for, its number may be another's.
        if let (None, Some(mut input)) = (self.child.id(), input) {
            input.write_all(b"done\n").unwrap_or_default();
        }
        self.janitor.wait().map(drop).unwrap_or_default();
    }
}

const RANGE: u16 = 10_000;
