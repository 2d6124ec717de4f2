//! The HTTP/1.1 client to the API server.
//!
//! Ours and not `kube`'s, whose request bodies cannot stream and which asks again by itself. Path and query go out byte
//! for byte as they came, behind the path that the server's own address may have. Nothing that may have reached the API
//! server is sent a second time.

use std::{
    error::Error,
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use arc_swap::ArcSwap;
use common::{Refusal, Report, api_server::ApiServer, drain};
use futures_util::future::BoxFuture;
use http::{
    HeaderValue, Request, Response, StatusCode, Uri, Version,
    header::{HOST, HeaderName, USER_AGENT},
    uri::{Authority, PathAndQuery, Scheme},
};
use hyper::body::Incoming;
use kube::Config;
use tower::service_fn;
use tracing::{error, info_span};

use super::{
    body::SendBody,
    connect::{Connector, connector},
    connections::{Connections, SendError},
    credentials::{Credentials, CredentialsError},
    metrics::{KubeMetrics, Purpose},
};

/// The API server. Cheap to clone.
#[derive(Clone)]
pub(super) struct Upstream(Arc<Inner>);

struct Inner {
    /// As the configuration is now; who sends already goes on with what was.
    server: ArcSwap<Server>,
    metrics: KubeMetrics,
}

/// One server, and who we are to it.
struct Server {
    connections: Connections,
    access: Access,
}

/// What a configuration comes to.
pub(super) struct Access {
    connector: Connector,
    /// Scheme and authority.
    url: Uri,
    authority: Authority,
    /// The path of the server's address, without a slash at its end.
    prefix: String,
    host: HeaderValue,
    credentials: Credentials,
}

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpstreamError {
    /// There is no connection, so nothing was sent.
    #[error("cannot connect to the API server")]
    Connect(#[source] Box<dyn Error + Send + Sync>),
    /// The connection broke, or what came was not HTTP. The request may have been carried out.
    #[error("the API server did not answer")]
    Exchange(#[source] hyper::Error),
    /// We have nothing to show to the API server.
    #[error("there are no credentials for the API server")]
    Credentials(#[source] Box<dyn Error + Send + Sync>),
    /// A client wants to act as somebody else, and so do we.
    #[error("the agent impersonates somebody itself")]
    Impersonation,
    /// The path cannot be sent.
    #[error("the request has no path that can be sent")]
    Path(#[source] http::Error),
}

/// The address of the API server cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamStartError {
    /// Credentials are missing.
    #[error("no credentials for the API server")]
    Credentials(#[source] CredentialsError),
    /// It is not an URL of HTTP.
    #[error("`{0}` is not the address of an API server")]
    Address(Uri),
    /// TLS cannot be set up.
    #[error("cannot set up TLS to the API server")]
    Tls(#[source] Box<kube::Error>),
}

// === impl Upstream ===

impl Upstream {
    /// Prepares the client, whose tasks belong to `drain`. Nothing is connected yet.
    pub(super) async fn new(
        api_server: &ApiServer,
        metrics: KubeMetrics,
        drain: &drain::Watch,
    ) -> Result<Self, UpstreamStartError> {
        let config = api_server.current();
        let server = ArcSwap::from_pointee(Server::new(Access::new(&config).await?, drain));
        let inner = Arc::new(Inner { server, metrics });
        drain
            .spawn(info_span!("api_server"), follow(Arc::downgrade(&inner), api_server.clone(), config, drain.clone()));
        Ok(Self(inner))
    }

    /// Host and port.
    pub(super) fn authority(&self) -> Authority {
        self.0.server.load().access.authority.clone()
    }

    /// Sends a request and returns the answer when its head is here. The URI's path and query are what counts of it;
    /// hop-by-hop headers and credentials of a client must have been removed.
    ///
    /// # Cancel safety
    /// Dropping the future, or the answer's body before its end, closes the connection.
    pub(super) async fn send(
        &self,
        mut request: Request<SendBody>,
        purpose: Purpose,
    ) -> Result<Response<Incoming>, UpstreamError> {
        let server = self.0.server.load_full();
        let access = &server.access;
        *request.uri_mut() = access.uri(request.uri().path_and_query()).map_err(UpstreamError::Path)?;
        *request.version_mut() = Version::HTTP_11;
        let headers = request.headers_mut();
        if access.credentials.impersonates() && headers.keys().any(is_impersonation) {
            return Err(UpstreamError::Impersonation);
        }
        headers.insert(HOST, access.host.clone());
        access.credentials.apply(headers).await.map_err(UpstreamError::Credentials)?;
        let answer = server.connections.send(request).await;
        self.0.metrics.requested(purpose, answer.as_ref().ok().map(Response::status));
        let answer = answer.map_err(|error| match error {
            SendError::Connect(error) => UpstreamError::Connect(error),
            SendError::Exchange(error) => UpstreamError::Exchange(error),
        })?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            access.credentials.rejected();
        }
        Ok(answer)
    }

    /// `kube`'s typed client over this one, for watches of our own.
    pub(super) fn kube_client(&self, namespace: &str) -> kube::Client {
        let upstream = self.clone();
        let service = service_fn(move |request: Request<kube::client::Body>| {
            let upstream = upstream.clone();
            let request = request.map(SendBody::Own);
            Box::pin(async move { upstream.send_own(request).await }) as BoxFuture<'static, _>
        });
        kube::Client::new(service, namespace)
    }

    async fn send_own(
        &self,
        mut request: Request<SendBody>,
    ) -> Result<Response<Incoming>, Box<dyn Error + Send + Sync>> {
        request.headers_mut().insert(USER_AGENT, OUR_USER_AGENT);
        let answer = self.send(request, Purpose::Watch);
        Ok(tokio::time::timeout(OWN_ANSWER, answer).await??)
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("authority", &self.authority()).finish_non_exhaustive()
    }
}

/// Puts to use what changes, for as long as there is a client.
async fn follow(client: Weak<Inner>, api_server: ApiServer, mut used: Arc<Config>, drain: drain::Watch) {
    loop {
        tokio::select! {
            () = api_server.other_than(&used) => {}
            () = drain.draining() => return,
        }
        used = api_server.current();
        let access = Access::new(&used).await;
        let Some(client) = client.upgrade() else { return };
        match access {
            // The connections of the one before go as soon as nothing runs on them.
            Ok(access) => client.server.store(Arc::new(Server::new(access, &drain))),
            // It was looked at before, so this is for what changed in between: that is told of anew.
            Err(error) => error!(error = %Report(&error), "what was reloaded cannot be used, what was stays in use"),
        }
    }
}

// === impl Server ===

impl Server {
    fn new(access: Access, drain: &drain::Watch) -> Self {
        let connections = Connections::new(access.connector.clone(), access.url.clone(), drain.clone());
        Self { connections, access }
    }
}

// === impl Access ===

impl Access {
    /// Reads the credentials. Nothing is connected yet.
    pub(super) async fn new(config: &Config) -> Result<Self, UpstreamStartError> {
        let connector = connector(config).map_err(|error| UpstreamStartError::Tls(error.into()))?;
        let credentials = Credentials::new(config).await.map_err(UpstreamStartError::Credentials)?;
        let address = || UpstreamStartError::Address(config.cluster_url.clone());
        let scheme = config.cluster_url.scheme().ok_or_else(address)?;
        if *scheme != Scheme::HTTPS && *scheme != Scheme::HTTP {
            return Err(address());
        }
        let authority = config.cluster_url.authority().ok_or_else(address)?;
        // Whatever stands before an `@` would be credentials that nobody reads, and must not be shown.
        let host = authority.as_str().rsplit('@').next().unwrap_or_default();
        let authority = Authority::try_from(host).map_err(|_| address())?;
        let url = Uri::builder().scheme(scheme.clone()).authority(authority.clone()).path_and_query("/").build();
        Ok(Self {
            connector,
            url: url.map_err(|_| address())?,
            authority,
            prefix: config.cluster_url.path().trim_end_matches('/').to_owned(),
            host: HeaderValue::try_from(host).map_err(|_| address())?,
            credentials,
        })
    }

    fn uri(&self, target: Option<&PathAndQuery>) -> Result<Uri, http::Error> {
        let target = match target {
            Some(target) if self.prefix.is_empty() => target.clone(),
            Some(target) => PathAndQuery::try_from(format!("{}{target}", self.prefix))?,
            None => PathAndQuery::from_static("/"),
        };
        Ok(Uri::from(target))
    }
}

// === impl UpstreamError ===

impl UpstreamError {
    /// What the caller is told: the innermost cause, which is what an operator can act on, and no more.
    pub(super) fn refusal(&self) -> Refusal {
        match self {
            Self::Connect(error) => Refusal::UpstreamUnreachable(innermost(error.as_ref()).into()),
            Self::Exchange(error) if error.is_parse() => Refusal::UpstreamUnreachable("its answer is not HTTP".into()),
            Self::Exchange(error) => Refusal::UpstreamUnreachable(
                format!("the connection was lost before the answer ({})", innermost(error)).into(),
            ),
            Self::Credentials(_) => Refusal::UpstreamUnreachable("its credentials cannot be used".into()),
            Self::Impersonation => {
                Refusal::BadRequest("impersonation is not possible here: the agent impersonates somebody itself".into())
            }
            Self::Path(_) => Refusal::BadRequest("the path cannot be sent".into()),
        }
    }
}

/// Whether a header makes the API server act as somebody else.
pub(super) fn is_impersonation(name: &HeaderName) -> bool {
    name.as_str().starts_with("impersonate-")
}

/// Text of another's making, cut to what fits into a refusal.
pub(super) fn short(text: &str) -> String {
    let mut short: String = text.chars().take(MAX_TEXT).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    short(&innermost.to_string())
}

/// Our own lists are small, and a watch begins at once.
const OWN_ANSWER: Duration = Duration::from_secs(30);
/// A refusal must stay below 1 KiB.
const MAX_TEXT: usize = 300;
/// What our own requests call themselves; a client's go by the client's name.
pub(super) const OUR_USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("argocd-agent/", env!("CARGO_PKG_VERSION")));
