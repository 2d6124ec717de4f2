//! Real Redis servers, each a child process on a port of its own.

use std::{
    io::Write,
    net::{Ipv4Addr, SocketAddr},
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
    child: Child,
    janitor: Child,
    /// Where it would keep what it keeps nowhere.
    _folder: TempDir,
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
        let mut command = Command::new("redis-server");
        command.args([
            "--bind",
            "127.0.0.1",
            "--port",
            &address.port().to_string(),
            "--save",
            "",
            "--loglevel",
            "warning",
        ]);
        command.args(config).current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().expect("redis-server starts");
        // A test run may end without dropping anything: then the janitor's input ends, and it kills the server.
        let janitor = Command::new("/bin/sh")
            .args(["-c", r#"trap "" HUP INT TERM; read -r done || kill -s KILL "$1""#, "janitor"])
            .arg(child.id().to_string())
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell starts");
        let redis = Self { address, child, janitor, _folder: folder };
        eventually("Redis answers", async || redis.answers().await.then_some(())).await;
        redis
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

impl Drop for Redis {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
        if let Some(mut input) = self.janitor.stdin.take() {
            input.write_all(b"done\n").unwrap_or_default();
        }
        self.janitor.wait().map(drop).unwrap_or_default();
    }
}
