//! Certificates that are shut out before their time, and the connections that were made with one.
//!
//! What must always be true: a connection is either refused, or ends as soon as its certificate is listed, whatever runs
//! on it; nothing is asked again and again for that. It is looked at after the handshake, because a session that is
//! resumed skips a verifier (and for that reason none is: `common::tls`). The leaf counts, as upstream: listing a CA shuts
//! out nobody, which is what the CA bundle is for.

use std::{collections::HashSet, sync::Arc, time::Duration};

use common::auth::{Fingerprint, PeerIdentity};
use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tracing::warn;

/// The certificates that are shut out.
#[derive(Debug)]
pub struct Blocklist {
    /// None until it is known for the first time; then the last that was known.
    listed: watch::Sender<Option<HashSet<Fingerprint>>>,
    /// Whoever connects earlier waits until it is known.
    patience_ends: Instant,
    metrics: Metrics,
}

/// How a connection stands by its certificate. Cheap to clone: whatever outlives the connection's own task has one.
#[derive(Debug, Clone)]
pub struct Standing(Option<Arc<Watched>>);

#[derive(Debug)]
struct Watched {
    identity: Arc<PeerIdentity>,
    door: &'static str,
    was_listed: bool,
    listed: watch::Receiver<Option<HashSet<Fingerprint>>>,
    metrics: Metrics,
}

#[derive(Debug, Clone, Default)]
struct Metrics {
    entries: Gauge,
    refused: Counter,
    ended: Counter,
}

// === impl Blocklist ===

impl Blocklist {
    /// One that is not known yet. Whoever connects within the first seconds waits for it; later it is done without, for an
    /// API server that is away must not keep every agent away.
    #[must_use]
    pub fn awaited(registry: &mut Registry) -> Self {
        Self::new(None, registry)
    }

    /// One on which nobody is, where nothing tells of any.
    #[must_use]
    pub fn none(registry: &mut Registry) -> Self {
        Self::new(Some(HashSet::new()), registry)
    }

    fn new(listed: Option<HashSet<Fingerprint>>, registry: &mut Registry) -> Self {
        let metrics = Metrics::register(registry);
        Self { listed: watch::Sender::new(listed), patience_ends: Instant::now() + PATIENCE, metrics }
    }

    /// It is so now: connections made with a certificate that is new on it end. Returns whether it has changed.
    pub fn replace(&self, fingerprints: HashSet<Fingerprint>) -> bool {
        self.metrics.entries.set(i64::try_from(fingerprints.len()).unwrap_or(i64::MAX));
        let mut changed = false;
        self.listed.send_if_modified(|listed| {
            let first = listed.is_none();
            changed = listed.as_ref().map_or(!fingerprints.is_empty(), |before| *before != fingerprints);
            *listed = Some(fingerprints);
            first || changed
        });
        changed
    }

    /// How a connection stands that has just come to `door`.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn standing(&self, door: &'static str, identity: Option<&Arc<PeerIdentity>>) -> Standing {
        let Some(identity) = identity else { return Standing(None) };
        let mut listed = self.listed.subscribe();
        // If it never comes, that is told by whoever follows it.
        let _known = timeout_at(self.patience_ends, listed.wait_for(Option::is_some)).await.is_ok();
        let was_listed = has(&listed.borrow_and_update(), identity);
        let watched =
            Watched { identity: Arc::clone(identity), door, was_listed, listed, metrics: self.metrics.clone() };
        if was_listed {
            self.metrics.refused.inc();
            watched.tell("a certificate on the blocklist was shown, and refused");
        }
        Standing(Some(Arc::new(watched)))
    }
}

// === impl Standing ===

impl Standing {
    /// Of a connection that nothing is known against, nor ever will be.
    #[cfg(test)]
    pub(crate) fn good() -> Self {
        Self(None)
    }

    /// Whether the certificate was listed when the connection came. Then it counts for nothing as long as that lasts.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.0.as_ref().is_some_and(|watched| watched.was_listed)
    }

    /// Does `work` as long as the certificate is not listed; `None` when it comes to that. Who was refused from the
    /// beginning may hear so to the end.
    pub async fn while_good<F: Future>(&self, work: F) -> Option<F::Output> {
        let Some(watched) = self.0.as_ref().filter(|watched| !watched.was_listed) else { return Some(work.await) };
        let mut listed = watched.listed.clone();
        let revoked = async {
            if listed.wait_for(|listed| has(listed, &watched.identity)).await.is_err() {
                // Nobody lists any more.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = revoked => None,
            output = work => Some(output),
        }
    }

    /// Serves a whole connection as [`while_good`](Self::while_good), and tells when it was ended.
    pub fn serve(&self, connection: impl Future<Output = ()>) -> impl Future<Output = ()> {
        // Boxed: each future around it would hold it twice, as what it was made with and as what it waits for.
        let connection = Box::pin(connection);
        async move {
            if self.while_good(connection).await.is_none()
                && let Some(watched) = &self.0
            {
                watched.metrics.ended.inc();
                watched.tell("the certificate of a connection came on the blocklist: it was ended");
            }
        }
    }
}

