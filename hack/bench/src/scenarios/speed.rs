//! What scenarios share whose clients ask, wait, and ask again: their figures, rounds and table.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::{Row, by_part, counted, mebibytes, of, others, panel, ratio};
use crate::{
    contestants::{Contestant, Kind},
    load::{Burst, Client, Crew, Protocol},
    meter::{Cost, Memory, Meter},
    plot::Panel,
    stage::Stage,
    table::{Table, optional},
};

/// All contestants with the same work.
#[derive(Debug, Serialize)]
pub(super) struct Comparison<W> {
    #[serde(flatten)]
    pub(super) work: W,
    pub(super) clients: usize,
    pub(super) protocol: Protocol,
    pub(super) seconds: f64,
    pub(super) rows: Vec<Row<Round>>,
}

/// One turn of one contestant.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Round {
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    requests: f64,
    per_second: f64,
    cpu_us: Cost,
    /// What the API server was asked for each request, by its own count.
    #[serde(skip_serializing_if = "Option::is_none")]
    asked: Option<f64>,
}

// === impl Round ===

impl Round {
    /// What a crew did while the meter ran.
    pub(super) fn of(burst: &Burst, meter: Meter<'_>) -> Result<Self> {
        Ok(Self {
            p50_ms: burst.latencies.percentile(50.0),
            p90_ms: burst.latencies.percentile(90.0),
            p99_ms: burst.latencies.percentile(99.0),
            requests: burst.requests(),
            per_second: burst.per_second(),
            cpu_us: meter.stop(burst.requests())?,
            asked: None,
        })
    }

    /// Lets a crew work for a time, and the meter run meanwhile.
    pub(super) async fn of_crew<C: Client>(
        stage: &Stage,
        contestant: &Contestant,
        crew: &mut Crew<C>,
        time: Duration,
    ) -> Result<Self> {
        let meter = Meter::start(contestant.parts(), &stage.backend)?;
        let burst = crew.run(time).await?;
        Self::of(&burst, meter)
    }

    /// The same, and counts what the API server is asked for these resources.
    pub(super) async fn counted<C: Client>(
        stage: &Stage,
        contestant: &Contestant,
        crew: &mut Crew<C>,
        time: Duration,
        resources: &[&str],
    ) -> Result<Self> {
        let before = stage.api_server.answered(resources).await?;
        let round = Self::of_crew(stage, contestant, crew, time).await?;
        let asked = stage.api_server.answered(resources).await? - before;
        Ok(Self { asked: Some(asked / round.requests.max(1.0)), ..round })
    }
}

// === impl Comparison ===

impl<W: Serialize> Comparison<W> {
    pub(super) fn new(stage: &Stage, work: W, clients: usize, protocol: Protocol, seconds: f64) -> Self {
        let rows = stage.contestants.iter().map(|contestant| Row::new(contestant.kind)).collect();
        Self { work, clients, protocol, seconds, rows }
    }

    /// Lets the contestants take turns. A turn is told its round's number, from 0 on.
    pub(super) async fn measured(
        mut self,
        stage: &Stage,
        rounds: u32,
        turn: impl AsyncFn(&Contestant, usize) -> Result<Round>,
    ) -> Result<Self> {
        for number in 0..rounds as usize {
            for (contestant, row) in stage.contestants.iter().zip(&mut self.rows) {
                let kind = contestant.kind;
                let told = number + 1;
                let round = turn(contestant, number).await.with_context(|| format!("{kind}, round {told}"))?;
                eprintln!(
                    "round {told}/{rounds}, {kind}: p50 {:.3} ms, {:.0} requests/s",
                    round.p50_ms, round.per_second
                );
                row.rounds.push(round);
            }
        }
        for (contestant, row) in stage.contestants.iter().zip(&mut self.rows) {
            row.memory = Memory::of(&contestant.at_rest)?;
        }
        Ok(self)
    }

