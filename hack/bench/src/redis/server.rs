//! One Redis server, as Debian packages it, with nothing in it and nothing on disk.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use tokio::{
    process::Command,
    time::{Instant, sleep},
};

use crate::{accounting::Part, contestants::free_ports, load::resp::Endpoint, process::Process};

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct RedisServer {
    pub(crate) endpoint: Endpoint,
    pub(crate) part: Part,
    _process: Process,
}

// === impl RedisServer ===

impl RedisServer {
    /// Such as `7.0.15`.
    pub(crate) async fn version() -> Result<String> {
        let output = Command::new(PROGRAM).arg("--version").output().await;
        let output = output.context("no redis-server on this machine: hack/need.sh installs it")?;
        let said = String::from_utf8_lossy(&output.stdout);
        let version = said.split_ascii_whitespace().find_map(|word| word.strip_prefix("v="));
        version.map(str::to_owned).with_context(|| format!("redis-server --version said {said:?}"))
    }

    /// Starts one that takes so many clients, and waits until it answers.
    pub(crate) async fn start(name: &'static str, dir: &Path, clients: usize) -> Result<Self> {
        let dir = dir.join(name);
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        let [port] = free_ports()?;
        let (port_text, clients, folder) = (port.to_string(), clients.to_string(), dir.display().to_string());
        let args = [
            ["--bind", "127.0.0.1"],
            ["--port", &port_text],
            ["--save", ""],
            ["--appendonly", "no"],
            ["--requirepass", PASSWORD],
            ["--maxclients", &clients],
            ["--dir", &folder],
        ];
        let mut process = Process::start(name, &dir, Path::new(PROGRAM), args.as_flattened())?;
        let endpoint = Endpoint::new(([127, 0, 0, 1], port).into(), PASSWORD);
        let deadline = Instant::now() + START_TIMEOUT;
        while let Err(error) = endpoint.connect().await {
            process.check()?;
            if Instant::now() >= deadline {
                return Err(error.context(process.tail()));
            }
            // Whether it is ready can only be asked.
            sleep(ATTEMPT_PAUSE).await;
        }
        let part = Part::of(name, process.pid())?;
        if part.pids().len() != 1 {
            bail!("{name} has started other processes");
        }
        Ok(Self { endpoint, part, _process: process })
    }
}

/// Argo CD's Redis has one, too.
pub(crate) const PASSWORD: &str = "benchmark";

const PROGRAM: &str = "redis-server";
const START_TIMEOUT: Duration = Duration::from_secs(10);
const ATTEMPT_PAUSE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::resp::Exchange;

    #[tokio::test]
    async fn a_server_keeps_what_it_is_given() {
        let dir = tempfile::tempdir().unwrap();
        let server = RedisServer::start("redis-test", dir.path(), 100).await.unwrap();
        let mut connection = server.endpoint.connect().await.unwrap();
        connection.set("k", b"value").await.unwrap();
        connection.exchange(&Exchange::get("k", b"value")).await.unwrap();
        assert!(connection.exchange(&Exchange::get("other", b"value")).await.is_err());
        assert!(RedisServer::version().await.unwrap().starts_with(|c: char| c.is_ascii_digit()));
    }
}
