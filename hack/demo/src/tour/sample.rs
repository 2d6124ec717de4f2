//! The tour of the sample cluster: reads, streams, writes, refusals; then everything, without the filter.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use envtest::Cluster;
use envtest::sample::{DEPLOYMENT, NAMESPACE, UNTRACKED_NAMESPACE};
use tokio::time::{Instant, sleep};

use super::timing::{self, Way};
use super::{Step, Tour};
use crate::kubectl::Kubectl;
use crate::tunnel::EVERYTHING;

/// The ways to the cluster.
#[derive(Debug)]
pub(crate) struct Ways {
    /// Through the agent with the filter.
    pub(crate) managed: Kubectl,
    /// Through the agent without.
    pub(crate) everything: Kubectl,
    /// Not through us.
    pub(crate) direct: Kubectl,
}

/// Runs it.
pub(crate) async fn run(tour: &mut Tour<'_>, ways: &Ways, cluster: &Cluster, timed: &[Way]) {
    let Ways { managed, everything, direct } = ways;
    // `kubectl logs deployment/x` would pick a pod by a list, which the filter does not show.
    let pod = &pod_names(direct).await.ok().and_then(|names| names.into_iter().next()).unwrap_or_default();

    tour.step("kubectl asks the principal, the workload cluster answers", async |step| {
        let through = step.ok(managed, &["version"]).await?;
        let expected = direct.run(&["version"], None).await?;
        ensure!(through.stdout == expected.stdout, "direct says {:?}", expected.stdout);
        Ok(())
    })
    .await;
    tour.step("what Argo CD deployed: by its tracking mark, or owned by what carries one", async |step| {
        step.ok(managed, &["get", "deployment", DEPLOYMENT, "-n", NAMESPACE]).await?.says("2/2")?;
        step.ok(managed, &["get", "pod", pod, "-n", NAMESPACE, "-o", "wide"]).await?.says("Running")?;
        Ok(())
    })
    .await;
    tour.step("a pod in detail, its events too", async |step| {
        let output = step.ok(managed, &["describe", "pod", pod, "-n", NAMESPACE]).await?;
        output.says("Controlled By:  ReplicaSet/guestbook-ui-")?.says("Events:")?;
        Ok(())
    })
    .await;
    tour.step("its log, followed: lines arrive when they are written", async |step| {
        follow_log(step, managed, pod, log_of(cluster, pod)).await
    })
    .await;
    tour.step("a command in it: output, standard input, exit code", async |step| {
        let said = format!("hello from {pod}");
        let script = r#"echo "hello from $HOSTNAME"; exit 7"#;
        let output = step.exits(7, managed, &["exec", pod, "-n", NAMESPACE, "--", "sh", "-c", script]).await?;
        output.says(&said)?.says("exit code 7")?;
        let args = ["exec", "-i", pod, "-n", NAMESPACE, "--", "sh", "-c", "wc -c; echo end of input seen"];
        let output = step.reads("thirty bytes to be counted now", managed, &args).await?;
        output.says("30")?.says("end of input seen")?;
        Ok(())
    })
    .await;
    tour.step("a change", async |step| {
        let patch = r#"{"data":{"greeting":"hello through the tunnel"}}"#;
        let args = ["patch", "configmap", CONFIG, "-n", NAMESPACE, "--type=merge", "-p", patch];
        step.ok(managed, &args).await?.says("patched")?;
        step.say("and what the cluster itself has now:");
        let args = ["get", "configmap", CONFIG, "-n", NAMESPACE, "-o", "jsonpath={.data.greeting}"];
        let output = step.ok(direct, &args).await?;
        ensure!(output.stdout == "hello through the tunnel", "the change is not there");
        Ok(())
    })
    .await;
    tour.step("more pods, made by the cluster's own controllers", async |step| {
        let before = pod_names(direct).await?;
        step.ok(managed, &["scale", "deployment", DEPLOYMENT, "-n", NAMESPACE, "--replicas=4"])
            .await?
            .says("scaled")?;
        let new = new_pods(direct, &before, 2).await?;
        let args =
            ["get", "pod", "-n", NAMESPACE].into_iter().chain(new.iter().map(String::as_str)).collect::<Vec<_>>();
        let output = step.ok(managed, &args).await?;
        for name in &new {
            output.says(name)?;
        }
        Ok(())
    })
    .await;
    tour.step("what Argo CD does not track is not there", async |step| {
        let get = ["get", "secret", UNTRACKED, "-n", UNTRACKED_NAMESPACE];
        step.exits(1, managed, &get).await?.says(NOT_MANAGED)?;
        step.exits(1, managed, &["delete", "configmap", UNTRACKED, "-n", UNTRACKED_NAMESPACE])
            .await?
            .says(NOT_MANAGED)?;
        step.say("the cluster itself still has both:");
        step.ok(
            direct,
            &["get", "configmap,secret", "--field-selector=metadata.name=untracked", "-n", UNTRACKED_NAMESPACE],
        )
        .await?
        .says("configmap/untracked")?
        .says("secret/untracked")?;
        Ok(())
    })
    .await;
    tour.step("the same cluster through the other agent, without the filter: lists", async |step| {
        step.ok(everything, &["get", "pods", "-A"]).await?.says(pod)?.says(UNTRACKED_NAMESPACE)?;
        step.ok(everything, &["get", "secret", UNTRACKED, "-n", UNTRACKED_NAMESPACE]).await?.says("Opaque")?;
        let args = ["get", "deployments,replicasets,services,configmaps", "-A", "-o", "name"];
        let (through, expected) = (everything.run(&args, None).await?, direct.run(&args, None).await?);
        through.exits(0)?;
        ensure!(through.stdout == expected.stdout, "the lists differ from direct: {:?}", through.stdout);
        step.note(format!("{} objects of 4 kinds as direct", through.stdout.lines().count()));
        Ok(())
    })
    .await;
    tour.step("and a watch: events as they happen", async |step| watch(step, ways).await).await;
    tour.step("what the way through the tunnel costs", async |step| {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/{CONFIG}");
        timing::compare(step, timed, &path).await
    })
    .await;
}

