//! What scenarios share that measure the same twice: alone, and beside clients that do not read.

use std::fmt;

use serde::Serialize;

use super::{Named, Row, growth_by_part, most_growth, of, panel, ratio};
use crate::{
    contestants::Kind,
    load::Burst,
    plot::Panel,
    table::{Table, optional},
};

/// One turn of one contestant: the same without and with those who do not read.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Round {
    pub(super) alone: Speed,
    pub(super) beside: Speed,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Speed {
    p50_ms: f64,
    p99_ms: f64,
    per_second: f64,
}

// === impl Speed ===

impl Speed {
    pub(super) fn of(burst: &Burst) -> Self {
        Self {
            p50_ms: burst.latencies.percentile(50.0),
            p99_ms: burst.latencies.percentile(99.0),
            per_second: burst.per_second(),
        }
    }

    /// Where no answer came at all: none that is awaited any longer would be sooner. JSON has no such number, and null
    /// for it.
    pub(super) fn none() -> Self {
        Self { p50_ms: f64::INFINITY, p99_ms: f64::INFINITY, per_second: 0.0 }
    }
}

// === impl Round ===

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p99 in ms: alone {}, beside {}", shown(self.alone.p99_ms), shown(self.beside.p99_ms))
    }
}

/// The table of all contestants.
pub(super) fn table(title: String, rows: &[Row<Round>]) -> Table {
    let mut table = Table::new(title, &HEADING);
    let direct = of(rows, Kind::Direct);
    let slower = |round: &Round| round.beside.p99_ms / round.alone.p99_ms;
    for row in rows {
        let ratio_to_direct = row.against(direct, |mine, direct| slower(mine) / slower(direct));
        table.push(vec![
            row.contestant.to_string(),
            shown(row.median(|round| round.alone.p50_ms)),
            shown(row.median(|round| round.beside.p50_ms)),
            shown(row.median(|round| round.alone.p99_ms)),
            shown(row.median(|round| round.beside.p99_ms)),
            ratio(row.median(slower)),
            optional(ratio_to_direct, ratio),
            ratio(row.median(|round| round.beside.per_second / round.alone.per_second)),
            growth_by_part(&row.memory),
        ]);
    }
    table
}

/// Milliseconds, where there were answers.
fn shown(milliseconds: f64) -> String {
    if milliseconds.is_finite() { format!("{milliseconds:.3}") } else { "no answer".to_owned() }
}

/// Tables that differ in who does not read, or in who does, at a glance.
pub(super) fn panels(tables: &[Named<'_, Round>]) -> [Panel; 3] {
    [
        panel("From request to answer beside them, p99", "ms", tables, |row| {
            Some(row.median(|round| round.beside.p99_ms))
        }),
        panel("The same by that of who is alone", "times", tables, |row| {
            Some(row.median(|round| round.beside.p99_ms / round.alone.p99_ms))
        }),
        panel("Memory: most growth of a process", "MiB", tables, |row| most_growth(&row.memory)),
    ]
}

const HEADING: [&str; 9] = [
    "",
    "alone p50 ms",
    "beside",
    "alone p99 ms",
    "beside",
    "p99 of alone",
    "of direct's",
    "req/s of alone",
    "growth by part, MiB",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_nobody_was_answered_is_shown_as_such_and_is_no_number() {
        let alone = Speed { p50_ms: 1.0, p99_ms: 2.0, per_second: 100.0 };
        let rounds = vec![Round { alone: alone.clone(), beside: Speed::none() }; 2];
        let direct = Row {
            contestant: Kind::Direct,
            rounds: vec![Round { alone: alone.clone(), beside: alone }; 2],
            memory: vec![],
        };
        let rows = [direct, Row { contestant: Kind::Konnectivity, rounds, memory: Vec::new() }];
        let table = table("title".to_owned(), &rows).to_string();
        let line = table.lines().last().unwrap().split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        assert!(line.starts_with("konnectivity 1.000 no answer 2.000 no answer - - 0.00"), "{table}");
        let json = serde_json::to_value(&rows[1].rounds[0]).unwrap();
        assert_eq!((&json["beside"]["p99_ms"], &json["beside"]["per_second"]), (&serde_json::Value::Null, &0.0.into()));
    }
}
