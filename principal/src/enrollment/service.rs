//! The gRPC service: `Authorities`, `Join` and `Renew`.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use common::{
    AgentName, Report,
    auth::PeerIdentity,
    enrollment::{JoinRecord, TokenId, TokenSecret},
    pki::{Order, SignError, Signer, Usage, now},
    proto::enrollment::{
        AuthoritiesReply, AuthoritiesRequest, Enrolled, JoinRequest, RenewRequest, enrollment_server::Enrollment,
    },
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};
use tonic::{Request, Response, Status};
use tracing::{error, info, warn};

use super::{
    Authority, EnrollmentMetrics,
    metrics::{By, Reason},
    request::{BadRequest, ProvenKey},
};
use crate::{
    agents::{auth::Authenticator, service::Peer},
    control_plane::{Consumed, JoinTokens},
};

/// The service; one serves every connection. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EnrollmentService(Arc<Desk>);

/// What it is made of.
#[derive(Debug)]
pub struct Options {
    /// Who signs.
    pub authority: Arc<Authority>,
    /// What the control plane knows of tokens.
    pub(crate) tokens: JoinTokens,
    /// Who knows agents by the certificates that they have.
    pub authenticator: Arc<Authenticator>,
    /// How long a certificate is valid.
    pub lifetime: Duration,
    /// The principal's namespace, which no agent may have as its name.
    pub namespace: String,
}

#[derive(Debug)]
struct Desk {
    options: Options,
    metrics: EnrollmentMetrics,
    /// Places for who has a token, or says so.
    joins: Semaphore,
    /// Places for agents: strangers do not take them.
    renewals: Semaphore,
}

/// Why there is no certificate: counted as one thing, told to the caller as another.
#[derive(Debug)]
struct Refused(Reason, Status);

// === impl EnrollmentService ===

impl EnrollmentService {
    /// A service that signs by `options`.
    #[must_use]
    pub fn new(options: Options, metrics: EnrollmentMetrics) -> Self {
        let (joins, renewals) = (Semaphore::new(MOST_JOINS), Semaphore::new(MOST_RENEWALS));
        Self(Arc::new(Desk { options, metrics, joins, renewals }))
    }

    fn told<T>(&self, what: &'static str, answer: Result<T, Refused>) -> Result<Response<T>, Status> {
        answer.map(Response::new).map_err(|Refused(reason, status)| {
            self.0.metrics.refused(reason);
            info!(what, ?reason, told = status.message(), "no certificate was given");
            status
        })
    }
}

