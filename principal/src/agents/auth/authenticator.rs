//! Says whose call it is: by the method of `--auth`, on the terms that hold for every method.
//!
//! What must always be true: a connection with a session belongs to one agent, by whatever it proved that when it attached;
//! its pipes need no second proof, and no other connection's pipes get in by it. A service mesh may carry many agents in
//! one connection: there each call is known by its own header.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU32, Ordering},
};

use common::{AgentName, Report, agent_name::InvalidAgentName, auth::PeerIdentity, drain};
use http::HeaderMap;
use prometheus_client::registry::Registry;

use super::{
    AuthMethod, CertificateRule, HeaderRule,
    certificate::AuthError,
    header::HeaderError,
    login::Login,
    metrics::{AuthMetrics, Reason},
    passwords::{Held, LoginRefused, Passwords},
    shortened,
    users::UsersError,
};
use crate::config::ClientCertificates;

/// Knows agents.
#[derive(Debug)]
pub struct Authenticator {
    means: Means,
    terms: Terms,
    metrics: AuthMetrics,
}

/// What holds whatever the method is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// No agent may have this name: upstream keeps an agent's Applications in the namespace of its name.
    pub principal_namespace: String,
    /// Whether an agent must show a certificate.
    pub certificates: ClientCertificates,
    /// Whether the common name of that must be the agent's name.
    pub matches_common_name: bool,
}

/// What a connection has shown of itself by TLS.
#[derive(Debug, Clone)]
pub enum Shown {
    /// No certificate.
    Nothing,
    /// One that is on the blocklist.
    Revoked,
    /// One that was verified.
    Certificate(Arc<PeerIdentity>),
}

/// A connection that agents' calls come by, and whose it is.
#[derive(Debug)]
pub struct Entrance {
    shown: Shown,
    agent: OnceLock<AgentName>,
    failed_logins: AtomicU32,
}

/// By what an agent attached.
#[derive(Debug)]
pub struct Grant(Option<Box<Held>>);

