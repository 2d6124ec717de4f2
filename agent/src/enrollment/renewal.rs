//! The next certificate, before the one that is in use ends.
//!
//! What must always be true: a certificate is renewed when two thirds of its time are over, at the latest, and tried again and
//! again until it ends; one that others manage is left to them. Whoever loads certificates sees the new one as any other
//! change, and attaches anew.

use std::{sync::Arc, time::Duration};

use common::{AgentName, Report, auth::PeerIdentity, drain, enrollment::renew, pki::now, tls::Validity};
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::{EnrollmentMetrics, Place};
use crate::link::connect::{Connect, Connector};

/// Renews the agent's certificate.
#[derive(Debug)]
pub(crate) struct Renewal {
    /// Where the certificate is.
    pub(crate) place: Place,
    /// Dials as the agent; not the link's own, which has to know what its session was made with.
    pub(crate) connector: Connector,
    /// The operator wants it, whether or not what is stored says so.
    pub(crate) always: bool,
    /// What is counted.
    pub(crate) metrics: EnrollmentMetrics,
}

/// What there is to do.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Nothing before that.
    Wait(Duration),
    /// Renew it, as this agent; where that fails, again after so long.
    Renew { agent: AgentName, pause: Duration },
}

// === impl Renewal ===

impl Renewal {
    /// Renews it for as long as the agent lives.
    pub(crate) async fn run(self, drain: drain::Watch) {
        tokio::select! {
            () = self.renew_for_ever() => {}
            () = drain.draining() => {}
        }
    }

    async fn renew_for_ever(&self) {
        loop {
            let wait = match self.next().await {
                Next::Wait(wait) => wait,
                Next::Renew { agent, pause } => match self.renew(&agent).await {
                    Ok(()) => Duration::ZERO,
                    Err(why) => {
                        self.metrics.failures.inc();
                        let retry = pause.mul_f64(rand::random_range(0.5..=1.0));
                        warn!(
                            error = why,
                            retry_seconds = retry.as_secs(),
                            "the agent's certificate cannot be renewed"
                        );
                        retry
                    }
                },
            };
            sleep(wait).await;
        }
    }

    async fn next(&self) -> Next {
        let stored = match self.place.read().await {
            Ok(stored) => stored,
            Err(error) => {
                // Whoever loads it says more of it.
                warn!(error = %Report(&error), "the agent's certificate cannot be looked at to be renewed");
                return Next::Wait(AGAIN);
            }
        };
        let Some(stored) = stored.filter(|stored| stored.enrolled || self.always) else { return Next::Wait(DAY) };
        let leaf = stored.identity.chain().first().and_then(|leaf| PeerIdentity::from_der(leaf).ok());
        let agent = leaf.and_then(|leaf| AgentName::parse(&leaf.common_name?).ok());
        let (Some(agent), Some(validity)) = (agent, stored.identity.validity()) else { return Next::Wait(DAY) };
        next(agent, validity, now(), rand::random())
    }

    async fn renew(&self, agent: &AgentName) -> Result<(), String> {
        let connection = self.connector.connect().await.map_err(|error| Report(&error).to_string())?;
        let enrolled = renew(connection, agent).await.map_err(|error| Report(&error).to_string())?;
        let enrolled = Arc::new(enrolled);
        // What cannot be kept now is asked for again.
        self.place.keep(&enrolled).await.map_err(|error| Report(&error).to_string())?;
        self.metrics.renewals.inc();
        info!("the agent's certificate was renewed");
        Ok(())
    }
}

/// `luck` is between 0 and 1: agents that started together do not come back together.
fn next(agent: AgentName, validity: Validity, now: i64, luck: f64) -> Next {
    let (begin, end) = (validity.begin(), validity.end());
    let lifetime = Duration::from_secs(end.saturating_sub(begin).unsigned_abs());
    if now >= end {
        error!(
            end = validity.end_text(),
            cure = "join again: delete it, and give --join-token-file a new token",
            "the agent's certificate is over and cannot be renewed any more"
        );
        return Next::Wait(AGAIN);
    }
    let used = Duration::from_secs(now.saturating_sub(begin).max(0).unsigned_abs());
    let due = lifetime.mul_f64(DUE - SPREAD * luck);
    match due.checked_sub(used).filter(|left| !left.is_zero()) {
        // What is stored may have been replaced by then.
        Some(left) => Next::Wait(left.min(DAY)),
        None => Next::Renew { agent, pause: (lifetime / 20).clamp(SHORTEST_PAUSE, LONGEST_PAUSE) },
    }
}

/// Of a certificate's lifetime: what is left is time to mend what keeps it from being renewed.
const DUE: f64 = 2.0 / 3.0;
const SPREAD: f64 = 0.05;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const AGAIN: Duration = Duration::from_secs(60);
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30 * 60);

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// Thirty days.
    fn validity() -> Validity {
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2026, 1, 31);
        Validity::of(params.self_signed(&KeyPair::generate().unwrap()).unwrap().der()).unwrap()
    }

    fn at(hours: i64, luck: f64) -> Next {
        next(AgentName::parse("a").unwrap(), validity(), validity().begin() + hours * 60 * 60, luck)
    }

    #[test]
    fn a_certificate_is_renewed_after_two_thirds_of_its_time_and_not_by_all_at_once() {
        let due = |next: &Next| matches!(next, Next::Renew { .. });
        assert!(!due(&at(0, 0.0)) && !due(&at(-1, 1.0)));
        assert!(!due(&at(20 * 24 - 1, 0.0)) && due(&at(20 * 24, 0.0)));
        // One and a half days earlier at most.
        assert!(!due(&at(20 * 24 - 37, 1.0)) && due(&at(20 * 24 - 36, 1.0)));
        assert!(due(&at(30 * 24 - 1, 0.0)));
        assert_eq!(at(30 * 24, 0.0), Next::Wait(AGAIN), "it is over, and no handshake passes with it");
        assert_eq!(at(0, 0.0), Next::Wait(DAY), "it may be replaced meanwhile");
        assert_eq!(at(20 * 24 - 1, 0.0), Next::Wait(Duration::from_secs(60 * 60)));
    }

    #[test]
    fn attempts_are_as_far_apart_as_there_is_time() {
        let Next::Renew { pause, agent } = at(25 * 24, 0.0) else { panic!() };
        assert_eq!((pause, agent.as_str()), (LONGEST_PAUSE, "a"));
    }
}
