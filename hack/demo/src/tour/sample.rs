//! The tour of the sample cluster: what Argo CD manages, read, streamed, changed and watched; then everything, without
//! the filter.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use envtest::Cluster;
use envtest::sample::{APPLICATION, DEPLOYMENT, NAMESPACE, UNTRACKED_NAMESPACE};
use tokio::time::Instant;

use super::timing::{self, Way};
use super::{Step, Tour, watched};
use crate::command::{Output, Tool};
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
    // One whose log is known: which one `kubectl logs deployment/x` picks is for kubectl to choose.
    let pod = &pod_names(direct).await.ok().and_then(|names| names.into_iter().next()).unwrap_or_default();

    tour.step("kubectl asks the principal, the workload cluster answers", async |step| {
        let through = step.ok(managed, &["version"]).await?;
        let expected = direct.run(&["version"], None).await?;
        ensure!(through.stdout == expected.stdout, "direct says {:?}", expected.stdout);
        Ok(())
    })
    .await;
    tour.step("a list: what Argo CD tracks, what that owns, and nothing else", async |step| list(step, ways).await)
        .await;
    tour.step("what happened to it: the events of all that is shown", async |step| events(step, managed).await).await;
    tour.step("a pod's log, followed: lines arrive when they are written", async |step| {
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
    tour.step("a watch: what is managed as it comes and goes", async |step| watched::scaled(step, ways).await).await;
    tour.step("and as it becomes managed: the mark taken off, and put on again", async |step| {
        watched::marked(step, ways).await
    })
    .await;
    tour.step("what Argo CD does not track is not there", async |step| {
        step.ok(managed, &["get", "configmaps,secrets", "-n", UNTRACKED_NAMESPACE])
            .await?
            .says("No resources found")?;
        let get = ["get", "secret", UNTRACKED, "-n", UNTRACKED_NAMESPACE];
        step.exits(1, managed, &get).await?.says(NOT_MANAGED)?;
        step.exits(1, managed, &["delete", "configmap", UNTRACKED, "-n", UNTRACKED_NAMESPACE])
            .await?
            .says(NOT_MANAGED)?;
        step.say("the cluster itself still has both:");
        let args = ["get", "configmaps,secrets", "-n", UNTRACKED_NAMESPACE];
        step.ok(direct, &args).await?.says("configmap/untracked")?.says("secret/untracked")?;
        Ok(())
    })
    .await;
    tour.step("the same cluster through the other agent, without the filter: everything", async |step| {
        step.ok(everything, &["get", "pods", "-A"]).await?.says(NAMESPACE)?.says(UNTRACKED_NAMESPACE)?;
        let args = ["get", KINDS, "-A", "-o", "name"];
        let (through, expected) = (everything.run(&args, None).await?, direct.run(&args, None).await?);
        through.exits(0)?;
        ensure!(through.stdout == expected.stdout, "the lists differ from direct: {:?}", through.stdout);
        step.note(format!("{} objects of 5 kinds as direct", through.stdout.lines().count()));
        Ok(())
    })
    .await;
    tour.step("what the way through the tunnel costs", async |step| {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/{CONFIG}");
        timing::compare(step, timed, &path).await
    })
    .await;
}

/// The commands that a reader may go on with.
pub(crate) fn ideas() -> Vec<(String, &'static str)> {
    vec![
        ("kubectl get pods -A -w".to_owned(), "what Argo CD manages, live"),
        (format!("kubectl get secret {UNTRACKED} -n {UNTRACKED_NAMESPACE}"), "what it does not: refused"),
        (format!("kubectl --context={EVERYTHING} get pods -A -w"), "everything, live"),
        (format!("kubectl exec -it deploy/{DEPLOYMENT} -n {NAMESPACE} -- sh"), "a shell"),
        (format!("kubectl scale deployment {DEPLOYMENT} -n {NAMESPACE} --replicas=3"), "a change"),
    ]
}

async fn list(step: &Step<'_>, ways: &Ways) -> Result<()> {
    let table = step.ok(&ways.managed, &["get", KINDS, "-A"]).await?;
    let args = ["get", KINDS, "-A", "-o", "name"];
    let (shown, all) = (ways.managed.run(&args, None).await?, ways.direct.run(&args, None).await?);
    shown.exits(0)?;
    all.exits(0)?;
    // So the application's objects are called, and no others.
    let expected = all.stdout.lines().filter(|name| name.contains(APPLICATION)).collect::<Vec<_>>();
    ensure!(shown.stdout.lines().eq(expected.iter().copied()), "expected {expected:?}, not {:?}", shown.stdout);
    let shown = rows(&table);
    ensure!(shown.len() == expected.len(), "expected {} rows, not {}", expected.len(), shown.len());
    let (all, expected) = (all.stdout.lines().count(), expected.len());
    ensure!(all > expected, "the cluster has nothing else");
    step.note(format!("{expected} of the {all} objects of these kinds"));
    Ok(())
}

async fn events(step: &Step<'_>, managed: &Kubectl) -> Result<()> {
    let described = step.ok(managed, &["describe", "deployment", DEPLOYMENT, "-n", NAMESPACE]).await?;
    described.says("NewReplicaSet:   guestbook-ui-")?.says("ScalingReplicaSet")?;
    let all = step.ok(managed, &["get", "events", "-A"]).await?;
    all.says("deployment/guestbook-ui")?.says("replicaset/guestbook-ui-")?;
    let strange = rows(&all).into_iter().find(|row| !row.starts_with(NAMESPACE));
    ensure!(strange.is_none(), "an event of something else: {strange:?}");
    Ok(())
}

/// What a table holds, whichever kinds are in it.
fn rows(table: &Output) -> Vec<&str> {
    table.stdout.lines().filter(|line| !line.is_empty() && !line.starts_with("NAMESPACE ")).collect()
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

/// Where the node's kubelet reads the log of the pod's container.
fn log_of(cluster: &Cluster, pod: &str) -> PathBuf {
    cluster.kubelet_dir().join(format!("{NAMESPACE}_{pod}_{DEPLOYMENT}.log"))
}

/// The running pods of the application.
pub(super) async fn pod_names(direct: &Kubectl) -> Result<Vec<String>> {
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

/// Kinds of which the application has objects, and others have, too.
const KINDS: &str = "deployments,replicasets,pods,services,configmaps";
const CONFIG: &str = "guestbook-config";
const UNTRACKED: &str = "untracked";
const NOT_MANAGED: &str = "resource not managed by app";
