//! The demo from its first line to its last. It owns what it has started, so that an interruption at any point leaves
//! something that can be ended in order.

use std::future::pending;

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::Args;
use crate::command::quoted;
use crate::kubectl::{self, Kubectl};
use crate::process::Process;
use crate::redis::{self, Redis};
use crate::screen::{Look, Screen};
use crate::state::State;
use crate::tour::sample::Ways;
use crate::tour::{self, Tour};
use crate::tunnel::{self, Doors, EVERYTHING, MANAGED};
use crate::workload::Workload;

/// What has been started so far.
#[derive(Debug)]
pub(crate) struct Demo {
    state: State,
    /// The Redis servers first, then the principal, then its agents.
    processes: Vec<Process>,
    workload: Option<Workload>,
    redis: Option<Redis>,
    /// How the tour went, once it is over.
    toured: Option<bool>,
}

/// Ctrl-C, or another kind request to end.
#[derive(Debug)]
pub(crate) struct Interrupts {
    signals: [tokio::signal::unix::Signal; 3],
}

// === impl Demo ===

impl Demo {
    /// Nothing is started yet.
    pub(crate) fn new(args: &Args) -> Result<Self> {
        let state = State::create(args.state_dir.as_deref())?;
        Ok(Self { state, processes: Vec::new(), workload: None, redis: None, toured: None })
    }

    /// Starts everything, runs the tour, and stays up if that is wanted: then it returns only by an error.
    pub(crate) async fn run(&mut self, args: &Args, screen: &Screen) -> Result<()> {
        screen.line(
            screen.paint(Look::Bold, "argocd-agent: kubectl and Argo CD work on a cluster that nobody can dial into"),
        );
        screen.line(PICTURE);
        // What was typed is looked at before minutes are spent on building.
        let own = Workload::own(args)?;
        redis::programs()?;
        let binary = match &args.binary {
            Some(path) => crate::binary::given(path)?,
            None => screen.stage("building argocd-agent (an optimised build)", crate::binary::build).await?,
        };
        let workload = match own {
            Some(own) => own,
            None => Workload::sample(&self.state, screen).await?,
        };
        let workload = self.workload.insert(workload);
        let redis = self.redis.insert(Redis::start(&self.state, &mut self.processes, screen).await?);
        let doors = tunnel::open(&binary, workload, redis, args.port, &self.state, &mut self.processes, screen).await?;
        let ways = Ways {
            managed: Kubectl::new(workload.kubectl_program(), &doors.kubeconfig, self.state.path()),
            everything: Kubectl::new(workload.kubectl_program(), &doors.kubeconfig, self.state.path())
                .with_context(EVERYTHING),
            direct: workload.direct(&self.state),
        };
        let good = tour(args, workload, &ways, (redis, &doors, &self.state), screen).await?;
        self.toured = Some(good);
        if !good {
            self.state.keep();
            screen.line(format!("  logs: {}", self.state.path().join("logs").display()));
        }
        if !args.tour_only {
            self.invite(screen, &doors);
            let ended = self.first_to_end().await;
            self.state.keep();
            bail!(ended);
        }
        Ok(())
    }

    /// How the tour went, if it is over.
    pub(crate) fn toured(&self) -> Option<bool> {
        self.toured
    }

    /// Ends everything: agents, principal, Redis servers, cluster. An ending that is not clean is an error.
    pub(crate) async fn end(&mut self, screen: &Screen) -> Result<()> {
        if self.processes.is_empty() && self.workload.is_none() {
            return Ok(());
        }
        screen.line("");
        let ended = screen
            .stage("ending", async |progress| {
                let mut ended = Ok(());
                // Agents before the principal: none of them has to see its connection lost.
                while let Some(process) = self.processes.pop() {
                    progress.detail(process.name());
                    ended = ended.and(process.stop().await);
                }
                progress.detail("the cluster");
                self.workload = None;
                ended
            })
            .await;
        if ended.is_err() {
            self.state.keep();
        }
        if self.state.is_kept() {
            screen.line(format!("  certificates and logs are kept in {}", self.state.path().display()));
        }
        ended
    }

