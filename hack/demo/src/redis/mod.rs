//! Two real Redis servers: the control plane's, where Argo CD's server reads, and the workload cluster's, where the
//! controller beside the agent writes.

mod client;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::timeout;

use crate::command;
use crate::ports;
use crate::process::Process;
use crate::screen::Screen;
use crate::shell::Shell;
use crate::state::State;
pub(crate) use client::Client;

/// Where they listen. Both have the same password, and it is made for this run.
#[derive(Debug)]
pub(crate) struct Redis {
    /// The control plane's port.
    pub(crate) control: u16,
    /// The workload cluster's port.
    pub(crate) workload: u16,
    /// A directory with the login, as principal and agent read it.
    pub(crate) credentials: PathBuf,
    password: String,
}

// === impl Redis ===

impl Redis {
    /// Starts both; `processes` has each from then on.
    pub(crate) async fn start(state: &State, processes: &mut Vec<Process>, screen: &Screen) -> Result<Self> {
        let [server, _] = programs()?;
        let [control, workload] = ports::free()?;
        let password = format!("{:032x}", rand::random::<u128>());
        let credentials = state.folder("redis-login")?;
        state.write("redis-login/auth", &password)?;
        let redis = Self { control, workload, credentials, password };
        let logs = state.folder("logs")?;
        screen
            .stage("starting a Redis for the control plane, and one for the workload cluster", async |progress| {
                for (name, port) in [("redis-control", control), ("redis-workload", workload)] {
                    let config = redis.config(name, port, state)?;
                    processes.push(Process::spawn(name, &server, &[config.display().to_string()], &logs)?);
                    let process = processes.last_mut().context("it was just added")?;
                    process.until("ready", async || redis.answers(port).await).await?;
                }
                progress.result(format!("on 127.0.0.1:{control} and 127.0.0.1:{workload}"));
                Ok(())
            })
            .await?;
        Ok(redis)
    }

    /// A connection to one of them, or to the door.
    pub(crate) async fn connect(&self, port: u16) -> Result<Client> {
        Client::connect(port, &self.password).await
    }

    /// A shell in which redis-cli knows the password.
    pub(crate) fn shell(&self) -> Shell {
        Shell::new(vec![(VARIABLE, self.password.clone())])
    }

    /// What has to be typed so that redis-cli knows the password.
    pub(crate) fn export(&self) -> String {
        format!("export {VARIABLE}={}", self.password)
    }

    /// Nothing of it is on disk but this file, which has the password in it.
    fn config(&self, name: &str, port: u16, state: &State) -> Result<PathBuf> {
        let folder = state.folder(name)?;
        let (dir, password) = (quoted(&folder), &self.password);
        let text = format!("bind 127.0.0.1\nport {port}\nsave \"\"\ndir {dir}\nrequirepass {password}\n");
        state.write(&format!("{name}/redis.conf"), &text)
    }

    async fn answers(&self, port: u16) -> Result<(), String> {
        match timeout(ANSWER_TIMEOUT, self.connect(port)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(format!("{error:#}")),
            Err(_) => Err("no answer".to_owned()),
        }
    }
}

/// redis-server and redis-cli, which must be there before anything is started.
pub(crate) fn programs() -> Result<[PathBuf; 2]> {
    let find = |name| command::find(name).with_context(|| format!("{name} is not in PATH: hack/need.sh installs it"));
    Ok([find("redis-server")?, find("redis-cli")?])
}

/// A path in Redis's configuration.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('\\', r"\\").replace('"', r#"\""#))
}

/// Where redis-cli looks for a password.
const VARIABLE: &str = "REDISCLI_AUTH";

/// How long a login may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Tool;

    #[tokio::test]
    async fn both_servers_want_the_password_and_keep_what_they_are_given() {
        let state = State::create(None).unwrap();
        let mut processes = Vec::new();
        let redis = Redis::start(&state, &mut processes, &Screen::new()).await.unwrap();
        for port in [redis.control, redis.workload] {
            let mut client = redis.connect(port).await.unwrap();
            client.set("key", "some\r\nvalue").await.unwrap();
            assert_eq!(client.get("key").await.unwrap(), b"some\r\nvalue");
            assert_eq!(client.subscriptions("channel").await.unwrap(), "0");
            assert!(client.get("another").await.is_err());
            assert!(Client::connect(port, "wrong").await.is_err());
            let line = format!("redis-cli -p {port} --raw -D '' get key");
            assert_eq!(redis.shell().run(&[&line], None).await.unwrap().stdout, "some\r\nvalue");
        }
        for process in processes {
            process.stop().await.unwrap();
        }
    }
}
