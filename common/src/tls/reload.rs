//! TLS configurations that follow their certificates, keys and authorities without a restart.
//!
//! Always true: a handshake sees one whole configuration, the newest; connections that stand keep theirs. A configuration
//! is made anew as soon as one of its parts has changed, and each part keeps its last good state by itself: a bad bundle
//! does not hold up a good certificate.

use std::sync::Arc;

use arc_swap::ArcSwap;
use prometheus_client::registry::Registry;
use rustls::{ClientConfig, ServerConfig};
use tokio::sync::watch;
use tracing::{error, info_span, warn};

use super::{
    ClientAuth, Identity, IdentitySource, LoadError, MaterialError, Roots, RootsSource, SecretError, SecretName,
    Secrets, TlsError, Verification, What, client_config,
    files::Folders,
    keeper::{Feed, Keeper, Material},
    metrics::TlsMetrics,
    server_config,
    source::{CERTIFICATE, KEY},
};
use crate::{Report, config::TlsVersions, drain};

/// Loads certificates and keeps them as their sources have them, for as long as somebody has a use for them.
#[derive(Debug)]
pub struct Materials {
    folders: Arc<Folders>,
    secrets: Option<Secrets>,
    metrics: TlsMetrics,
    drain: drain::Watch,
}

/// A client's configuration as it is now. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ClientTls(watch::Receiver<Arc<ClientConfig>>);

/// What a server is made of.
#[derive(Debug, Clone)]
pub struct ServerParts<'a> {
    /// Who it is.
    pub identity: (What, &'a IdentitySource),
    /// Whose clients it takes, where it asks for a certificate at all.
    pub clients: Option<(What, &'a RootsSource, AskClients)>,
    /// Which versions it speaks.
    pub versions: TlsVersions,
    /// What is spoken inside, the favourite first.
    pub alpn: &'static [&'static [u8]],
}

/// What is asked of clients, given whose certificates are good.
pub type AskClients = fn(Roots) -> ClientAuth;

/// What a client is made of.
#[derive(Debug, Clone)]
pub struct ClientParts<'a> {
    /// Who it is, where it is anybody.
    pub identity: Option<(What, &'a IdentitySource)>,
    /// Whose word about the server it takes; nobody's, where it believes every server.
    pub roots: Option<(What, &'a RootsSource)>,
    /// Which versions it speaks.
    pub versions: TlsVersions,
    /// What is spoken inside, the favourite first.
    pub alpn: &'static [&'static [u8]],
}

// === impl Materials ===

impl Materials {
    /// Nothing is loaded yet. Without `secrets` only files can be, whose `folders` are watched.
    #[must_use]
    pub fn new(folders: Arc<Folders>, secrets: Option<Secrets>, metrics: &mut Registry, drain: drain::Watch) -> Self {
        Self { folders, secrets, metrics: TlsMetrics::register(metrics), drain }
    }

    /// A server's configuration, which changes when one of its parts does.
    ///
    /// # Errors
    /// When a part cannot be loaded, or no TLS can be spoken with them.
    pub async fn server(&self, parts: ServerParts<'_>) -> Result<Arc<ArcSwap<ServerConfig>>, LoadError> {
        let ServerParts { identity: (what, source), clients, versions, alpn } = parts;
        let mut identity = self.identity(what, source).await.map_err(LoadError::Material)?;
        let mut roots = None;
        if let Some((what, source, clients)) = clients {
            roots = Some((self.roots(what, source).await.map_err(LoadError::Material)?, clients));
        }
        let make = move |identity: &mut watch::Receiver<Identity>, roots: &mut Option<Clients>| {
            let clients = roots.as_mut().map_or(ClientAuth::None, |(roots, clients)| clients(now(roots)));
            server_config(now(identity), clients, versions, alpn)
        };
        let current = Arc::new(ArcSwap::new(make(&mut identity, &mut roots).map_err(LoadError::Tls)?));
        let (swapped, drain) = (Arc::downgrade(&current), self.drain.clone());
        self.drain.spawn(info_span!("tls", %what), async move {
            loop {
                tokio::select! {
                    () = changed(Some(&mut identity)) => {}
                    () = changed(roots.as_mut().map(|(roots, _)| roots)) => {}
                    () = drain.draining() => return,
                }
                let Some(current) = swapped.upgrade() else { return };
                match make(&mut identity, &mut roots) {
                    Ok(config) => current.store(config),
                    Err(error) => tell(what, &error),
                }
            }
        });
        Ok(current)
    }

