//! The exchange: a token, or the certificate that one has, for a certificate.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::time::timeout;
use tonic::{Code, Status};

use super::{JoinToken, Pin};
use crate::{
    AgentName,
    auth::{PeerIdentity, Secret},
    config::TlsVersions,
    grpc::{Address, ConnectError, Driver, Grpc},
    pki::pem,
    proto::enrollment::{
        AuthoritiesRequest, Enrolled as Answer, JoinRequest, RenewRequest, enrollment_client::EnrollmentClient,
    },
    proxy::Proxies,
    tls::{Identity, MaterialError, Pem, Roots, TlsError, Verification, client_config},
    tunnel::limits::{MESSAGE, STREAM_WINDOW},
};

/// A certificate chain, leaf first, and the leaf's key, both PEM.
#[derive(Debug, Clone)]
pub struct Enrolled {
    /// The chain.
    pub certificate: String,
    /// The key, which was made here.
    pub key: Secret,
}

/// A principal whose authorities are those of a token.
#[derive(Debug)]
pub struct Discovered<'a> {
    token: &'a JoinToken,
    roots: Roots,
    authorities: String,
    proxies: &'a Proxies,
    versions: TlsVersions,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// The principal cannot be reached.
    #[error("the principal cannot be reached")]
    Connect(#[source] ConnectError),
    /// No TLS can be spoken.
    #[error("no TLS can be set up")]
    Tls(#[source] TlsError),
    /// The principal is another one than that of the token, or somebody stands between.
    #[error(
        "whoever answers at {0} is not the principal of this token, or its authorities were changed since: nothing was \
         told to it; make a new token"
    )]
    Pin(Address),
    /// What was sent as authorities are none.
    #[error("the principal's authorities cannot be used")]
    Authorities(#[source] MaterialError),
    /// The principal does not answer.
    #[error("the principal did not answer within {} s", DEADLINE.as_secs())]
    Silent,
    /// The principal says no.
    #[error("the principal says no: {}", short(.0))]
    Refused(Status),
    /// The connection broke.
    #[error(
        "the connection to the principal broke before it answered, as it does where the principal enrolls nobody \
         (--enable-enrollment)"
    )]
    Broken(#[source] Status),
    /// No key can be made here.
    #[error("no private key can be made")]
    Key(#[source] rcgen::Error),
    /// What came is no certificate for that key.
    #[error("the principal's certificate cannot be used")]
    Certificate(#[source] MaterialError),
    /// What came is another's certificate.
    #[error("the principal's certificate is not one of agent {0} that is valid now")]
    Another(AgentName),
}

/// Asks a principal, the way that `proxies` say, for its authorities, and compares them with the token's pin. Nothing of
/// the token is told to it.
///
/// # Errors
/// When it cannot be asked, or is another one.
pub async fn discover<'a>(
    token: &'a JoinToken,
    proxies: &'a Proxies,
    versions: TlsVersions,
) -> Result<Discovered<'a>, EnrollError> {
    let mut client = connect(&token.principal, proxies, Verification::Insecure, versions).await?;
    let told = client.call(async |grpc| grpc.authorities(AuthoritiesRequest {}).await).await?;
    let certificates = certificates(&told.certificates);
    if Pin::of(&certificates) != token.pin {
        return Err(EnrollError::Pin(token.principal.clone()));
    }
    let authorities = pem(&certificates);
    let roots = Roots::from_pem(&Pem::new("the principal's answer", authorities.as_str()));
    let roots = roots.map_err(EnrollError::Authorities)?;
    Ok(Discovered { token, roots, authorities, proxies, versions })
}

/// Gets another certificate for `agent`, over a connection that was made with the one that it has.
///
/// # Errors
/// When the principal does not give one.
pub async fn renew(connection: (Grpc, Driver), agent: &AgentName) -> Result<Enrolled, EnrollError> {
    let (key, request) = key_and_request()?;
    let answer = Client::new(connection).call(async |grpc| grpc.renew(RenewRequest { request }).await).await?;
    taken(&answer, &key, agent)
}

// === impl Discovered ===

impl Discovered<'_> {
    /// What the agent has to trust, PEM.
    #[must_use]
    pub fn authorities(&self) -> &str {
        &self.authorities
    }

    /// Exchanges the token for a certificate. The principal is asked only when its certificate comes from its authorities and
    /// names the host that is dialled.
    ///
    /// # Errors
    /// When there is none; whether another attempt makes sense, the error knows.
    pub async fn join(&self) -> Result<Enrolled, EnrollError> {
        let token = self.token;
        let verification = Verification::Roots(self.roots.clone());
        let mut client = connect(&token.principal, self.proxies, verification, self.versions).await?;
        let (key, request) = key_and_request()?;
        let request = JoinRequest {
            token_id: token.id.to_string(),
            token_secret: Bytes::copy_from_slice(token.secret.reveal()),
            agent: token.agent.to_string(),
            request,
        };
        let answer = client.call(async |grpc| grpc.join(request).await).await?;
        taken(&answer, &key, &token.agent)
    }
}

