//! The authority that signs agents' certificates, as its Secret has it.
//!
//! What must always be true: one that cannot be used changes nothing, and is told.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwapOption;
use common::{
    Report,
    pki::{Signer, SignerError},
};
use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};
use tracing::{error, info, warn};

/// Why there is nothing to sign with in its Secret.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The Secret is there for something else, or holds the certificate alone.
    #[error("it has no key {0}")]
    NoKey(&'static str),
    /// It is there and cannot sign.
    #[error("it cannot sign")]
    Signer(#[source] SignerError),
}

/// The one that signs now; none until it is known.
pub struct Authority {
    current: ArcSwapOption<Signer>,
    failures: Counter,
    expiry: Gauge,
}

// === impl Authority ===

impl Authority {
    /// None yet.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Self {
        let new = Self { current: ArcSwapOption::empty(), failures: Counter::default(), expiry: Gauge::default() };
        registry.register(
            "authority_failures",
            "Times that the authority of agents' certificates could not be used",
            new.failures.clone(),
        );
        registry.register(
            "authority_expiry_timestamp_seconds",
            "When the authority of agents' certificates ends, in seconds since 1970; 0 when none is known",
            new.expiry.clone(),
        );
        new
    }

    /// `object` holds this now. One that cannot be used leaves the last good one in use.
    pub(crate) fn take(&self, object: &str, signer: Result<Signer, AuthorityError>) {
        match signer {
            Ok(signer) => {
                let end = signer.validity();
                info!(object, end = end.end_text(), "the authority of agents' certificates was loaded");
                self.expiry.set(end.end());
                self.current.store(Some(Arc::new(signer)));
            }
            Err(error) => {
                self.failures.inc();
                let goes_on = self.current.load().is_some();
                let cure = "write certificate and key of the authority there, as `argocd-agentctl pki init` does";
                error!(object, error = %Report(&error), goes_on, cure, "agents' certificates cannot be signed with this");
            }
        }
    }

    /// `object` is not there. What it held goes on signing: who deletes an authority to make another need not hurry.
    pub(crate) fn gone(&self, object: &str) {
        let goes_on = self.current.load().is_some();
        warn!(
            object,
            goes_on, "the authority of agents' certificates is not there: make it with `argocd-agentctl pki init`"
        );
    }

    pub(super) fn current(&self) -> Option<Arc<Signer>> {
        self.current.load_full()
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("current", &*self.current.load()).finish_non_exhaustive()
    }
}
