//! What is measured. A scenario is a file: it sets the stage, lets the contestants take turns, and reports.
//!
//! Figures are compared within a round, where the machine was the same for all, and the medians of these comparisons
//! are reported; medians of different contestants are never divided by each other.

mod agents;
mod all;
mod beside;
mod delay;
mod exec;
mod fresh;
mod get;
mod get_owned;
mod list;
mod logs;
mod mutate;
mod redis;
mod rtt;
mod slow_reader;
mod speed;
mod transfer;
mod watch;

use anyhow::Result;

use crate::{
    args::Scenario,
    contestants::Kind,
    meter::{Cost, Memory},
    plot::{Bars, Panel},
    stats::median,
};

/// Measures one.
pub(crate) async fn run(scenario: &Scenario) -> Result<()> {
    match scenario {
        Scenario::Get(args) => get::run(args).await,
        Scenario::GetOwned(args) => get_owned::run(args).await,
        Scenario::Mutate(args) => mutate::run(args).await,
        Scenario::Fresh(args) => fresh::run(args).await,
        Scenario::List(args) => list::run(args).await,
        Scenario::Watch(args) => watch::run(args).await,
        Scenario::Logs(args) => logs::run(args).await,
        Scenario::Exec(args) => exec::run(args).await,
        Scenario::SlowReader(args) => slow_reader::run(args).await,
        Scenario::Redis(args) => redis::run(args).await,
        Scenario::Agents(args) => agents::run(args).await,
        Scenario::Rtt(args) => rtt::run(args).await,
        Scenario::All(args) => all::run(args).await,
    }
}

/// The turns of one contestant.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Row<R> {
    pub(crate) contestant: Kind,
    pub(crate) rounds: Vec<R>,
    pub(crate) memory: Vec<Memory>,
}

// === impl Row ===

impl<R> Row<R> {
    fn new(contestant: Kind) -> Self {
        Self { contestant, rounds: Vec::new(), memory: Vec::new() }
    }

    /// The median of a figure.
    fn median(&self, figure: impl Fn(&R) -> f64) -> f64 {
        median(self.rounds.iter().map(figure))
    }

    /// The median of a comparison with another's turn of the same round.
    fn against(&self, other: Option<&Self>, compare: impl Fn(&R, &R) -> f64) -> Option<f64> {
        let other = other.filter(|other| other.contestant != self.contestant)?;
        Some(median(self.rounds.iter().zip(&other.rounds).map(|(mine, theirs)| compare(mine, theirs))))
    }
}

fn of<R>(rows: &[Row<R>], kind: Kind) -> Option<&Row<R>> {
    rows.iter().find(|row| row.contestant == kind)
}

/// The rows of a table, and what tells it from others of its plot.
type Named<'a, R> = (String, &'a [Row<R>]);

/// One figure of tables that differ in one thing; some contestants may have none.
fn panel<R>(
    title: &str,
    unit: &'static str,
    tables: &[Named<'_, R>],
    figure: impl Fn(&Row<R>) -> Option<f64>,
) -> Panel {
    let mut bars = Bars::new(title, unit);
    for (name, rows) in tables {
        bars.group(name, rows.iter().filter_map(|row| Some((row.contestant, figure(row)?))));
    }
    bars.into()
}

/// `1 client`, `16 clients`.
fn counted(number: usize, one: &str) -> String {
    match (number, one.strip_suffix("ch")) {
        (1, _) => format!("1 {one}"),
        (_, Some(stem)) => format!("{number} {stem}ches"),
        (_, None) => format!("{number} {one}s"),
    }
}

/// Bytes of what is far larger than any buffer.
fn megabytes(bytes: usize) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// Cores that neither contestants, API server nor clients had: where this is much, so is the noise.
fn others<R>(rows: &[Row<R>], cost: impl Fn(&R) -> &Cost) -> f64 {
    median(rows.iter().flat_map(|row| &row.rounds).map(|round| cost(round).other_cores))
}

/// Bytes in MiB, summed over the parts of a contestant; nothing where it has none.
fn mebibytes(memory: &[Memory], figure: impl Fn(&Memory) -> u64) -> Option<f64> {
    let bytes = memory.iter().map(figure).sum::<u64>();
    (!memory.is_empty()).then_some(bytes as f64 / f64::from(1 << 20))
}

/// `principal 90, agent 80`.
fn by_part<N: Into<String>>(parts: impl IntoIterator<Item = (N, f64)>, digits: usize) -> String {
    let parts = parts.into_iter().map(|(name, figure)| format!("{} {figure:.digits$}", name.into()));
    parts.collect::<Vec<_>>().join(", ")
}

/// What each process holds more than when it was ready, in MiB.
fn growth_by_part(memory: &[Memory]) -> String {
    by_part(memory.iter().map(|part| (part.part, part.growth() as f64 / f64::from(1 << 20))), 1)
}

/// The same of the process that grew most, by which a contestant is judged.
fn most_growth(memory: &[Memory]) -> Option<f64> {
    memory.iter().map(Memory::growth).max().map(|bytes| bytes as f64 / f64::from(1 << 20))
}

/// A quotient, where there is one: the accounts know no less than 10 ms, and of a short turn they may say zero.
fn ratio(ratio: f64) -> String {
    if ratio.is_finite() { format!("{ratio:.2}") } else { "-".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_told_from_many() {
        assert_eq!(counted(1, "client"), "1 client");
        assert_eq!(counted(16, "client"), "16 clients");
        assert_eq!(counted(200, "watch"), "200 watches");
    }

    #[test]
    fn rounds_are_compared_before_their_median_is_taken() {
        let row = |contestant, rounds: &[f64]| Row { contestant, rounds: rounds.to_vec(), memory: Vec::new() };
        // A machine that was slow in one round was slow for both.
        let rows = [row(Kind::Direct, &[1.0, 10.0, 2.0]), row(Kind::Chain, &[2.0, 20.0, 4.0])];
        let ratio = of(&rows, Kind::Chain).unwrap().against(of(&rows, Kind::Direct), |mine, theirs| mine / theirs);
        assert_eq!(ratio, Some(2.0));
        assert_eq!(rows[0].against(of(&rows, Kind::Direct), |mine, theirs| mine / theirs), None);
        assert_eq!(rows[0].against(of(&rows, Kind::Ours), |mine, theirs| mine / theirs), None);
    }
}