    /// A client's configuration, which changes when one of its parts does.
    ///
    /// # Errors
    /// When a part cannot be loaded, or no TLS can be spoken with them.
    pub async fn client(&self, parts: ClientParts<'_>) -> Result<ClientTls, LoadError> {
        let ClientParts { identity: me, roots: them, versions, alpn } = parts;
        let (mut identity, mut roots) = (None, None);
        if let Some((what, source)) = me {
            identity = Some(self.identity(what, source).await.map_err(LoadError::Material)?);
        }
        if let Some((what, source)) = them {
            roots = Some(self.roots(what, source).await.map_err(LoadError::Material)?);
        }
        let make = move |identity: &mut Option<watch::Receiver<Identity>>,
                         roots: &mut Option<watch::Receiver<Roots>>| {
            let verification = roots.as_mut().map_or(Verification::Insecure, |roots| Verification::Roots(now(roots)));
            client_config(identity.as_mut().map(now), verification, versions, alpn)
        };
        let what = me.map(|(what, _)| what).or(them.map(|(what, _)| what));
        let Some(what) = what else {
            return Ok(make(&mut None, &mut None).map_err(LoadError::Tls)?.into());
        };
        let (held, current) = watch::channel(make(&mut identity, &mut roots).map_err(LoadError::Tls)?);
        let drain = self.drain.clone();
        self.drain.spawn(info_span!("tls", %what), async move {
            loop {
                tokio::select! {
                    () = changed(identity.as_mut()) => {}
                    () = changed(roots.as_mut()) => {}
                    () = held.closed() => return,
                    () = drain.draining() => return,
                }
                match make(&mut identity, &mut roots) {
                    Ok(config) => drop(held.send_replace(config)),
                    Err(error) => tell(what, &error),
                }
            }
        });
        Ok(ClientTls(current))
    }

    async fn identity(&self, what: What, source: &IdentitySource) -> Result<watch::Receiver<Identity>, MaterialError> {
        let feed = match source {
            IdentitySource::Files { certificate, key } => {
                Feed::files(vec![certificate.clone(), key.clone()], Arc::clone(&self.folders))
            }
            IdentitySource::Secret(name) => self.secret(name, &[&[CERTIFICATE], &[KEY]]).await?,
            IdentitySource::Generated => {
                let identity = Identity::generate()?;
                warn!(%what, "INSECURE: a certificate was made that ends with this process, and that nobody can verify");
                return Ok(watch::channel(identity).1);
            }
        };
        self.keep(what, feed).await
    }

    async fn roots(&self, what: What, source: &RootsSource) -> Result<watch::Receiver<Roots>, MaterialError> {
        let feed = match source {
            RootsSource::File(path) => Feed::files(vec![path.clone()], Arc::clone(&self.folders)),
            RootsSource::Secret { name, key } => self.secret(name, key.wanted()).await?,
        };
        self.keep(what, feed).await
    }

    async fn secret(&self, name: &SecretName, keys: &'static [&'static [&'static str]]) -> Result<Feed, MaterialError> {
        match &self.secrets {
            Some(secrets) => secrets.follow(name, keys, &self.drain).await.map(Feed::Secret),
            None => Err(MaterialError::Secret { name: format!("Secret {name}"), source: SecretError::NoApi }),
        }
    }

    async fn keep<M: Material>(&self, what: What, feed: Feed) -> Result<watch::Receiver<M>, MaterialError> {
        let (keeper, held) = Keeper::load(what, feed, self.metrics.of(what)).await?;
        let drain = self.drain.clone();
        self.drain.spawn(info_span!("certificate", %what), async move {
            tokio::select! {
                () = keeper.keep() => {}
                () = drain.draining() => {}
            }
        });
        Ok(held)
    }
}

type Clients = (watch::Receiver<Roots>, AskClients);

fn now<M: Clone>(held: &mut watch::Receiver<M>) -> M {
    held.borrow_and_update().clone()
}

async fn changed<M>(held: Option<&mut watch::Receiver<M>>) {
    let told = match held {
        Some(held) => held.changed().await.is_ok(),
        None => false,
    };
    if !told {
        std::future::pending::<()>().await;
    }
}

/// Each part was looked at before, so this is for what nobody thought of.
fn tell(what: What, error: &TlsError) {
    error!(%what, error = %Report(error), "no TLS can be spoken with what was reloaded, what was before stays in use");
}

// === impl ClientTls ===

impl ClientTls {
    /// What a connection gets that is made now.
    #[must_use]
    pub fn current(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0.borrow())
    }

    /// Resolves when a connection gets something else than `used`; never, when that does not change.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn other_than(&self, used: &Arc<ClientConfig>) {
        let mut current = self.0.clone();
        let told = current.wait_for(|config| !Arc::ptr_eq(config, used)).await.is_ok();
        if !told {
            std::future::pending::<()>().await;
        }
    }
}

/// One that never changes.
impl From<Arc<ClientConfig>> for ClientTls {
    fn from(config: Arc<ClientConfig>) -> Self {
        Self(watch::channel(config).1)
    }
}