// === impl EnrollError ===

impl EnrollError {
    /// Whether the same attempt may well succeed later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            // A certificate that is not the principal's stays so; a handshake that broke does not.
            Self::Connect(ConnectError::Tls(_, error)) => {
                !error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
            }
            Self::Connect(_) | Self::Silent | Self::Broken(_) => true,
            Self::Refused(status) => matches!(
                status.code(),
                Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown
            ),
            _ => false,
        }
    }

    /// What came over the wire has no cause here.
    fn of(status: Status) -> Self {
        if std::error::Error::source(&status).is_some() { Self::Broken(status) } else { Self::Refused(status) }
    }
}

/// One connection, and what it takes to make calls on it.
struct Client {
    grpc: EnrollmentClient<Grpc>,
    driver: Driver,
}

// === impl Client ===

impl Client {
    fn new((grpc, driver): (Grpc, Driver)) -> Self {
        // The connection is made already; HTTP/2 wants a name in each request.
        let origin = http::Uri::from_static("https://principal");
        Self { grpc: EnrollmentClient::with_origin(grpc, origin).max_decoding_message_size(MESSAGE), driver }
    }

    async fn call<T>(
        &mut self,
        call: impl AsyncFnOnce(&mut EnrollmentClient<Grpc>) -> Result<tonic::Response<T>, Status>,
    ) -> Result<T, EnrollError> {
        let Self { grpc, driver } = self;
        // When it ends the call ends, too, and knows better how; or goes on, where the principal only takes no other.
        let run = async {
            let _ended = driver.await;
            std::future::pending::<Infallible>().await
        };
        let answered = async {
            tokio::select! {
                answer = call(grpc) => answer,
                never = run => match never {},
            }
        };
        let answer = timeout(DEADLINE, answered).await.map_err(|_elapsed| EnrollError::Silent)?;
        answer.map(tonic::Response::into_inner).map_err(EnrollError::of)
    }
}

async fn connect(
    to: &Address,
    proxies: &Proxies,
    server: Verification,
    versions: TlsVersions,
) -> Result<Client, EnrollError> {
    let tls = client_config(None, server, versions, &[b"h2"]).map_err(EnrollError::Tls)?;
    to.connect(Some(tls.into()), proxies, STREAM_WINDOW).await.map(Client::new).map_err(EnrollError::Connect)
}

/// A new key, and the request that proves that we have it.
fn key_and_request() -> Result<(KeyPair, Bytes), EnrollError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(EnrollError::Key)?;
    let mut params = CertificateParams::default();
    // The principal decides what the certificate says.
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key).map_err(EnrollError::Key)?;
    let request = Bytes::copy_from_slice(request.der());
    Ok((key, request))
}

fn taken(answer: &Answer, key: &KeyPair, agent: &AgentName) -> Result<Enrolled, EnrollError> {
    let chain = certificates(&answer.chain);
    let enrolled = Enrolled { certificate: pem(&chain), key: Secret::new(key.serialize_pem()) };
    let identity = Identity::from_pem(
        &Pem::new("the principal's answer", enrolled.certificate.as_str()),
        &Pem::new("the key that was made for it", enrolled.key.reveal()),
    );
    let identity = identity.map_err(EnrollError::Certificate)?;
    let leaf = identity.chain().first().and_then(|leaf| PeerIdentity::from_der(leaf).ok());
    let named = leaf.and_then(|leaf| leaf.common_name).is_some_and(|name| name == agent.as_str());
    if named && identity.validity().is_some_and(|validity| validity.left(UnixTime::now()) > 0) {
        Ok(enrolled)
    } else {
        Err(EnrollError::Another(agent.clone()))
    }
}

fn certificates(ders: &[Bytes]) -> Vec<CertificateDer<'static>> {
    ders.iter().map(|der| CertificateDer::from(der.to_vec())).collect()
}

/// It may be anybody's text, and has to stay on its line.
fn short(status: &Status) -> String {
    if status.code() == Code::Unimplemented {
        return "it enrolls nobody (--enable-enrollment)".to_owned();
    }
    status.message().chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// For one call: the principal asks its API server twice, each of which may take some seconds.
const DEADLINE: Duration = Duration::from_secs(30);