/// The commands that a reader may go on with.
pub(crate) fn ideas() -> Vec<(String, &'static str)> {
    vec![
        (format!("kubectl get deployment {DEPLOYMENT} -n {NAMESPACE} -o yaml"), "what Argo CD manages"),
        (format!("kubectl get secret {UNTRACKED} -n {UNTRACKED_NAMESPACE}"), "what it does not: refused"),
        (format!("kubectl --context={EVERYTHING} get pods -A -w"), "everything, live"),
        (format!("kubectl --context={EVERYTHING} exec -it deploy/{DEPLOYMENT} -n {NAMESPACE} -- sh"), "a shell"),
        (format!("kubectl scale deployment {DEPLOYMENT} -n {NAMESPACE} --replicas=3"), "a change"),
    ]
}

async fn follow_log(step: &Step<'_>, managed: &Kubectl, pod: &str, log: PathBuf) -> Result<()> {
    let mut follow = step.follow(managed, &["logs", "-f", pod, "-n", NAMESPACE])?;
    follow.until("the end of the pod's start", |line| line == "ready").await?;
    let mut file = OpenOptions::new().create(true).append(true).open(&log).context("opening the pod's log")?;
    let mut slowest = Duration::ZERO;
    for number in 1..=3 {
        let line = format!("served guest {number}");
        let written = Instant::now();
        writeln!(file, "{line}").context("writing the pod's log")?;
        follow.until("the line just written", |read| read == line).await?;
        slowest = slowest.max(written.elapsed());
    }
    follow.interrupt().await?;
    step.note(format!("a line takes {} ms at most from the container to here", slowest.as_millis()));
    Ok(())
}

async fn watch(step: &Step<'_>, ways: &Ways) -> Result<()> {
    let args = ["get", "pods", "-n", NAMESPACE, "-w", "--output-watch-events"];
    let mut follow = step.follow(&ways.everything, &args)?;
    // What is there comes first; the last pod by name ends it.
    let mut known = pod_names(&ways.direct).await?;
    known.sort();
    let last = known.last().context("no pods")?.clone();
    follow.until("the pods that are there", |line| line.contains(&last)).await?;
    let scale = ["scale", "deployment", DEPLOYMENT, "-n", NAMESPACE, "--replicas=2"];
    let started = Instant::now();
    step.ok(&ways.managed, &scale).await?.says("scaled")?;
    for _ in 0..2 {
        follow.until("a pod's end", |line| line.starts_with("DELETED")).await?;
    }
    step.note(format!("both pods seen to end {} ms after the command", started.elapsed().as_millis()));
    follow.interrupt().await
}

/// Where the node's kubelet reads the log of the pod's container.
fn log_of(cluster: &Cluster, pod: &str) -> PathBuf {
    cluster.kubelet_dir().join(format!("{NAMESPACE}_{pod}_{DEPLOYMENT}.log"))
}

async fn pod_names(direct: &Kubectl) -> Result<Vec<String>> {
    let args = [
        "get",
        "pods",
        "-n",
        NAMESPACE,
        "--field-selector=status.phase=Running",
        "--output=jsonpath={.items[*].metadata.name}",
    ];
    let output = direct.run(&args, None).await?;
    output.exits(0).with_context(|| output.stderr.clone())?;
    Ok(output.stdout.split_whitespace().map(str::to_owned).collect())
}

/// The running pods that were not there before, as soon as there are so many.
async fn new_pods(direct: &Kubectl, before: &[String], count: usize) -> Result<Vec<String>> {
    let deadline = Instant::now() + PODS_TIMEOUT;
    loop {
        let mut names = pod_names(direct).await?;
        names.retain(|name| !before.contains(name));
        if names.len() >= count {
            return Ok(names);
        }
        if Instant::now() >= deadline {
            bail!("{} new pods after {PODS_TIMEOUT:?}, expected {count}", names.len());
        }
        sleep(PODS_POLL).await;
    }
}

const CONFIG: &str = "guestbook-config";
const UNTRACKED: &str = "untracked";
const NOT_MANAGED: &str = "resource not managed by app";

/// Pods take a second or two from the command to Running.
const PODS_TIMEOUT: Duration = Duration::from_secs(30);

/// How often they are counted.
const PODS_POLL: Duration = Duration::from_millis(200);
