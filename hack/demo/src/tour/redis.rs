//! The tour of the Redis door: an application's tree and its changes, written beside the agent, read where Argo CD's
//! server reads.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use tokio::time::{Instant, sleep};

use super::timing;
use super::{Step, Tour};
use crate::command::quoted;
use crate::redis::{Client, Redis};
use crate::shell::Shell;
use crate::state::State;
use crate::tunnel::MANAGED;

/// Runs it, with the door on that port.
pub(crate) async fn run(tour: &mut Tour<'_>, redis: &Redis, door: u16, state: &State) {
    let shell = &redis.shell();
    tour.step("Argo CD's live view: a tree from the workload cluster's Redis", async |step| {
        tree(step, shell, redis, door, state).await
    })
    .await;
    tour.step("Redis itself decides who may read", async |step| {
        let line = format!("redis-cli -p {door} -a wrong --no-auth-warning get {}", quoted(&tree_key(Side::Control)));
        let output = step.run(shell, &[&line], None).await?;
        output.says("WRONGPASS")?.says("NOAUTH")?;
        Ok(())
    })
    .await;
    tour.step("a subscription: changes arrive when they happen", async |step| live(step, shell, redis, door).await)
        .await;
    tour.step("what the way through the door costs", async |step| cost(step, redis, door).await).await;
}

/// The commands that a reader may go on with.
pub(crate) fn ideas(redis: &Redis, door: u16) -> Vec<(String, &'static str)> {
    let (here, there) = (quoted(&channel(Side::Control)), quoted(&channel(Side::Workload)));
    vec![
        (
            format!("redis-cli -p {door} --raw -D '' get {} | gunzip", quoted(&tree_key(Side::Control))),
            "the agent's tree",
        ),
        (format!("redis-cli -p {door} subscribe {here}"), "its changes, live, with"),
        (format!("redis-cli -p {} publish {there} again", redis.workload), "this, in another terminal"),
    ]
}

async fn tree(step: &Step<'_>, shell: &Shell, redis: &Redis, door: u16, state: &State) -> Result<()> {
    let Redis { control, workload, .. } = redis;
    let file = state.write("tree.json", TREE)?.display().to_string();
    step.say("what the controller in the workload cluster does:");
    let (file, theirs) = (quoted(&file), quoted(&tree_key(Side::Workload)));
    let line = format!("gzip -c {file} | redis-cli -p {workload} -x setex {theirs} 3600");
    step.ok(shell, &[&line]).await?.says("OK")?;

    step.say("and what the control plane sees, where the application has the agent's namespace:");
    let ours = quoted(&tree_key(Side::Control));
    let output = step.ok(shell, &[&format!("redis-cli -p {door} --raw -D '' get {ours} | gunzip")]).await?;
    ensure!(output.stdout == TREE, "the tree is another");

    step.say("the control plane's own Redis does not have it:");
    let output = step.ok(shell, &[&format!("redis-cli -p {control} exists {ours}")]).await?;
    ensure!(output.stdout.trim() == "0", "it does");
    step.note(format!("{} bytes of JSON as they were written", TREE.len()));
    Ok(())
}

async fn live(step: &Step<'_>, shell: &Shell, redis: &Redis, door: u16) -> Result<()> {
    let (ours, theirs) = (channel(Side::Control), channel(Side::Workload));
    let mut messages = step.follow(shell, &[&format!("redis-cli -p {door} --csv subscribe {}", quoted(&ours))])?;
    messages.until("the subscription", |line| line.starts_with("\"subscribe\"")).await?;
    let mut workload = redis.connect(redis.workload).await?;
    let deadline = Instant::now() + PATIENCE;
    // The door confirms what the control plane's Redis confirms; the agent follows.
    while workload.subscriptions(&theirs).await? == "0" {
        if Instant::now() >= deadline {
            bail!("nobody has subscribed at the workload cluster's Redis");
        }
        sleep(POLL).await;
    }
    let mut slowest = Duration::ZERO;
    for number in 1..=3 {
        let published = Instant::now();
        let line = format!("redis-cli -p {} publish {} 'change {number}'", redis.workload, quoted(&theirs));
        step.ok(shell, &[&line]).await?.says("1")?;
        messages
            .until("the message", |line| {
                line.starts_with("\"message\"")
                    && line.contains(&ours)
                    && line.contains(&format!("\"change {number}\""))
            })
            .await?;
        slowest = slowest.max(published.elapsed());
    }
    messages.interrupt().await?;
    step.note(format!("a message takes {} ms at most, redis-cli's own start among it", slowest.as_millis()));
    Ok(())
}