// === impl Watched ===

impl Watched {
    fn tell(&self, what: &str) {
        let PeerIdentity { subject, fingerprint, .. } = &*self.identity;
        let subject: String = subject.chars().take(LONGEST_SHOWN).collect();
        warn!(door = self.door, subject, fingerprint, "{what}");
    }
}

// === impl Metrics ===

impl Metrics {
    fn register(registry: &mut Registry) -> Self {
        let new = Self::default();
        registry.register("entries", "Certificates on the blocklist", new.entries.clone());
        let help = "Connections that came with a certificate on the blocklist";
        registry.register("refused_connections", help, new.refused.clone());
        let help = "Connections ended because their certificate came on the blocklist";
        registry.register("ended_connections", help, new.ended.clone());
        new
    }
}

fn has(listed: &Option<HashSet<Fingerprint>>, identity: &PeerIdentity) -> bool {
    listed.as_ref().is_some_and(|listed| listed.contains(identity.fingerprint.as_str()))
}

/// An API server that is there answers in less.
const PATIENCE: Duration = Duration::from_secs(5);

/// A peer decides how long its names are; our log does not.
const LONGEST_SHOWN: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn blocklist() -> Blocklist {
        Blocklist::awaited(&mut Registry::default())
    }

    fn identity(digits: &str) -> Arc<PeerIdentity> {
        Arc::new(PeerIdentity {
            common_name: Some("agent".into()),
            subject: "CN=agent".into(),
            uri_sans: Vec::new(),
            fingerprint: digits.repeat(32),
            not_after: 0,
        })
    }

    fn list(digits: &[&str]) -> HashSet<Fingerprint> {
        digits.iter().map(|digits| Fingerprint::parse(&digits.repeat(32)).unwrap()).collect()
    }

    #[tokio::test]
    async fn what_runs_ends_when_its_certificate_is_listed_and_not_for_another() {
        let blocklist = blocklist();
        blocklist.replace(list(&[]));
        let standing = blocklist.standing("kube", Some(&identity("AA"))).await;
        assert!(!standing.is_revoked());
        let mut runs = std::pin::pin!(standing.while_good(std::future::pending::<()>()));
        assert!(futures_util::poll!(runs.as_mut()).is_pending());
        assert!(blocklist.replace(list(&["bb"])));
        assert!(futures_util::poll!(runs.as_mut()).is_pending());
        assert!(blocklist.replace(list(&["bb", "aa"])));
        assert_eq!(runs.await, None);
        // What begins later on the same connection does not begin.
        assert_eq!(standing.while_good(std::future::ready(())).await, None);
    }

    #[tokio::test]
    async fn a_listed_certificate_is_refused_for_as_long_as_its_connection_lasts() {
        let blocklist = blocklist();
        blocklist.replace(list(&["aa"]));
        let standing = blocklist.standing("kube", Some(&identity("AA"))).await;
        blocklist.replace(list(&[]));
        assert!(standing.is_revoked());
        assert_eq!(standing.while_good(std::future::ready(())).await, Some(()), "it may hear why");
        assert!(!blocklist.standing("kube", Some(&identity("AA"))).await.is_revoked());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_comes_before_it_is_known_waits_for_it() {
        let blocklist = blocklist();
        let identity = identity("AA");
        let (standing, _) = tokio::join!(blocklist.standing("grpc", Some(&identity)), async {
            tokio::time::sleep(PATIENCE / 2).await;
            blocklist.replace(list(&["aa"]))
        });
        assert!(standing.is_revoked());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_never_is_known_keeps_nobody_away_and_ends_them_later() {
        let blocklist = blocklist();
        let began = Instant::now();
        let standing = blocklist.standing("grpc", Some(&identity("AA"))).await;
        assert_eq!((standing.is_revoked(), began.elapsed()), (false, PATIENCE));
        assert!(!blocklist.standing("grpc", Some(&identity("AA"))).await.is_revoked());
        assert_eq!(began.elapsed(), PATIENCE, "only those that come at first wait");
        let mut runs = std::pin::pin!(standing.while_good(std::future::pending::<()>()));
        assert!(futures_util::poll!(runs.as_mut()).is_pending());
        blocklist.replace(list(&["aa"]));
        assert_eq!(runs.await, None);
    }

    #[tokio::test]
    async fn who_shows_no_certificate_cannot_be_on_it() {
        let standing = blocklist().standing("kube", None).await;
        assert!(!standing.is_revoked());
        assert_eq!(standing.while_good(std::future::ready(1)).await, Some(1));
    }

    #[tokio::test]
    async fn what_is_said_again_is_no_change() {
        let blocklist = blocklist();
        assert!(blocklist.replace(list(&["aa"])));
        assert!(!blocklist.replace(list(&["AA"])));
        assert!(blocklist.replace(list(&[])));
    }
}
