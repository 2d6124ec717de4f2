//! How many agents are attached, moment by moment, until all are.

use std::time::Duration;

use anyhow::{Result, bail};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::fleet::Fleet;
use crate::{accounting::Part, process::Process};

/// One moment.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Moment {
    pub(super) seconds: f64,
    pub(super) attached: usize,
    pub(super) resident: u64,
}

/// All moments until all agents were attached.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Climb {
    pub(super) seconds: f64,
    /// CPU seconds of the principal.
    pub(super) cpu_seconds: f64,
    /// The most memory that the principal held, in bytes.
    pub(super) peak: u64,
    pub(super) moments: Vec<Moment>,
}

// === impl Climb ===

impl Climb {
    /// Waits until no agent is attached any more.
    pub(super) async fn fallen(fleet: &Fleet) -> Result<()> {
        let start = Instant::now();
        while fleet.attached() > 0 {
            if start.elapsed() > PATIENCE {
                bail!("agents stay attached to a principal that is gone");
            }
            sleep(NOTICE).await;
        }
        Ok(())
    }

    /// Watches until all of so many are attached; the clock has been running since `start`.
    pub(super) async fn watch(fleet: &Fleet, all: usize, principal: &mut Process, start: Instant) -> Result<Self> {
        let part = Part::of(principal.name(), principal.pid())?;
        let before = part.usage()?;
        let mut moments = Vec::new();
        loop {
            principal.check()?;
            let (attached, seconds, usage) = (fleet.attached(), start.elapsed().as_secs_f64(), part.usage()?);
            moments.push(Moment { seconds, attached, resident: usage.resident });
            if attached == all {
                let cpu_seconds = (usage - before).as_secs_f64();
                return Ok(Self { seconds, cpu_seconds, peak: usage.peak, moments });
            }
            if start.elapsed() > PATIENCE {
                bail!("only {attached} of {all} agents are attached after {} s", PATIENCE.as_secs());
            }
            // A curve has points.
            sleep(STEP).await;
        }
    }
}

const NOTICE: Duration = Duration::from_millis(1);
const STEP: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(180);
