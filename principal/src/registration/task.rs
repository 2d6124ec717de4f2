//! The task that sees to cluster Secrets: whenever an agent attaches, a token is to be renewed, or the key or certificate
//! that all have in common has changed.
//!
//! Always true: waiting costs nothing, and only so many visits are made at a time.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use common::{AgentName, Report};
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{sync::watch, time::Instant};
use tracing::{debug, info, warn};

use super::{
    book::{Book, Visit},
    certificate::ClientCertificate,
    desk::Desk,
    metrics::{Reason, RegistrationMetrics},
    store::Store,
    visit::{Done, Failure, Material, Visitor},
};
use crate::{
    agents::tokens::SigningKey,
    control_plane::References,
    wait::{changed, until},
};

/// The task.
pub(super) struct Task<S> {
    visitor: Arc<Visitor<S>>,
    desk: Arc<Desk>,
    registered: Arc<References>,
    signer: watch::Receiver<Option<SigningKey>>,
    certificate: watch::Receiver<Option<Arc<ClientCertificate>>>,
    metrics: RegistrationMetrics,
    /// The trouble that was told last, so that it is told once and not for every agent.
    told: Option<Reason>,
}

// === impl Task ===

impl<S: Store> Task<S> {
    pub(super) fn new(
        visitor: Arc<Visitor<S>>,
        desk: Arc<Desk>,
        registered: Arc<References>,
        signer: watch::Receiver<Option<SigningKey>>,
        certificate: watch::Receiver<Option<Arc<ClientCertificate>>>,
        metrics: RegistrationMetrics,
    ) -> Self {
        Self { visitor, desk, registered, signer, certificate, metrics, told: None }
    }

    /// Sees to them for ever.
    pub(super) async fn run(mut self) {
        let mut changes = self.registered.changes();
        // What is known already counts, too.
        changes.mark_changed();
        let now = Instant::now();
        let (mut read_at, mut signer, mut certificate) = (now, self.signer.clone(), self.certificate.clone());
        let mut visits = FuturesUnordered::new();
        loop {
            let material = self.material();
            while let Some(material) = &material
                && visits.len() < VISITS
                && let Some(visit) = self.desk.with(Book::next_visit)
            {
                visits.push(made(Arc::clone(&self.visitor), visit, material.clone()));
            }
            let can_begin = material.is_some() && visits.len() < VISITS;
            let due = self.desk.with(|book| book.next_due());
            tokio::select! {
                () = changed(&mut changes, read_at) => {
                    if let Some(servers) = self.registered.servers() {
                        let names: BTreeSet<AgentName> = servers.into_keys().collect();
                        self.desk.with(|book| book.registered(&names));
                    }
                    read_at = Instant::now() + PAUSE;
                }
                () = changed(&mut signer, now) => self.desk.with(Book::all),
                () = changed(&mut certificate, now) => self.desk.with(Book::all),
                () = self.desk.rung(), if can_begin => {}
                Some((visit, done)) = visits.next() => self.over(visit, done),
                () = until(due) => self.desk.with(|book| book.due(Instant::now())),
            }
        }
    }

    /// What all Secrets have in common, if all of it is known.
    fn material(&self) -> Option<Material> {
        let (signer, certificate) = (self.signer.borrow().clone()?, self.certificate.borrow().clone()?);
        Some(Material { signer, certificate })
    }

    fn over(&mut self, visit: Visit, done: Result<Done, Failure>) {
        match done {
            Ok(Done { written, due }) => {
                if let Some(written) = written {
                    self.metrics.wrote(written);
                }
                self.desk.with(|book| book.settled(&visit, due));
                if self.told.take().is_some() {
                    info!("agents' clusters are registered again");
                    self.desk.with(Book::all_failed);
                }
            }
            Err(failure) => {
                let (agent, error, reason) = (visit.agent.clone(), Report(&failure).to_string(), failure.reason());
                self.metrics.failed(reason);
                self.desk.with(|book| book.failed(visit, Instant::now()));
                if self.told == Some(reason) {
                    debug!(%agent, error, "the agent's cluster still cannot be registered");
                    return;
                }
                let cure = failure.cure();
                warn!(%agent, error, cure, "the agent's cluster cannot be registered, trying again; the agent is served");
                self.told = Some(reason);
            }
        }
    }
}

async fn made<S: Store>(visitor: Arc<Visitor<S>>, visit: Visit, material: Material) -> (Visit, Result<Done, Failure>) {
    let done = visitor.visit(&visit, &material).await;
    (visit, done)
}

/// So many at a time. Ten thousand agents that come back at once are seen to within a minute, and an API server has other
/// work.
const VISITS: usize = 8;

/// All Secrets are looked at when one has changed, so whoever changes thousands of them is not followed one by one.
const PAUSE: Duration = Duration::from_millis(100);