/// Why a call is nobody's. The text is for the log alone.
#[derive(Debug, thiserror::Error)]
pub(in crate::agents) enum Unknown {
    #[error("no client certificate")]
    NoCertificate,
    #[error("the client certificate is on the blocklist")]
    Revoked,
    #[error("the client certificate names nobody")]
    Certificate(#[source] AuthError),
    #[error("no name and password came along")]
    NoLogin,
    #[error("nobody has that name and password (name {0:?})")]
    Login(String),
    #[error("too many logins failed on this connection")]
    TooManyLogins,
    #[error("too many log in at a time")]
    Busy,
    #[error("the mesh's header names nobody")]
    Header(#[source] HeaderError),
    #[error("no agent can have that name")]
    Name(#[source] InvalidAgentName),
    #[error("`{0}` is the principal's own namespace, and no agent's name")]
    PrincipalNamespace(AgentName),
    #[error("the certificate's common name {common_name:?} is not the agent's name `{agent}`")]
    CommonName { agent: AgentName, common_name: Option<String> },
    #[error("the connection belongs to another agent than `{0}`")]
    OtherAgent(AgentName),
    #[error("nobody has attached over this connection")]
    NotAttached,
}

#[derive(Debug)]
enum Means {
    Certificate(CertificateRule),
    /// Boxed: it is a kilobyte more than the others.
    Password(Box<Passwords>),
    Header(HeaderRule),
}

// === impl Authenticator ===

impl Authenticator {
    /// Knows agents by `method`. A file that it needs is followed until the drain begins.
    ///
    /// # Errors
    /// When that file cannot be used.
    pub async fn start(
        method: AuthMethod,
        terms: Terms,
        metrics: &mut Registry,
        drain: &drain::Watch,
    ) -> Result<Self, UsersError> {
        let registered = AuthMetrics::register(metrics);
        let means = match method {
            AuthMethod::Certificate(rule) => Means::Certificate(rule),
            AuthMethod::Password(file) => {
                Means::Password(Box::new(Passwords::load(file, registered.clone(), drain).await?))
            }
            AuthMethod::Header(rule) => Means::Header(rule),
        };
        Ok(Self { means, terms, metrics: registered })
    }

    /// Knows agents by their certificates.
    #[must_use]
    pub fn by_certificates(rule: CertificateRule, terms: Terms, metrics: &mut Registry) -> Self {
        Self { means: Means::Certificate(rule), terms, metrics: AuthMetrics::register(metrics) }
    }

    /// Who attaches, by what it shows and says; the connection is that agent's from here on.
    pub(in crate::agents) async fn attach(
        &self,
        entrance: &Entrance,
        headers: &HeaderMap,
    ) -> Result<(AgentName, Grant), Unknown> {
        let entered = self.enter(entrance, headers).await;
        entered.inspect_err(|unknown| self.metrics.refuse(unknown.reason()))
    }

    /// Whose pipe it is.
    pub(in crate::agents) fn pipe(&self, entrance: &Entrance, headers: &HeaderMap) -> Result<AgentName, Unknown> {
        let known = match &self.means {
            Means::Header(rule) => self.by_header(rule, entrance, headers),
            Means::Certificate(rule) => match entrance.agent.get() {
                Some(agent) => Ok(agent.clone()),
                None => self.by_certificate(rule, entrance).and_then(|agent| entrance.belongs_to(agent)),
            },
            Means::Password(_) => entrance.agent.get().cloned().ok_or(Unknown::NotAttached),
        };
        known.inspect_err(|unknown| self.metrics.refuse(unknown.reason()))
    }

    /// Whose certificate the connection has shown, where agents are known by them. Why it is nobody's is for the log alone.
    pub(crate) fn certified(&self, entrance: &Entrance) -> Result<AgentName, String> {
        let known = match &self.means {
            Means::Certificate(rule) => self.by_certificate(rule, entrance),
            Means::Password(_) | Means::Header(_) => Err(Unknown::NoCertificate),
        };
        known.map_err(|unknown| {
            self.metrics.refuse(unknown.reason());
            unknown.text()
        })
    }

    async fn enter(&self, entrance: &Entrance, headers: &HeaderMap) -> Result<(AgentName, Grant), Unknown> {
        let (agent, grant) = match &self.means {
            Means::Header(rule) => return Ok((self.by_header(rule, entrance, headers)?, Grant(None))),
            Means::Certificate(rule) => (self.by_certificate(rule, entrance)?, Grant(None)),
            Means::Password(passwords) => self.by_password(passwords, entrance, headers).await?,
        };
        Ok((entrance.belongs_to(agent)?, grant))
    }

    fn by_certificate(&self, rule: &CertificateRule, entrance: &Entrance) -> Result<AgentName, Unknown> {
        match self.certificate(entrance)? {
            Some(identity) => self.agent(rule.name(identity).map_err(Unknown::Certificate)?, Some(identity)),
            None => Err(Unknown::NoCertificate),
        }
    }

    fn by_header(&self, rule: &HeaderRule, entrance: &Entrance, headers: &HeaderMap) -> Result<AgentName, Unknown> {
        let certificate = self.certificate(entrance)?;
        self.agent(rule.name(headers).map_err(Unknown::Header)?, certificate)
    }

    async fn by_password(
        &self,
        passwords: &Passwords,
        entrance: &Entrance,
        headers: &HeaderMap,
    ) -> Result<(AgentName, Grant), Unknown> {
        let certificate = self.certificate(entrance)?;
        if entrance.failed_logins.load(Ordering::Relaxed) >= LOGINS {
            return Err(Unknown::TooManyLogins);
        }
        let login = Login::of(headers).ok_or(Unknown::NoLogin)?;
        let name = shortened(&login.name);
        // Counted before, so that guesses made at once are counted, too; a good one is taken back.
        entrance.failed_logins.fetch_add(1, Ordering::Relaxed);
        let checked = passwords.check(login).await;
        if checked.as_ref().err() != Some(&LoginRefused::Wrong) {
            entrance.failed_logins.fetch_sub(1, Ordering::Relaxed);
        }
        let held = checked.map_err(|refused| match refused {
            LoginRefused::Wrong => Unknown::Login(name),
            LoginRefused::Busy => Unknown::Busy,
        })?;
        Ok((self.agent(held.name().as_str(), certificate)?, Grant(Some(Box::new(held)))))
    }

    /// The certificate that was shown, as far as the terms go.
    fn certificate<'a>(&self, entrance: &'a Entrance) -> Result<Option<&'a PeerIdentity>, Unknown> {
        match &entrance.shown {
            Shown::Revoked => Err(Unknown::Revoked),
            Shown::Certificate(identity) => Ok(Some(identity)),
            Shown::Nothing => match self.terms.certificates {
                ClientCertificates::Required => Err(Unknown::NoCertificate),
                ClientCertificates::IfGiven => Ok(None),
            },
        }
    }

    fn agent(&self, name: &str, certificate: Option<&PeerIdentity>) -> Result<AgentName, Unknown> {
        let agent = AgentName::parse(name).map_err(Unknown::Name)?;
        if agent.as_str() == self.terms.principal_namespace {
            return Err(Unknown::PrincipalNamespace(agent));
        }
        let common_name = certificate.and_then(|identity| identity.common_name.as_deref());
        if self.terms.matches_common_name && common_name != Some(agent.as_str()) {
            return Err(Unknown::CommonName { agent, common_name: common_name.map(shortened) });
        }
        Ok(agent)
    }
}

// === impl Entrance ===

impl Entrance {
    /// Of a connection that has just come.
    #[must_use]
    pub fn new(shown: Shown) -> Self {
        Self { shown, agent: OnceLock::new(), failed_logins: AtomicU32::new(0) }
    }

