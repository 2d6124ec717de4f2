//! Everything that runs while a scenario measures, from its first process to its last.

use std::{fs, path::Path, thread};

use anyhow::{Context, Result, bail};
use envtest::Extent;
use serde::Serialize;
use tempfile::TempDir;

use crate::{
    accounting::Part,
    apiserver::ApiServer,
    args::{Common, Program},
    contestants::{Contestant, Ground, Kind, Programs, Rival, Task, able},
    line::Line,
    load::Protocol,
    pki::Pki,
    redis::raise_limit,
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
    #[serde(flatten)]
    versions: Versions,
    worker_threads: Option<usize>,
    /// Whether only that everything works was to be seen.
    pub(crate) smoke: bool,
}

/// Of the programs that take part.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Versions {
    pub(crate) argocd_agent: Option<String>,
    pub(crate) nginx: Option<String>,
    pub(crate) redis: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) rivals: Vec<String>,
}

// === impl Stage ===

impl Stage {
    /// Builds and starts what is needed in front of an API server.
    pub(crate) async fn set(task: Task, kinds: &[Kind], common: &Common) -> Result<Self> {
        let rivals = able(&common.program.rivals, task, common.protocol());
        Self::of(Extent::ApiServer, kinds, &rivals, &common.program, None).await
    }

    /// The same with a line between the two hops of each contestant that has two.
    pub(crate) async fn set_far(task: Task, kinds: &[Kind], common: &Common, line: &Line) -> Result<Self> {
        let rivals = able(&common.program.rivals, task, common.protocol());
        Self::of(Extent::ApiServer, kinds, &rivals, &common.program, Some(line)).await
    }

    /// In front of a cluster that has a node, and pods that run on it.
    pub(crate) async fn with_node(task: Task, kinds: &[Kind], program: &Program) -> Result<Self> {
        let rivals = able(&program.rivals, task, Protocol::Http1);
        Self::of(Extent::Full, kinds, &rivals, program, None).await
    }

    async fn of(
        extent: Extent,
        kinds: &[Kind],
        rivals: &[&Rival],
        program: &Program,
        line: Option<&Line>,
    ) -> Result<Self> {
        let kinds = kinds.iter().copied().chain(rivals.iter().map(|rival| rival.kind())).collect::<Vec<_>>();
        named_once(&kinds)?;
        // Ours and theirs: what we start has the same limit.
        let limit = raise_limit(OPEN_FILES)?;
        if limit < OPEN_FILES {
            eprintln!("note: no more than {limit} files may be open here, and each connection is two of a hop's");
        }
        let programs = Programs::find(&kinds, rivals, program).await?;
        let surroundings = Surroundings::new(programs.versions(), program.worker_threads).smoke(program.smoke);

        let dir = tempfile::Builder::new().prefix("bench-").tempdir().context("creating a directory")?;
        let pki = Pki::write(&dir.path().join("pki"))?;
        let api_server = ApiServer::start(&dir.path().join("api-server"), extent).await?;
        let backend = api_server.parts()?;
        let ground = Ground { dir: dir.path(), pki: &pki, api_server: &api_server, line };
        let mut contestants = Vec::new();
        for kind in kinds {
            let contestant = Contestant::start(kind, ground, &programs).await?;
            let parts = contestant.parts().map(|part| format!(", {} {:?}", part.name, part.pids())).collect::<String>();
            eprintln!("{kind} on {}{parts}", contestant.endpoint.address());
            contestants.push(contestant);
        }
        Ok(Self { contestants, api_server, backend, surroundings, _dir: dir })
    }
}

/// Fails if one takes part twice: what is compared within a round must be there once.
pub(crate) fn named_once(kinds: &[Kind]) -> Result<()> {
    for (index, kind) in kinds.iter().enumerate() {
        if kinds.iter().skip(index + 1).any(|other| other == kind) {
            bail!("{kind} is named twice");
        }
    }
    Ok(())
}

/// Enough for a thousand watches and what is around them.
const OPEN_FILES: u64 = 8192;

// === impl Surroundings ===

impl Surroundings {
    /// What this machine is now. Says so if the client is no release build.
    pub(crate) fn new(versions: Versions, worker_threads: Option<usize>) -> Self {
        if cfg!(debug_assertions) {
            eprintln!("note: the client is a debug build and slow; use cargo run --release");
        }
        let read = |path: &str| fs::read_to_string(Path::new("/proc").join(path)).unwrap_or_default();
        let model = |line: &str| Some(line.strip_prefix("model name")?.split_once(':')?.1.trim().to_owned());
        let load = read("loadavg").split(' ').next().and_then(|load| load.parse().ok());
        Self {
            cpu: read("cpuinfo").lines().find_map(model).unwrap_or_else(|| "unknown".to_owned()),
            cores: thread::available_parallelism().map_or(1, Into::into),
            kernel: read("sys/kernel/osrelease").trim().to_owned(),
            load_before: load.unwrap_or_default(),
            versions,
            worker_threads,
            smoke: false,
        }
    }

    /// The same for figures that are worth nothing, or not.
    pub(crate) fn smoke(self, smoke: bool) -> Self {
        Self { smoke, ..self }
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let Versions { argocd_agent, nginx, redis, rivals } = &self.versions;
        let argocd_agent = argocd_agent.as_deref().map(|version| format!("argocd-agent {version}"));
        let redis = redis.as_deref().map(|version| format!("Redis {version}"));
        let names = [argocd_agent, nginx.clone(), redis]
            .into_iter()
            .flatten()
            .chain(rivals.iter().cloned())
            .map(|name| format!(", {name}"))
            .collect::<String>();
        let Self { cores, cpu, kernel, load_before, .. } = self;
        format!("{cores} cores ({cpu}), Linux {kernel}{names}, load before {load_before}")
    }
}