/// The same GET each way, in turn, over warm connections.
async fn cost(step: &Step<'_>, redis: &Redis, door: u16) -> Result<()> {
    redis.connect(redis.control).await?.set(LOCAL_KEY, TREE).await?;
    let mut agents = [
        Way::new("the workload cluster's Redis", redis, redis.workload, tree_key(Side::Workload)).await?,
        Way::new("the same through door and tunnel", redis, door, tree_key(Side::Control)).await?,
    ];
    compare(step, &mut agents).await?;
    let mut local = [
        Way::new("the control plane's own Redis", redis, redis.control, LOCAL_KEY.to_owned()).await?,
        Way::new("the same through the door", redis, door, LOCAL_KEY.to_owned()).await?,
    ];
    compare(step, &mut local).await?;
    step.note("every answer the same, byte for byte");
    Ok(())
}

/// Which Argo CD.
#[derive(Debug, Clone, Copy)]
enum Side {
    Workload,
    Control,
}

/// A connection, and what the value is called there.
struct Way {
    name: &'static str,
    client: Client,
    key: String,
}

// === impl Way ===

impl Way {
    async fn new(name: &'static str, redis: &Redis, port: u16, key: String) -> Result<Self> {
        Ok(Self { name, client: redis.connect(port).await?, key })
    }
}

async fn compare(step: &Step<'_>, ways: &mut [Way]) -> Result<()> {
    let mut times = ways.iter().map(|way| (way.name, Vec::with_capacity(timing::ROUNDS))).collect::<Vec<_>>();
    let mut bytes = 0;
    for round in 0..timing::WARM_UP + timing::ROUNDS {
        let mut first: Option<Vec<u8>> = None;
        for (way, (_, times)) in ways.iter_mut().zip(&mut times) {
            let started = Instant::now();
            let value = way.client.get(&way.key).await?;
            if round >= timing::WARM_UP {
                times.push(started.elapsed());
            }
            bytes = value.len();
            let expected = first.get_or_insert_with(|| value.clone());
            ensure!(*expected == value, "the value differs: {}", way.name);
        }
    }
    step.output(&format!("GET of {bytes} bytes, {} times each way, in turn", timing::ROUNDS));
    for line in timing::table(&mut times) {
        step.output(&line);
    }
    Ok(())
}

/// Where the tree of the application is.
fn tree_key(side: Side) -> String {
    format!("app|resources-tree|{}|1.8.3.gz", instance(side))
}

/// Where its changes are told.
fn channel(side: Side) -> String {
    format!("app|managed-resources|{}|1.8.3", instance(side))
}

/// What Argo CD calls the application: in the workload cluster it is in Argo CD's own namespace, in the control plane
/// it is in that of the agent's name.
fn instance(side: Side) -> String {
    match side {
        Side::Workload => "guestbook".to_owned(),
        Side::Control => format!("{MANAGED}_guestbook"),
    }
}

const TREE: &str = include_str!("tree.json");

/// A key that is no agent's.
const LOCAL_KEY: &str = "git-refs|https://git.example.com/guestbook|1.8.3";

/// How long the agent may take to subscribe.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often that is asked.
const POLL: Duration = Duration::from_millis(10);
