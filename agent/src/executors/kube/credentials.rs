//! Where the API server is, and who we are to it: read from a kubeconfig or from the pod's ServiceAccount.
//!
//! `kube` reads the configuration; what is done with it is ours, because requests must stream (see
//! [`super::upstream`]). A secret never leaves this module but as a header value marked sensitive.

use std::{
    error::Error,
    fmt,
    future::{Ready, ready},
    task::{Context, Poll},
};

use bytes::Bytes;
use common::{
    api_server::{Loaded, files_of, named_proxy, set_proxy},
    proxy::InvalidProxy,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header::AUTHORIZATION};
use http_body_util::Empty;
use kube::{
    Config,
    client::ConfigExt,
    config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use tower::{Layer, Service, ServiceExt, util::BoxCloneSyncService};

use super::token_file::{TokenError, TokenFile};
use crate::config::KubeSource;

/// Why there is no usable configuration.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The kubeconfig cannot be used.
    #[error("the kubeconfig cannot be used")]
    Kubeconfig(#[source] KubeconfigError),
    /// Nothing was named, this is no pod, and there is no kubeconfig where kubectl would look for one.
    #[error("no ServiceAccount ({in_cluster}), and no kubeconfig that can be used")]
    Nothing {
        /// Why this is no pod.
        in_cluster: InClusterError,
        /// Why there is no kubeconfig.
        #[source]
        kubeconfig: KubeconfigError,
    },
    /// There is a proxy on the way that cannot be used.
    #[error("the proxy on the way to the API server cannot be used")]
    Proxy(#[source] InvalidProxy),
    /// The credentials in the configuration cannot be used.
    #[error("the credentials for the API server cannot be used")]
    Unusable(#[source] Box<dyn Error + Send + Sync>),
    /// The token's file cannot be used.
    #[error("the token for the API server cannot be used")]
    Token(#[source] TokenError),
}

/// Puts onto each request what tells the API server who we are, where TLS does not.
pub(super) struct Credentials {
    authorization: Authorization,
    /// What the configuration adds to every request: an identity to act as.
    headers: Vec<(HeaderName, HeaderValue)>,
}

enum Authorization {
    /// A client certificate, or nothing at all.
    None,
    Fixed(HeaderValue),
    File(TokenFile),
    /// A credential plugin, asked by `kube` when the last answer expires.
    Plugin(HeaderSource),
}

/// Answers with the headers that a layer of `kube` puts onto a request.
type HeaderSource = BoxCloneSyncService<Request<Empty<Bytes>>, Response<()>, BoxError>;

/// Reads the configuration: the kubeconfig or context that is named; without either the pod's ServiceAccount, and outside
/// of a pod the kubeconfig that kubectl would use.
pub(super) async fn load(source: &KubeSource) -> Result<Loaded, CredentialsError> {
    if source.kubeconfig.is_some() || source.context.is_some() {
        return load_kubeconfig(source).await?.map_err(CredentialsError::Kubeconfig);
    }
    match Config::incluster() {
        // `kube` reads its files again by itself.
        Ok(config) => Ok(Loaded { config, files: Vec::new() }),
        Err(in_cluster) => {
            load_kubeconfig(source).await?.map_err(|kubeconfig| CredentialsError::Nothing { in_cluster, kubeconfig })
        }
    }
}

async fn load_kubeconfig(source: &KubeSource) -> Result<Result<Loaded, KubeconfigError>, CredentialsError> {
    let read = match &source.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let kubeconfig = match read {
        Ok(kubeconfig) => kubeconfig,
        Err(error) => return Ok(Err(error)),
    };
    let proxy = named_proxy(&kubeconfig, source.context.as_deref());
    let files = files_of(&kubeconfig, source.kubeconfig.as_deref());
    let options = KubeConfigOptions { context: source.context.clone(), ..KubeConfigOptions::default() };
    let mut config = match Config::from_custom_kubeconfig(kubeconfig, &options).await {
        Ok(config) => config,
        Err(error) => return Ok(Err(error)),
    };
    set_proxy(&mut config, proxy.as_deref()).map_err(CredentialsError::Proxy)?;
    Ok(Ok(Loaded { config, files }))
}

// === impl Credentials ===

impl Credentials {
    /// Reads the credentials once, and prepares to read again those that change.
    pub(super) async fn new(config: &Config) -> Result<Self, CredentialsError> {
        let unusable = |error: kube::Error| CredentialsError::Unusable(error.into());
        let extra = config.extra_headers_layer().map_err(unusable)?;
        let extra = headers(extra.layer(Echo)).await.map_err(CredentialsError::Unusable)?;
        let mut headers_of_config = Vec::with_capacity(extra.len());
        for (name, value) in &extra {
            headers_of_config.push((name.clone(), value.clone()));
        }
        let auth = &config.auth_info;
        let authorization = if let Some(path) = &auth.token_file {
            // First, as in client-go: where a kubeconfig has both, the token beside it is the older one.
            Authorization::File(TokenFile::open(path.into()).await.map_err(CredentialsError::Token)?)
        } else if let Some(layer) = config.auth_layer().map_err(unusable)? {
            let source = BoxCloneSyncService::new(layer.layer(Echo));
            if auth.exec.is_some() || auth.auth_provider.is_some() {
                Authorization::Plugin(source)
            } else {
                let headers = headers(source).await.map_err(CredentialsError::Unusable)?;
                headers.get(AUTHORIZATION).cloned().map_or(Authorization::None, Authorization::Fixed)
            }
        } else {
            Authorization::None
        };
        Ok(Self { authorization, headers: headers_of_config })
    }

    /// Whether the configuration makes us act as somebody else.
    pub(super) fn impersonates(&self) -> bool {
        !self.headers.is_empty()
    }

    /// Puts the credentials onto a request.
    pub(super) async fn apply(&self, request: &mut HeaderMap) -> Result<(), BoxError> {
        let authorization = match &self.authorization {
            Authorization::None => None,
            Authorization::Fixed(value) => Some(value.clone()),
            Authorization::File(file) => Some(file.header().await),
            Authorization::Plugin(source) => headers(source.clone()).await?.get(AUTHORIZATION).cloned(),
        };
        if let Some(value) = authorization {
            request.insert(AUTHORIZATION, value);
        }
        request.extend(self.headers.iter().cloned());
        Ok(())
    }

    /// Told when the API server did not accept the credentials.
    pub(super) fn rejected(&self) {
        if let Authorization::File(file) = &self.authorization {
            file.rejected();
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.authorization {
            Authorization::None => "none",
            Authorization::Fixed(_) => "fixed",
            Authorization::File(_) => "file",
            Authorization::Plugin(_) => "plugin",
        };
        f.debug_struct("Credentials").field("authorization", &kind).finish_non_exhaustive()
    }
}

async fn headers<S>(source: S) -> Result<HeaderMap, BoxError>
where
    S: Service<Request<Empty<Bytes>>, Response = Response<()>, Error = BoxError>,
{
    let response = source.oneshot(Request::new(Empty::new())).await?;
    Ok(response.into_parts().0.headers)
}

/// The innermost service below `kube`'s layers, which take any: it answers with the headers that they added.
#[derive(Clone)]
struct Echo;

impl Service<Request<Empty<Bytes>>> for Echo {
    type Response = Response<()>;
    type Error = BoxError;
    type Future = Ready<Result<Response<()>, BoxError>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Empty<Bytes>>) -> Self::Future {
        let mut response = Response::new(());
        *response.headers_mut() = request.into_parts().0.headers;
        ready(Ok(response))
    }
}

type BoxError = Box<dyn Error + Send + Sync>;
