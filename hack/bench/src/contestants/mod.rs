//! Who takes part: ways from a client to the same API server.
//!
//! All run at once, as processes of their own, and idle while it is not their turn. A further contestant is a file
//! here that starts its processes and says where it listens.

mod argocd_agent;
mod chain;
mod direct;
mod konnectivity;
mod nginx;
mod ours;
mod ports;
mod programs;
mod rivals;

use std::{fmt, path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use http::StatusCode;
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    accounting::{Part, Usage},
    apiserver::ApiServer,
    line::Line,
    load::{Encoding, Endpoint, Expected, Protocol, fetch_whole},
    objects,
    pki::Pki,
    process::Process,
    redis::RedisServer,
};

pub(crate) use nginx::Nginx;
pub(crate) use ours::{ARGOCD_NAMESPACE, Ours, PrincipalPorts};
pub(crate) use ports::free_ports;
pub(crate) use programs::Programs;
pub(crate) use rivals::{Rival, Task, able};

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
    /// argocd-agent, the program in Go
    #[value(skip)]
    ArgocdAgent,
    /// `proxy-server` and `proxy-agent` of apiserver-network-proxy
    #[value(skip)]
    Konnectivity,
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
    /// What it wants beside, kept as well. What that costs is not counted.
    _redis: Option<RedisServer>,
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

    /// Whether it is there to be compared with, and what it does is not for us to mend.
    pub(crate) fn is_rival(self) -> bool {
        matches!(self, Self::ArgocdAgent | Self::Konnectivity)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Chain => "chain",
            Self::Ours => "ours",
            Self::OursNoFilter => "ours, no filter",
            Self::ArgocdAgent => "argocd-agent (Go)",
            Self::Konnectivity => "konnectivity",
        })
    }
}

// === impl Contestant ===

impl Contestant {
    /// Starts a contestant and waits until an object can be fetched through it.
    pub(crate) async fn start(kind: Kind, ground: Ground<'_>, programs: &Programs) -> Result<Self> {
        let none = || format!("{kind} has no program");
        let Programs { nginx, ours, argocd_agent, konnectivity } = programs;
        let started = match kind {
            Kind::Direct => direct::start(ground),
            Kind::Chain => chain::start(ground, nginx.as_ref().with_context(none)?)?,
            Kind::Ours | Kind::OursNoFilter => ours.as_ref().with_context(none)?.start(ground, kind)?,
            Kind::ArgocdAgent => argocd_agent.as_ref().with_context(none)?.start(ground).await?,
            Kind::Konnectivity => konnectivity.as_ref().with_context(none)?.start(ground)?,
        };
        let contestant = started.ready(&objects::ready().path()).await?;
        match kind {
            Kind::Ours => contestant.withholds(&[StatusCode::NOT_FOUND]).await?,
            // Its documentation says the one, its program the other.
            Kind::ArgocdAgent => contestant.withholds(&[StatusCode::NOT_FOUND, StatusCode::FORBIDDEN]).await?,
            _ => {}
        }
        Ok(contestant)
    }

    /// One whose processes have been started.
    fn starting(kind: Kind, endpoint: Endpoint, processes: Vec<Process>) -> Self {
        Self { kind, endpoint, at_rest: Vec::new(), processes, _redis: None }
    }

    /// What this one must answer where the API server answers that.
    pub(crate) fn expects(&self, expected: &Expected) -> Expected {
        match self.kind {
            Kind::ArgocdAgent => expected.rewritten(),
            _ => expected.clone(),
        }
    }

    pub(crate) fn parts(&self) -> impl Iterator<Item = &Part> {
        self.at_rest.iter().map(|(part, _)| part)
    }

    /// Makes the most memory that there ever was what there is now.
    pub(crate) fn forget_peak(&self) -> Result<()> {
        self.parts().try_for_each(Part::forget_peak)
    }

    /// Fails unless the filter, whose cost is to be measured, is at work.
    async fn withholds(&self, answers: &[StatusCode]) -> Result<()> {
        let mut connection = self.endpoint.connect(Protocol::Http1).await?;
        let status = connection.get(&objects::unmanaged().path(), Encoding::Json).await?.status();
        if !answers.contains(&status) {
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

const START_TIMEOUT: Duration = Duration::from_secs(30);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPT_PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rivals_take_part_only_by_their_program() {
        for rival in [Kind::ArgocdAgent, Kind::Konnectivity] {
            assert!(rival.is_rival() && !rival.is_ours());
            assert_eq!(rival.to_possible_value(), None, "{rival}");
        }
    }
}
