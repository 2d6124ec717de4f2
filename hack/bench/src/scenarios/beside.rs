//! What scenarios share that measure the same twice: alone, and beside clients that do not read.

use std::fmt;

use serde::Serialize;

use super::{Row, growth_by_part, of, ratio};
use crate::{
    contestants::Kind,
    load::Burst,
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
}

// === impl Round ===

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p99 alone {:.3} ms, beside {:.3} ms", self.alone.p99_ms, self.beside.p99_ms)
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
            format!("{:.3}", row.median(|round| round.alone.p50_ms)),
            format!("{:.3}", row.median(|round| round.beside.p50_ms)),
            format!("{:.3}", row.median(|round| round.alone.p99_ms)),
            format!("{:.3}", row.median(|round| round.beside.p99_ms)),
            ratio(row.median(slower)),
            optional(ratio_to_direct, ratio),
            ratio(row.median(|round| round.beside.per_second / round.alone.per_second)),
            growth_by_part(&row.memory),
        ]);
    }
    table
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
