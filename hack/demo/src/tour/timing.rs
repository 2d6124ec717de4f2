//! What the tunnel costs: the same request each way, in turn, over warm connections, by one client.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Request;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::time::Instant;

use super::Step;

/// A way to the cluster. The first of several is what the others are compared with.
pub(crate) struct Way {
    name: &'static str,
    client: Client,
}

// === impl Way ===

impl Way {
    /// The way that a kubeconfig describes.
    pub(crate) async fn new(name: &'static str, kubeconfig: &Path, context: Option<&str>) -> Result<Self> {
        let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
        let kubeconfig = Kubeconfig::read_from(kubeconfig).context("reading a kubeconfig")?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await.context("using a kubeconfig")?;
        // A proxy that the environment names is for what is not on this machine.
        if matches!(config.cluster_url.host(), Some("127.0.0.1" | "localhost")) {
            config.proxy_url = None;
        }
        let client = Client::try_from(config).context("making a client")?;
        Ok(Self { name, client })
    }

    async fn get(&self, path: &str) -> Result<(String, Duration)> {
        let request = Request::get(path).body(Vec::new())?;
        let started = Instant::now();
        let body = self.client.request_text(request).await.with_context(|| format!("GET {path}, {}", self.name))?;
        Ok((body, started.elapsed()))
    }
}

/// Shows a table, and makes sure that all ways give the same answer.
pub(super) async fn compare(step: &Step<'_>, ways: &[Way], path: &str) -> Result<()> {
    for _ in 0..WARM_UP {
        for way in ways {
            way.get(path).await?;
        }
    }
    let mut times = ways.iter().map(|way| (way.name, Vec::with_capacity(ROUNDS))).collect::<Vec<_>>();
    let mut bytes = 0;
    for _ in 0..ROUNDS {
        let mut first: Option<String> = None;
        for (way, (_, times)) in ways.iter().zip(&mut times) {
            let (body, took) = way.get(path).await?;
            times.push(took);
            let expected = first.get_or_insert_with(|| body.clone());
            ensure!(*expected == body, "the answer differs {}: {body}", way.name);
            bytes = body.len();
        }
    }
    step.output(&format!("GET {path} ({bytes} bytes), {ROUNDS} times each way, in turn"));
    for line in table(&mut times) {
        step.output(&line);
    }
    if cfg!(debug_assertions) {
        step.output("(the client that measures is a debug build: its own share is in every row)");
    }
    step.note("every answer the same, byte for byte");
    Ok(())
}

pub(super) fn table(times: &mut [(&str, Vec<Duration>)]) -> Vec<String> {
    let mut lines = vec![format!("{:<34}{:>10}{:>10}{:>10}", "milliseconds", "median", "p99", "added")];
    let mut direct = None;
    for (name, times) in times {
        times.sort_unstable();
        let (median, p99) = (at(times, 50), at(times, 99));
        let added = match direct {
            Some(direct) => format!("{:+.2}", median - direct),
            None => String::new(),
        };
        direct.get_or_insert(median);
        lines.push(format!("{name:<34}{median:>10.2}{p99:>10.2}{added:>10}"));
    }
    lines
}

/// The percentile of sorted times, in milliseconds.
fn at(sorted: &[Duration], percent: usize) -> f64 {
    let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(index).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}

/// Connections are made and code is paged in; not measured.
pub(super) const WARM_UP: usize = 20;

/// Enough for a steady median, done in a second or two.
pub(super) const ROUNDS: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_tells_median_tail_and_what_is_added() {
        let millis = |from: u64| (from..from + 100).rev().map(Duration::from_millis).collect::<Vec<_>>();
        let lines = table(&mut [("direct", millis(1)), ("tunnel", millis(3))]);
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&lines[1]), ["direct", "51.00", "100.00"]);
        assert_eq!(words(&lines[2]), ["tunnel", "53.00", "102.00", "+2.00"]);
    }

    #[test]
    fn a_percentile_of_nothing_or_little_is_no_panic() {
        assert_eq!(at(&[], 50), 0.0);
        assert_eq!(at(&[Duration::from_millis(4)], 99), 4.0);
    }
}
