//! The CPU time that some processes take between two moments.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    accounting::{Part, Usage, machine_cpu},
    apiserver::API_SERVER,
};

/// A measurement that has begun.
#[derive(Debug)]
pub(crate) struct Meter<'a> {
    contestant: Vec<(&'a Part, Usage)>,
    backend: Vec<(&'a Part, Usage)>,
    client: (Part, Usage),
    machine: Duration,
    since: Instant,
}

/// Microseconds of CPU per request.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Cost {
    /// All of the contestant: what lies between client and backend.
    pub(crate) contestant: f64,
    /// The same by part.
    pub(crate) parts: BTreeMap<&'static str, f64>,
    /// What all contestants ask (kube-apiserver and etcd, or the Redis servers), by part.
    pub(crate) backend: BTreeMap<&'static str, f64>,
    pub(crate) client: f64,
    /// How many cores all else was busy with: the kernel's own work, and what disturbs the measurement.
    pub(crate) other_cores: f64,
}

/// The memory of a part, in bytes.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Memory {
    pub(crate) part: &'static str,
    /// Before the first measurement.
    pub(crate) at_rest: u64,
    /// The most there ever was, or has been since that was forgotten.
    pub(crate) peak: u64,
}

// === impl Meter ===

impl<'a> Meter<'a> {
    pub(crate) fn start(contestant: impl Iterator<Item = &'a Part>, backend: &'a [Part]) -> Result<Self> {
        let client = Part::client();
        let usage = |part: &'a Part| Ok((part, part.usage()?));
        Ok(Self {
            contestant: contestant.map(usage).collect::<Result<_>>()?,
            backend: backend.iter().map(usage).collect::<Result<_>>()?,
            client: (client.clone(), client.usage()?),
            machine: machine_cpu()?,
            since: Instant::now(),
        })
    }

    /// Ends the measurement and shares out what was used.
    pub(crate) fn stop(self, requests: f64) -> Result<Cost> {
        let elapsed = self.since.elapsed();
        let mut others = machine_cpu()?.saturating_sub(self.machine);
        let each = |time: Duration| time.as_secs_f64() * 1e6 / requests.max(1.0);
        let mut spent = |part: &Part, before| {
            let time = part.usage()? - before;
            others = others.saturating_sub(time);
            anyhow::Ok((part.name, each(time)))
        };
        let parts = self.contestant.into_iter().map(|(part, before)| spent(part, before));
        let parts = parts.collect::<Result<BTreeMap<_, _>>>()?;
        let backend = self.backend.into_iter().map(|(part, before)| spent(part, before)).collect::<Result<_>>()?;
        let (client, before) = self.client;
        let (_, client) = spent(&client, before)?;
        let other_cores = others.as_secs_f64() / elapsed.as_secs_f64().max(f64::EPSILON);
        Ok(Cost { contestant: parts.values().sum(), parts, backend, client, other_cores })
    }
}

// === impl Cost ===

impl Cost {
    /// What all contestants ask, together.
    pub(crate) fn backend(&self) -> f64 {
        self.backend.values().sum()
    }

    pub(crate) fn api_server(&self) -> f64 {
        self.backend.get(API_SERVER).copied().unwrap_or_default()
    }
}

// === impl Memory ===

impl Memory {
    /// What the work so far made it grow by.
    pub(crate) fn growth(&self) -> u64 {
        self.peak.saturating_sub(self.at_rest)
    }

    /// What each part of a contestant holds, which held that much at rest.
    pub(crate) fn of(at_rest: &[(Part, Usage)]) -> Result<Vec<Self>> {
        let of_part = |(part, at_rest): &(Part, Usage)| {
            Ok(Self { part: part.name, at_rest: at_rest.resident, peak: part.usage()?.peak })
        };
        at_rest.iter().map(of_part).collect()
    }
}
