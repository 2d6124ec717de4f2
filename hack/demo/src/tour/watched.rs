//! What watches through the filter tell while they run, of the application and of nothing else.

use anyhow::{Context, Result, ensure};
use envtest::sample::{APPLICATION, DEPLOYMENT, NAMESPACE, UNTRACKED_DEPLOYMENT, UNTRACKED_NAMESPACE};
use tokio::time::Instant;

use super::sample::{Ways, pod_names};
use super::step::{Followed, Step};
use crate::command::Tool;

/// Pods are made and ended, of the application and of others.
pub(super) async fn scaled(step: &Step<'_>, ways: &Ways) -> Result<()> {
    let Ways { managed, direct, .. } = ways;
    let mut pods = follow_pods(step, ways).await?;

    step.say("others come, which are not told of:");
    scale_untracked(step, ways, "--replicas=2").await?;
    let status = ["rollout", "status", "deployment", UNTRACKED_DEPLOYMENT, "-n", UNTRACKED_NAMESPACE, "--timeout=60s"];
    direct.run(&status, None).await?.exits(0)?;

    step.say("the application's own come:");
    step.ok(managed, &["scale", "deployment", DEPLOYMENT, "-n", NAMESPACE, "--replicas=4"]).await?.says("scaled")?;
    let status = ["rollout", "status", "deployment", DEPLOYMENT, "-n", NAMESPACE, "--timeout=60s"];
    step.ok(managed, &status).await?.says("successfully rolled out")?;
    for _ in 0..2 {
        pods.until("a new pod", |line| line.starts_with("ADDED")).await?;
    }

    let started = Instant::now();
    step.ok(managed, &["scale", "deployment", DEPLOYMENT, "-n", NAMESPACE, "--replicas=2"]).await?.says("scaled")?;
    for _ in 0..2 {
        pods.until("a pod's end", |line| line.starts_with("DELETED")).await?;
    }
    step.note(format!("both pods seen to end {} ms after the command", started.elapsed().as_millis()));
    pods.interrupt().await?;
    scale_untracked(step, ways, "--replicas=1").await
}

/// The Deployment loses the mark and gets it back; its pods go and come with it, though nothing happens to them.
pub(super) async fn marked(step: &Step<'_>, ways: &Ways) -> Result<()> {
    let args = ["get", "deployments", "-A", "-w", "--output-watch-events"];
    let mut deployments = step.follow(&ways.managed, &args)?.never(UNTRACKED_NAMESPACE);
    deployments.until("the Deployment", |line| line.contains(DEPLOYMENT)).await?;
    let mut pods = follow_pods(step, ways).await?;

    let annotate = async |[kind, which]: [&str; 2], mark: &str| {
        let args = ["annotate", kind, which, "-n", NAMESPACE, mark];
        step.ok(&ways.everything, &args).await?.says("annotated").map(drop)
    };
    let (deployment, no_mark) = (["deployment", DEPLOYMENT], format!("{MARK}-"));
    annotate(deployment, &no_mark).await?;
    let left = async {
        deployments.until("its end", |line| line.starts_with("DELETED")).await?;
        // The Deployment's controller copies annotations, and leaves the copy where the original is gone.
        step.say("its ReplicaSet has a copy of the mark; without that one the pods are nobody's:");
        annotate(["replicasets", "--all"], &no_mark).await?;
        told_of_both(&mut pods, "DELETED").await
    }
    .await;
    // Whatever was seen: who goes on by hand needs it.
    step.say("put on again:");
    annotate(deployment, &format!("{MARK}={APPLICATION}:apps/Deployment:{NAMESPACE}/{DEPLOYMENT}")).await?;
    left?;
    deployments.until("its return", |line| line.starts_with("ADDED")).await?;
    told_of_both(&mut pods, "ADDED").await?;
    step.note("the Deployment and both pods left and came back");
    deployments.interrupt().await?;
    pods.interrupt().await
}

/// A watch of all pods that has told of those that are there.
async fn follow_pods<'a>(step: &Step<'a>, ways: &Ways) -> Result<Followed<'a>> {
    let args = ["get", "pods", "-A", "-w", "--output-watch-events"];
    let mut pods = step.follow(&ways.managed, &args)?.never(UNTRACKED_NAMESPACE);
    let mut known = pod_names(&ways.direct).await?;
    known.sort();
    let last = known.last().context("no pods")?;
    pods.until("the pods that are there", |line| line.contains(last)).await?;
    Ok(pods)
}

async fn scale_untracked(step: &Step<'_>, ways: &Ways, replicas: &str) -> Result<()> {
    let args = ["scale", "deployment", UNTRACKED_DEPLOYMENT, "-n", UNTRACKED_NAMESPACE, replicas];
    step.ok(&ways.everything, &args).await?.says("scaled").map(drop)
}

/// Waits until a watch has told that of both pods.
async fn told_of_both(pods: &mut Followed<'_>, event: &str) -> Result<()> {
    let first = pods.until("an event of a pod", |line| line.starts_with(event)).await?;
    let second = pods.until("an event of another pod", |line| line.starts_with(event)).await?;
    let name = |line: &str| line.split_whitespace().nth(2).map(str::to_owned);
    ensure!(name(&first) != name(&second), "twice the same pod");
    Ok(())
}

const MARK: &str = "argocd.argoproj.io/tracking-id";
