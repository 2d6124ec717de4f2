//! Real Redis servers, each a child process on a port of its own.

use std::{
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{eventually, process};

/// One server; dropping it kills it.
#[derive(Debug)]
pub struct Redis {
    address: SocketAddr,
    config: Vec<String>,
    running: Running,
    /// Where it would keep what it keeps nowhere.
    folder: TempDir,
}

/// The server's process, and another that ends it where nobody else does.
#[derive(Debug)]
struct Running {
    child: Child,
    janitor: Child,
}

// === impl Redis ===

impl Redis {
    /// A server with nothing in it, ready. `config` is for its command line: `["--requirepass", "secret"]`.
    ///
    /// # Panics
    /// When it cannot be started: `hack/need.sh` installs it.
    pub async fn start(config: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, process::port()));
        let config: Vec<_> = config.iter().map(ToString::to_string).collect();
        let running = Running::start(address, &config, folder.path());
        let redis = Self { address, config, running, folder };
        eventually("Redis answers", async || redis.answers().await.then_some(())).await;
        redis
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.running.end();
    }

    /// Starts it again on the same port, with nothing in it.
    pub async fn restart(&mut self) {
        self.running.end();
        self.running = Running::start(self.address, &self.config, self.folder.path());
        eventually("Redis answers again", async || self.answers().await.then_some(())).await;
    }

    /// From now on it is silent.
    pub fn pause(&self) {
        self.running.signal("STOP");
    }

    /// It is no longer silent.
    pub fn go_on(&self) {
        self.running.signal("CONT");
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A connection to it.
    ///
    /// # Panics
    /// When there is none.
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("Redis listens")
    }

    async fn answers(&self) -> bool {
        let Ok(mut connection) = TcpStream::connect(self.address).await else { return false };
        let mut answer = [0; 1];
        // Whatever it says: with a password it says NOAUTH.
        connection.write_all(b"PING\r\n").await.is_ok() && connection.read_exact(&mut answer).await.is_ok()
    }
}

// === impl Running ===

impl Running {
    fn start(address: SocketAddr, config: &[String], folder: &Path) -> Self {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
        command.args(["--save", "", "--loglevel", "warning"]);
        command.args(config).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().expect("redis-server starts");
        // A test run may end without dropping anything: then the janitor's input ends, and it kills the server.
        let janitor = Command::new("/bin/sh")
            .args(["-c", r#"trap "" HUP INT TERM; read -r done || kill -s KILL "$1""#, "janitor"])
            .arg(child.id().to_string())
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell starts");
        Self { child, janitor }
    }

    fn signal(&self, name: &str) {
        let kill = Command::new("/bin/sh").args(["-c", &format!("kill -s {name} {}", self.child.id())]).status();
        assert!(kill.expect("a shell starts").success(), "SIG{name} to Redis");
    }

    fn end(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
        if let Some(mut input) = self.janitor.stdin.take() {
            input.write_all(b"done\n").unwrap_or_default();
        }
        self.janitor.wait().map(drop).unwrap_or_default();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}
