//! Everything that runs while a scenario measures, from its first process to its last.

use std::{fs, path::Path, thread};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use tempfile::TempDir;

use crate::{
    accounting::Part,
    apiserver::ApiServer,
    args::Common,
    contestants::{Contestant, Ground, Kind, Nginx, Ours, Programs},
    pki::Pki,
};

/// The API server and those who take part. Dropped in this order: the directory last.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) contestants: Vec<Contestant>,
    pub(crate) api_server: ApiServer,
    /// Its processes.
    pub(crate) backend: Vec<Part>,
    pub(crate) surroundings: Surroundings,
    _dir: TempDir,
}

/// What a figure cannot be judged without.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Surroundings {
    cpu: String,
    cores: usize,
    kernel: String,
    /// Processes that wanted to run in the minute before: others than ours make figures worthless.
    load_before: f64,
    argocd_agent: Option<String>,
    nginx: Option<String>,
    worker_threads: Option<usize>,
}

// === impl Stage ===

impl Stage {
    /// Builds and starts what is needed.
    pub(crate) async fn set(kinds: &[Kind], common: &Common) -> Result<Self> {
        for (index, kind) in kinds.iter().enumerate() {
            if kinds.iter().skip(index + 1).any(|other| other == kind) {
                bail!("{kind} is named twice");
            }
        }
        let ours = if kinds.iter().any(|kind| kind.is_ours()) {
            Some(Ours::given_or_build(common.binary.clone(), common.worker_threads).await?)
        } else {
            None
        };
        let nginx = if kinds.contains(&Kind::Chain) { Some(Nginx::locate_or_install().await?) } else { None };
        let programs = Programs { nginx, ours };
        let surroundings = Surroundings::new(&programs, common.worker_threads);
        if cfg!(debug_assertions) {
            eprintln!("note: the client is a debug build and slow; use cargo run --release");
        }

        let dir = tempfile::Builder::new().prefix("bench-").tempdir().context("creating a directory")?;
        let pki = Pki::write(&dir.path().join("pki"))?;
        let api_server = ApiServer::start(&dir.path().join("api-server")).await?;
        let backend = api_server.parts()?;
        let ground = Ground { dir: dir.path(), pki: &pki, api_server: &api_server };
        let mut contestants = Vec::new();
        for kind in kinds {
            let contestant = Contestant::start(*kind, ground, &programs).await?;
            let parts = contestant.parts().map(|part| format!(", {} {:?}", part.name, part.pids())).collect::<String>();
            eprintln!("{kind} on {}{parts}", contestant.endpoint.address());
            contestants.push(contestant);
        }
        Ok(Self { contestants, api_server, backend, surroundings, _dir: dir })
    }
}

// === impl Surroundings ===

impl Surroundings {
    fn new(programs: &Programs, worker_threads: Option<usize>) -> Self {
        let read = |path: &str| fs::read_to_string(Path::new("/proc").join(path)).unwrap_or_default();
        let model = |line: &str| Some(line.strip_prefix("model name")?.split_once(':')?.1.trim().to_owned());
        let load = read("loadavg").split(' ').next().and_then(|load| load.parse().ok());
        Self {
            cpu: read("cpuinfo").lines().find_map(model).unwrap_or_else(|| "unknown".to_owned()),
            cores: thread::available_parallelism().map_or(1, Into::into),
            kernel: read("sys/kernel/osrelease").trim().to_owned(),
            load_before: load.unwrap_or_default(),
            argocd_agent: programs.ours.as_ref().map(|ours| ours.version.clone()),
            nginx: programs.nginx.as_ref().map(|nginx| nginx.version.clone()),
            worker_threads,
        }
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let names = [self.argocd_agent.as_deref().map(|version| format!("argocd-agent {version}")), self.nginx.clone()];
        let names = names.into_iter().flatten().map(|name| format!(", {name}")).collect::<String>();
        let Self { cores, cpu, kernel, load_before, .. } = self;
        format!("{cores} cores ({cpu}), Linux {kernel}{names}, load before {load_before}")
    }
}