    /// Keeps certificates and logs, for somebody to look at.
    pub(crate) fn keep_state(&mut self) {
        self.state.keep();
    }

    /// Says how to go on by hand.
    fn invite(&self, screen: &Screen, doors: &Doors) {
        let (Some(workload), Some(redis)) = (&self.workload, &self.redis) else { return };
        screen.heading("Yours now, until Ctrl-C");
        let command = |line: String| screen.line(format!("  {}", screen.paint(Look::Command, line)));
        command(format!("export KUBECONFIG={}", quoted(&doors.kubeconfig.display().to_string())));
        if kubectl::find().is_none() {
            let program = workload.kubectl_program().display().to_string();
            command(format!("alias kubectl={}", quoted(&program)));
        }
        command(redis.export());
        let mut ideas = match workload {
            Workload::Sample(_) => tour::sample::ideas(),
            Workload::Own(_) => tour::own::ideas(),
        };
        ideas.extend(tour::redis::ideas(redis, doors.redis));
        let width = ideas.iter().map(|(line, _)| line.len()).max().unwrap_or_default();
        for (line, what) in ideas {
            let what = screen.paint(Look::Dim, format!("# {what}"));
            screen.line(format!("  {}  {what}", screen.paint(Look::Command, format!("{line:width$}"))));
        }
        let metrics = doors.metrics.iter().map(|(name, port)| format!("{name} http://127.0.0.1:{port}/metrics"));
        screen.line(format!(
            "  Redis door: 127.0.0.1:{}; the control plane's own Redis: 127.0.0.1:{}; the workload cluster's: 127.0.0.1:{}",
            doors.redis, redis.control, redis.workload
        ));
        screen.line(format!("  logs: {}", self.state.path().join("logs").display()));
        screen.line(format!("  metrics: {}", metrics.collect::<Vec<_>>().join(", ")));
    }

    /// What ended although nobody asked for it. Never, if nothing does.
    async fn first_to_end(&mut self) -> String {
        let [control, workload, principal, managed, everything] = self.processes.as_mut_slice() else {
            return pending().await;
        };
        tokio::select! {
            ended = control.ended() => ended,
            ended = workload.ended() => ended,
            ended = principal.ended() => ended,
            ended = managed.ended() => ended,
            ended = everything.ended() => ended,
        }
    }
}

async fn tour(
    args: &Args,
    workload: &Workload,
    ways: &Ways,
    (redis, doors, state): (&Redis, &Doors, &State),
    screen: &Screen,
) -> Result<bool> {
    let timed = [
        tour::Way::new("direct", &workload.kubeconfig(), workload.context()).await?,
        tour::Way::new("through the tunnel", &doors.kubeconfig, Some(MANAGED)).await?,
        tour::Way::new("through the tunnel, without filter", &doors.kubeconfig, Some(EVERYTHING)).await?,
    ];
    let mut tour = Tour::new(screen);
    match workload {
        Workload::Sample(cluster) => tour::sample::run(&mut tour, ways, cluster, &timed).await,
        Workload::Own(_) => tour::own::run(&mut tour, ways, args.object.as_ref(), &timed).await,
    }
    tour::redis::run(&mut tour, redis, doors.redis, state).await;
    Ok(tour.summary())
}

const PICTURE: &str = "
  kubectl ────► principal ◄── agent ───────► kube-apiserver   demo: what Argo CD manages
  redis-cli ──►           ◄── agent-full ──► Redis            demo-full: everything
";

// === impl Interrupts ===

impl Interrupts {
    /// From now on these signals are for us to handle.
    pub(crate) fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("listening for signals");
        let signals =
            [listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?, listen(SignalKind::hangup())?];
        Ok(Self { signals })
    }

    /// The next of them.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
