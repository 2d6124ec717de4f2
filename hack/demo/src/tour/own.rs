//! The tour of the user's own cluster. Everything in it only reads, and nothing is listed.

use anyhow::{Context, Result, ensure};

use super::sample::Ways;
use super::timing::{self, Way};
use super::{Step, Tour};
use crate::args::Object;
use crate::command::Tool;
use crate::tunnel::EVERYTHING;

/// Runs it; `object` is what the user would like to see.
pub(crate) async fn run(tour: &mut Tour<'_>, ways: &Ways, object: Option<&Object>, timed: &[Way]) {
    let Ways { everything, direct, .. } = ways;
    tour.step("kubectl asks the principal, your cluster answers", async |step| same(step, ways, &["version"]).await)
        .await;
    tour.step("what your cluster can do", async |step| {
        same(step, ways, &["api-resources", "--output=name", "--sort-by=name"]).await
    })
    .await;
    tour.step("what may be done: your cluster's own rules decide", async |step| {
        same(step, ways, &["auth", "can-i", "get", "pods"]).await
    })
    .await;
    let object = object.cloned().unwrap_or_else(|| Object::cluster_wide("namespace", "kube-system"));
    let args = ["get".to_owned()].into_iter().chain(object.args()).collect::<Vec<_>>();
    let args = args.iter().map(String::as_str).collect::<Vec<_>>();
    tour.step("an object, through the filter", async |step| filtered(step, ways, &args).await).await;
    tour.step("and through the other agent, without the filter: byte for byte as direct", async |step| {
        step.run(everything, &args, None).await?;
        let args = args.iter().copied().chain(["--output=json"]).collect::<Vec<_>>();
        for attempt in 1.. {
            let (through, expected) = (everything.run(&args, None).await?, direct.run(&args, None).await?);
            if through.same_as(&expected) {
                step.note(match through.stdout.len() {
                    0 => "the same refusal".to_owned(),
                    bytes => format!("{bytes} bytes of JSON compared"),
                });
                break;
            }
            // It may have changed between the two.
            ensure!(attempt < ATTEMPTS, "the answers differ: {} and {}", through.stderr, expected.stderr);
        }
        Ok(())
    })
    .await;
    tour.step("what the way through the tunnel costs", async |step| timing::compare(step, timed, "/version").await)
        .await;
}

/// The commands that a reader may go on with.
pub(crate) fn ideas() -> Vec<(String, &'static str)> {
    vec![
        ("kubectl get deployments,pods -A".to_owned(), "what Argo CD manages, if it is there"),
        (format!("kubectl --context={EVERYTHING} get pods -A"), "everything; writes would go through, too"),
    ]
}

/// A command whose answer through the filter is what it is without us.
async fn same(step: &Step<'_>, ways: &Ways, args: &[&str]) -> Result<()> {
    let through = step.run(&ways.managed, args, None).await?;
    let expected = ways.direct.run(args, None).await?;
    ensure!(through.same_as(&expected), "direct it is (exit code {:?}): {}", expected.code, expected.stdout);
    step.note("the same as direct");
    Ok(())
}

/// An object that may or may not be managed: it is shown, or refused for a reason that is true.
async fn filtered(step: &Step<'_>, ways: &Ways, args: &[&str]) -> Result<()> {
    let shown = step.run(&ways.managed, args, None).await?;
    if shown.code == Some(0) {
        step.note("Argo CD manages it");
        return Ok(());
    }
    shown.exits(1)?;
    if shown.says("cannot decide whether the resource is managed by app").is_ok() {
        let may_read = ["auth", "can-i", "list", "configmap/argocd-cm", "--namespace=argocd"];
        ways.direct.run(&may_read, None).await?.says("no").context("this kubeconfig may read Argo CD's settings")?;
        step.note("this kubeconfig may not read Argo CD's settings, so the agent shows nothing");
    } else if ways.direct.run(args, None).await?.code == Some(0) {
        shown.says("resource not managed by app")?;
        step.note("it is there, but Argo CD does not manage it");
    } else {
        step.note("not to be seen directly either");
    }
    Ok(())
}

/// How often the same object is compared before it counts as different.
const ATTEMPTS: usize = 3;