    /// The table, under a title that says what the work was.
    pub(super) fn table(&self, work: &str) -> Table {
        let Self { clients, protocol, seconds, .. } = self;
        let rounds = self.rows.first().map_or(0, |row| row.rounds.len());
        let others = others(&self.rows, |round| &round.cpu_us);
        let title = format!(
            "{work}, {protocol}, clients: {clients}\n\
             medians of {rounds} rounds of {seconds} s; all else on the machine kept {others:.2} cores busy"
        );
        let counted = self.rows.iter().flat_map(|row| &row.rounds).any(|round| round.asked.is_some());
        let heading = HEADING.iter().copied().chain(counted.then_some(ASKED)).collect::<Vec<_>>();
        let mut table = Table::new(title, &heading);
        let direct = of(&self.rows, Kind::Direct);
        let chain = of(&self.rows, Kind::Chain);
        for row in &self.rows {
            let parts = row.rounds.first().map(|round| round.cpu_us.parts.keys().copied()).into_iter().flatten();
            let part = |name| (name, row.median(|round| round.cpu_us.parts.get(name).copied().unwrap_or_default()));
            let own = |figure: f64| (row.contestant != Kind::Direct).then_some(figure);
            let asked = counted.then(|| ratio(row.median(|round| round.asked.unwrap_or_default())));
            let cells = vec![
                row.contestant.to_string(),
                format!("{:.3}", row.median(|round| round.p50_ms)),
                optional(row.against(direct, |mine, direct| mine.p50_ms - direct.p50_ms), |ms| format!("{ms:+.3}")),
                format!("{:.3}", row.median(|round| round.p90_ms)),
                format!("{:.3}", row.median(|round| round.p99_ms)),
                format!("{:.0}", row.median(|round| round.per_second)),
                optional(row.against(direct, faster), ratio),
                optional(row.against(chain, faster), ratio),
                optional(own(row.median(|round| round.cpu_us.contestant)), |us| format!("{us:.0}")),
                optional(row.against(chain, dearer).and_then(own), ratio),
                format!("{:.0}", row.median(|round| round.cpu_us.api_server())),
                optional(mebibytes(&row.memory, |part| part.peak), |mib| format!("{mib:.1}")),
                optional(mebibytes(&row.memory, Memory::growth), |mib| format!("{mib:.1}")),
                by_part(parts.map(part), 0),
            ];
            table.push(cells.into_iter().chain(asked).collect());
        }
        table
    }
}

/// The same work of different numbers of clients, at a glance.
pub(super) fn panels<W>(comparisons: &[Comparison<W>]) -> [Panel; 5] {
    let tables = comparisons.iter().map(|one| (counted(one.clients, "client"), one.rows.as_slice()));
    let tables = tables.collect::<Vec<_>>();
    [
        panel("From request to answer, p50", "ms", &tables, |row| Some(row.median(|round| round.p50_ms))),
        panel("From request to answer, p99", "ms", &tables, |row| Some(row.median(|round| round.p99_ms))),
        panel("CPU of the contestant", "µs per request", &tables, |row| {
            (row.contestant != Kind::Direct).then(|| row.median(|round| round.cpu_us.contestant))
        }),
        panel("All clients together", "requests per second", &tables, |row| Some(row.median(|round| round.per_second))),
        panel("Requests to the API server", "for each request", &tables, |row| {
            let counted = row.rounds.iter().any(|round| round.asked.is_some());
            counted.then(|| row.median(|round| round.asked.unwrap_or_default()))
        }),
    ]
}

fn faster(mine: &Round, theirs: &Round) -> f64 {
    mine.per_second / theirs.per_second
}

fn dearer(mine: &Round, theirs: &Round) -> f64 {
    mine.cpu_us.contestant / theirs.cpu_us.contestant
}

const HEADING: [&str; 14] = [
    "",
    "p50 ms",
    "added",
    "p90 ms",
    "p99 ms",
    "req/s",
    "of direct",
    "of chain",
    "CPU µs/req",
    "of chain",
    "API server µs",
    "peak RSS MiB",
    "growth",
    "CPU by part",
];

/// How often the API server was asked for each request.
const ASKED: &str = "asked";

/// Opens what is opened on first use: upstream connections, pipes.
pub(super) const WARM_UP: Duration = Duration::from_millis(300);