#[tonic::async_trait]
impl Enrollment for EnrollmentService {
    async fn authorities(&self, _request: Request<AuthoritiesRequest>) -> Result<Response<AuthoritiesReply>, Status> {
        let signer = self.0.signer();
        let answer = signer.map(|signer| {
            let certificates = signer.bundle().iter().map(|der| Bytes::copy_from_slice(der)).collect();
            AuthoritiesReply { certificates }
        });
        self.told("authorities", answer)
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<Enrolled>, Status> {
        self.told("join", self.0.join(&request.into_inner()).await)
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<Enrolled>, Status> {
        let peer = request.extensions().get::<Peer>().ok_or_else(|| Status::internal("connection without a peer"))?;
        let answer = match self.0.options.authenticator.certified(peer.entrance()) {
            Ok(agent) => self.0.renew(agent, &request.get_ref().request).await,
            Err(why) => {
                info!(reason = %why, "a certificate is to be renewed by who has none that counts");
                Err(Refused(Reason::Unauthenticated, Status::unauthenticated("authentication failed")))
            }
        };
        self.told("renewal", answer)
    }
}

// === impl Desk ===

impl Desk {
    async fn join(&self, request: &JoinRequest) -> Result<Enrolled, Refused> {
        let _place = place(&self.joins)?;
        // All that can be wrong with the request is found before the token is used up.
        let key = ProvenKey::read(&request.request).map_err(bad_request)?;
        let signer = self.signer()?;
        signer.usable().map_err(|error| unsigned(&error))?;
        let id = TokenId::parse(&request.token_id).ok_or_else(unknown)?;
        let secret = TokenSecret::from_bytes(&request.token_secret).ok_or_else(unknown)?;
        let agent = AgentName::parse(&request.agent).map_err(|_| of_another())?;
        let record = timeout(DEADLINE, self.consume(&id, &secret, &agent)).await.map_err(|_elapsed| {
            let text = "the control plane's API server does not answer, try again";
            Refused(Reason::ControlPlane, Status::unavailable(text))
        })??;
        let enrolled = self.sign(signer, record.agent.clone(), key).await?;
        info!(agent = %record.agent, token = %id, "an agent joined");
        self.metrics.issued(By::Join);
        Ok(enrolled)
    }

    async fn renew(&self, agent: AgentName, request: &[u8]) -> Result<Enrolled, Refused> {
        let _place = place(&self.renewals)?;
        let key = ProvenKey::read(request).map_err(bad_request)?;
        let enrolled = self.sign(self.signer()?, agent.clone(), key).await?;
        info!(%agent, "an agent's certificate was renewed");
        self.metrics.issued(By::Renewal);
        Ok(enrolled)
    }

    /// Uses a token up. After that nobody else can, whatever happens here.
    async fn consume(&self, id: &TokenId, secret: &TokenSecret, agent: &AgentName) -> Result<JoinRecord, Refused> {
        let tokens = &self.options.tokens;
        let found = tokens.find(id).await.map_err(|error| away(id, &error))?.ok_or_else(unknown)?;
        let record = JoinRecord::from_secret(&found).map_err(|error| {
            warn!(token = %id, %error, "a Secret has a join token's name");
            unknown()
        })?;
        if !secret.is(&record.hash) {
            return Err(unknown());
        }
        // Only who has the secret hears more.
        if record.agent != *agent || record.agent.as_str() == self.options.namespace {
            return Err(of_another());
        }
        let consumed = tokens.consume(id, &found).await.map_err(|error| away(id, &error))?;
        match consumed {
            Consumed::ByUs if record.end < now() => {
                let text = "the join token is over: make a new one with `argocd-agentctl agent join-token`";
                Err(Refused(Reason::Expired, Status::unauthenticated(text)))
            }
            Consumed::ByUs => Ok(record),
            Consumed::ByAnother => Err(unknown()),
        }
    }

    fn signer(&self) -> Result<Arc<Signer>, Refused> {
        let text = "the principal has no authority to sign with yet, see its log";
        self.options.authority.current().ok_or_else(|| Refused(Reason::Authority, Status::unavailable(text)))
    }

    /// A signature by a large RSA key takes milliseconds, which other connections must not wait for.
    async fn sign(&self, signer: Arc<Signer>, agent: AgentName, key: ProvenKey) -> Result<Enrolled, Refused> {
        let lifetime = self.options.lifetime;
        let signed = tokio::task::spawn_blocking(move || {
            let order = Order { common_name: agent.as_str(), usage: Usage::Client, lifetime };
            signer.sign(&order, &key)
        });
        let signed = signed.await.map_err(|_| Refused(Reason::Authority, Status::internal("the signature was cut")))?;
        let chain = signed.map_err(|error| unsigned(&error))?;
        if let Some(leaf) = chain.first().and_then(|leaf| PeerIdentity::from_der(leaf).ok()) {
            info!(subject = leaf.subject, fingerprint = leaf.fingerprint, "a certificate was signed");
        }
        Ok(Enrolled { chain: chain.iter().map(|der| Bytes::copy_from_slice(der)).collect() })
    }
}

fn place(places: &Semaphore) -> Result<SemaphorePermit<'_>, Refused> {
    let busy = |_| Refused(Reason::Busy, Status::resource_exhausted("too many ask at a time, try again"));
    places.try_acquire().map_err(busy)
}

/// The same whether there is no such token, or was one, or its secret is another: who guesses learns nothing.
fn unknown() -> Refused {
    let text =
        "the join token is not known, was used, or is over: make a new one with `argocd-agentctl agent join-token`";
    Refused(Reason::Token, Status::unauthenticated(text))
}

fn of_another() -> Refused {
    Refused(Reason::Agent, Status::permission_denied("the join token is another agent's"))
}

fn bad_request(error: BadRequest) -> Refused {
    let text = format!("the certificate signing request is not taken: {error}");
    Refused(Reason::Request, Status::invalid_argument(text))
}

fn unsigned(error: &SignError) -> Refused {
    error!(error = %Report(error), "a certificate cannot be signed");
    Refused(Reason::Authority, Status::unavailable("the principal's authority cannot sign now, see its log"))
}

fn away(id: &TokenId, error: &kube::Error) -> Refused {
    error!(token = %id, error = %Report(error), "the Secret of a join token cannot be read or deleted");
    let text = "the principal cannot look up join tokens now, see its log";
    Refused(Reason::ControlPlane, Status::unavailable(text))
}

/// Below the time that a connection has which nobody attached over.
const DEADLINE: Duration = Duration::from_secs(8);

/// Each costs two requests to the API server.
const MOST_JOINS: usize = 16;

/// Each costs a signature. Agents renew within days, not within seconds, and try again.
const MOST_RENEWALS: usize = 64;
