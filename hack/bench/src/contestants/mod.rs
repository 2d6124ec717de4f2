//! Who takes part: ways from a client to the same API server.
//!
//! All run at once, as processes of their own, and idle while it is not their turn. A further contestant is a file
//! here that starts its processes and says where it listens.

mod chain;
mod direct;
mod nginx;
mod ours;

use std::{fmt, net::TcpListener, path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use http::StatusCode;
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    accounting::{Part, Usage},
    apiserver::ApiServer,
    line::Line,
    load::{Encoding, Endpoint, Protocol, fetch_whole},
    objects,
    pki::Pki,
    process::Process,
};

pub(crate) use nginx::Nginx;
pub(crate) use ours::{ARGOCD_NAMESPACE, Ours, PrincipalPorts};

/// The names of the contestants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// The client asks kube-apiserver itself
    Direct,
    /// Two nginx, mTLS between them
    Chain,
    /// `argocd-agent principal` and `argocd-agent agent`
    Ours,
    /// The same without the managed filter
    OursNoFilter,
}

/// One that takes part.
#[derive(Debug)]
pub(crate) struct Contestant {
    pub(crate) kind: Kind,
    pub(crate) endpoint: Endpoint,
    /// What it costs is what these cost; kube-apiserver, which all use, is not among them. Each with what it had used
    /// when it was ready.
    pub(crate) at_rest: Vec<(Part, Usage)>,
    /// Kept, so that they run.
    processes: Vec<Process>,
}

/// The programs that contestants run.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) nginx: Option<Nginx>,
    pub(crate) ours: Option<Ours>,
}

/// What contestants are started with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) pki: &'a Pki,
    pub(crate) api_server: &'a ApiServer,
    /// Between the two hops, if anything is.
    pub(crate) line: Option<&'a Line>,
}

// === impl Ground ===

impl Ground<'_> {
    /// The port by which one hop reaches the other, which listens on this one.
    fn towards(&self, port: u16) -> Result<u16> {
        self.line.map_or(Ok(port), |line| line.to(port))
    }
}

// === impl Kind ===

impl Kind {
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Ours | Self::OursNoFilter)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Chain => "chain",
            Self::Ours => "ours",
            Self::OursNoFilter => "ours, no filter",
        })
    }
}

// === impl Contestant ===

impl Contestant {
    /// Starts a contestant and waits until an object can be fetched through it.
    pub(crate) async fn start(kind: Kind, ground: Ground<'_>, programs: &Programs) -> Result<Self> {
        let started = match (kind, &programs.nginx, &programs.ours) {
            (Kind::Direct, ..) => direct::start(ground),
            (Kind::Chain, Some(nginx), _) => chain::start(ground, nginx)?,
            (Kind::Ours | Kind::OursNoFilter, _, Some(ours)) => ours.start(ground, kind)?,
            (Kind::Chain, None, _) | (Kind::Ours | Kind::OursNoFilter, _, None) => bail!("{kind} has no program"),
        };
        let contestant = started.ready(&objects::ready().path()).await?;
        if kind == Kind::Ours {
            contestant.withholds(&objects::unmanaged().path()).await?;
        }
        Ok(contestant)
    }

    pub(crate) fn parts(&self) -> impl Iterator<Item = &Part> {
        self.at_rest.iter().map(|(part, _)| part)
    }

    /// Makes the most memory that there ever was what there is now.
    pub(crate) fn forget_peak(&self) -> Result<()> {
        self.parts().try_for_each(Part::forget_peak)
    }

    /// Fails unless the filter, whose cost is to be measured, is at work.
    async fn withholds(&self, path: &str) -> Result<()> {
        let mut connection = self.endpoint.connect(Protocol::Http1).await?;
        let status = connection.get(path, Encoding::Json).await?.status();
        if status != StatusCode::NOT_FOUND {
            bail!("{} answers {status} where an object is not managed", self.kind);
        }
        Ok(())
    }

    async fn ready(mut self, path: &str) -> Result<Self> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            for process in &mut self.processes {
                process.check()?;
            }
            let attempt = async {
                let mut connection = self.endpoint.connect(Protocol::Http1).await?;
                fetch_whole(&mut connection, path, Encoding::Json).await
            };
            let Err(error) = timeout(ATTEMPT_TIMEOUT, attempt).await.context("no answer").flatten() else { break };
            if Instant::now() >= deadline {
                let logs = self.processes.iter().map(Process::tail).collect::<String>();
                return Err(error.context(format!("{} does not answer\n{logs}", self.kind)));
            }
            // Whether a process of others is ready can only be asked.
            sleep(ATTEMPT_PAUSE).await;
        }
        for process in &self.processes {
            // nginx has its workers by now.
            let part = Part::of(process.name(), process.pid())?;
            let usage = part.usage()?;
            self.at_rest.push((part, usage));
        }
        Ok(self)
    }
}

/// Ports that are free now, all different. The programs are started at once, before others could take them.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let bind = || TcpListener::bind(("127.0.0.1", 0)).context("looking for a free port");
    let listeners = (0..N).map(|_| bind()).collect::<Result<Vec<_>>>()?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr().context("looking for a free port")?.port();
    }
    Ok(ports)
}

const START_TIMEOUT: Duration = Duration::from_secs(30);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPT_PAUSE: Duration = Duration::from_millis(50);
