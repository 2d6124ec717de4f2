//! Sees to the Secret of one agent: what is there, what becomes of it, and the write.

use std::{sync::Arc, time::Duration};

use common::{AgentName, auth::Secret as Hidden};
use rand::Rng;
use tokio::{task::spawn_blocking, time::Instant};
use tracing::{debug, info};

use super::{
    book::Visit,
    certificate::ClientCertificate,
    cluster::{Cluster, NotOurs, Wanted, secret_name},
    metrics::{Reason, Written},
    store::{Store, StoreError},
};
use crate::agents::tokens::{Keys, SignError, SigningKey};

/// Makes visits.
#[derive(Debug)]
pub(super) struct Visitor<S> {
    pub(super) store: S,
    pub(super) keys: Arc<Keys>,
    pub(super) proxy_address: String,
    pub(super) token_lifetime: Duration,
}

/// What all Secrets have in common.
#[derive(Debug, Clone)]
pub(super) struct Material {
    pub(super) signer: SigningKey,
    pub(super) certificate: Arc<ClientCertificate>,
}

/// What came of a visit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Done {
    /// None where all is as it should be, or is not ours.
    pub(super) written: Option<Written>,
    /// When the token is to be renewed, if it ends.
    pub(super) due: Option<Instant>,
}

/// A visit in vain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no token can be made for agent {0}")]
    Token(AgentName, #[source] SignError),
}

// === impl Visitor ===

impl<S: Store> Visitor<S> {
    /// Makes a visit, and begins anew where somebody else writes meanwhile.
    pub(super) async fn visit(&self, visit: &Visit, material: &Material) -> Result<Done, Failure> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.attempt(visit, material).await {
                Err(Failure::Store(error)) if error.met_another() && attempts < ATTEMPTS => {
                    debug!(agent = %visit.agent, %error, "looking at the cluster Secret again");
                }
                done => return done,
            }
        }
    }

    async fn attempt(&self, visit: &Visit, material: &Material) -> Result<Done, Failure> {
        let Visit { agent, attached } = visit;
        let wanted = Wanted {
            agent,
            proxy_address: &self.proxy_address,
            certificate: &material.certificate,
            labels: attached.as_deref(),
        };
        let name = secret_name(agent);
        let Some(secret) = self.store.get(&name).await? else {
            // Who deleted it wants the agent's token to end.
            if attached.is_none() {
                return Ok(Done { written: None, due: None });
            }
            let (token, due) = self.token(agent, material).await?;
            self.store.create(&wanted.secret(&token)).await?;
            info!(%agent, secret = name, "the agent's cluster was registered with Argo CD");
            return Ok(Done { written: Some(Written::Created), due: Some(due) });
        };
        let mut cluster = match Cluster::read(agent, secret) {
            Ok(cluster) => cluster,
            Err(why @ NotOurs::ByHand) => {
                debug!(%agent, secret = name, %why, "the cluster Secret is left alone");
                return Ok(Done { written: None, due: None });
            }
            Err(why @ NotOurs::OtherAgent) => {
                info!(%agent, secret = name, %why, "the cluster Secret is left alone");
                return Ok(Done { written: None, due: None });
            }
        };
        let is_changed = cluster.bring_up_to_date(&wanted);
        let (written, due) = match self.keys.end_of(cluster.token().as_bytes(), agent) {
            Ok(None) => (Written::Updated, None),
            Ok(Some(ends)) if self.renewal(ends) > Instant::now() => (Written::Updated, Some(self.renewal(ends))),
            standing => {
                let (token, due) = self.token(agent, material).await?;
                cluster.set_token(&token);
                let written = if standing.is_ok() { Written::Renewed } else { Written::Reissued };
                let why = standing.err().map(tracing::field::display);
                info!(%agent, secret = name, why, "the agent's cluster Secret gets a new token");
                (written, Some(due))
            }
        };
        if written == Written::Updated && !is_changed {
            return Ok(Done { written: None, due });
        }
        self.store.replace(&name, &cluster.into_secret()).await?;
        if written == Written::Updated {
            info!(%agent, secret = name, "the agent's cluster Secret was brought up to date");
        }
        Ok(Done { written: Some(written), due })
    }

    /// A new token, and when it is to be renewed.
    async fn token(&self, agent: &AgentName, material: &Material) -> Result<(Hidden, Instant), Failure> {
        // Those that come at once are not to be renewed at once, each time.
        let lasts = self.token_lifetime.mul_f64(rand::rng().random_range(SHORTEST_LIFE..=1.0));
        let ends = Instant::now() + lasts;
        let (signer, of) = (material.signer.clone(), agent.clone());
        let made = spawn_blocking(move || signer.token(&of, lasts)).await.unwrap_or(Err(SignError::Key));
        let token = made.map_err(|error| Failure::Token(agent.clone(), error))?;
        Ok((token, self.renewal(ends)))
    }

    /// When a token that ends then is to be renewed: with a third of its time left, for outages.
    fn renewal(&self, ends: Instant) -> Instant {
        ends.checked_sub(self.token_lifetime / 3).unwrap_or(ends)
    }
}

// === impl Failure ===

impl Failure {
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Store(error) => error.reason(),
            Self::Token(..) => Reason::Token,
        }
    }

    /// What an operator can do about it.
    pub(super) fn cure(&self) -> String {
        match self {
            Self::Store(error) => error.cure(),
            Self::Token(_, SignError::Clock) => "set the clock of this machine".to_owned(),
            Self::Token(_, SignError::Key) => "see that the machine has randomness and memory".to_owned(),
        }
    }
}

/// Another principal writes once. Whoever writes more often is told of.
const ATTEMPTS: u32 = 5;

/// Of the lifetime of tokens, how much each has at least.
const SHORTEST_LIFE: f64 = 0.9;

#[cfg(test)]
mod tests;