    pub(in crate::agents) fn shows_certificate(&self) -> bool {
        matches!(self.shown, Shown::Certificate(_))
    }

    fn belongs_to(&self, agent: AgentName) -> Result<AgentName, Unknown> {
        if *self.agent.get_or_init(|| agent.clone()) == agent { Ok(agent) } else { Err(Unknown::OtherAgent(agent)) }
    }
}

// === impl Grant ===

impl Grant {
    /// Resolves when the agent would not be let in any more by what it attached with; a certificate has the blocklist for
    /// that, and a mesh decides for itself.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(in crate::agents) async fn withdrawn(&mut self) {
        match &mut self.0 {
            // Boxed: most agents have none, and each would keep room for it.
            Some(held) => Box::pin(held.withdrawn()).await,
            None => std::future::pending().await,
        }
    }
}

// === impl Unknown ===

impl Unknown {
    /// What the caller is told: nothing but whether to come again.
    pub(in crate::agents) fn status(&self) -> tonic::Status {
        match self {
            Self::Busy => tonic::Status::resource_exhausted("too many agents log in, try again"),
            _ => tonic::Status::unauthenticated("authentication failed"),
        }
    }

    /// For the log.
    pub(in crate::agents) fn text(&self) -> String {
        Report(self).to_string()
    }

    fn reason(&self) -> Reason {
        match self {
            Self::NoCertificate => Reason::NoCertificate,
            Self::Revoked => Reason::Revoked,
            Self::Certificate(_) => Reason::Certificate,
            Self::NoLogin | Self::NotAttached => Reason::NoLogin,
            Self::Login(_) | Self::TooManyLogins => Reason::Login,
            Self::Busy => Reason::Busy,
            Self::Header(_) => Reason::Header,
            Self::Name(_) | Self::PrincipalNamespace(_) => Reason::Name,
            Self::CommonName { .. } => Reason::CommonName,
            Self::OtherAgent(_) => Reason::OtherAgent,
        }
    }
}

/// How often one connection may guess: an agent has one password, and connects anew after each refusal.
const LOGINS: u32 = 3;

#[cfg(test)]
mod tests;
