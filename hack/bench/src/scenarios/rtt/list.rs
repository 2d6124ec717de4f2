//! A large list over the line.

use anyhow::Result;
use serde::Serialize;

use crate::{
    contestants::Contestant,
    load::{Expected, Fetch, Protocol, fetch},
    objects::{NAMESPACE, collection},
};

/// One list from one contestant.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Round {
    bytes: u64,
    total_ms: f64,
}

// === impl Round ===

impl Round {
    pub(super) fn megabytes_per_second(&self) -> f64 {
        self.bytes as f64 / 1e3 / self.total_ms
    }
}

pub(super) async fn turn(contestant: &Contestant, protocol: Protocol, expected: &Expected) -> Result<Round> {
    let mut connection = contestant.endpoint.connect(protocol).await?;
    let Fetch { total, bytes, .. } = fetch(&mut connection, &collection(NAMESPACE), expected).await?;
    Ok(Round { bytes, total_ms: total.as_secs_f64() * 1e3 })
}
