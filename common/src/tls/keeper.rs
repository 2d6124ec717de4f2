//! Keeps one certificate or bundle as its source has it.
//!
//! Always true: what is in use was good when it was taken; a change that is not good is told and counted once, and what
//! is in use stays; nothing is taken twice.

use std::{path::PathBuf, sync::Arc, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use rustls::pki_types::UnixTime;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tracing::{error, info, warn};

use super::{
    Identity, MaterialError, Pem, Roots, Validity, What,
    files::{Folders, FollowedFiles},
    metrics::MaterialMetrics,
    secrets::FollowedSecret,
};
use crate::Report;

/// What PEM texts are read as.
pub(super) trait Material: Clone + Send + Sync + 'static {
    /// Reads them, in the order of their source.
    fn read(texts: &[Pem]) -> Result<Self, MaterialError>;

    /// When it is valid.
    fn validity(&self) -> Option<Validity>;
}

/// Where the texts come from.
#[derive(Debug)]
pub(super) enum Feed {
    Files(FollowedFiles),
    Secret(FollowedSecret),
}

/// Looks at the source whenever it may have changed.
#[derive(Debug)]
pub(super) struct Keeper<M> {
    what: What,
    feed: Feed,
    metrics: MaterialMetrics,
    held: watch::Sender<M>,
    /// Of the texts that are held.
    texts: Digest,
    /// What was told last, so that it is told once and not as often as it is met.
    told: Option<(Option<Digest>, String)>,
    /// When the end was last looked at.
    looked: Instant,
}

/// Of texts that may be a key, which are not kept for a comparison.
type Digest = [u8; 32];

// === impl Feed ===

impl Feed {
    pub(super) fn files(paths: Vec<PathBuf>, folders: Arc<Folders>) -> Self {
        Self::Files(FollowedFiles::among(paths, folders))
    }

    async fn read(&mut self) -> Result<Vec<Pem>, MaterialError> {
        match self {
            Self::Files(files) => files.read().await,
            Self::Secret(secret) => secret.read(),
        }
    }

    /// Resolves when there may be news, soon after the last of them.
    async fn changed(&mut self) {
        match self {
            Self::Files(files) => files.changed().await,
            Self::Secret(secret) => secret.changed().await,
        }
    }
}

// === impl Keeper ===

impl<M: Material> Keeper<M> {
    /// Reads it for the first time. One that has expired is taken, too: there is none to go on with.
    pub(super) async fn load(
        what: What,
        mut feed: Feed,
        metrics: MaterialMetrics,
    ) -> Result<(Self, watch::Receiver<M>), MaterialError> {
        let texts = feed.read().await?;
        let material = M::read(&texts)?;
        if let Err(error) = in_time(&material, &texts) {
            error!(%what, error = %error, cure = error.cure(), "there is no better certificate to begin with");
        }
        let (held, receiver) = watch::channel(material);
        let keeper = Self { what, feed, metrics, held, texts: digest_of(&texts), told: None, looked: Instant::now() };
        keeper.look_at_end();
        Ok((keeper, receiver))
    }

    /// Keeps it until nobody has a use for it.
    pub(super) async fn keep(mut self) {
        loop {
            tokio::select! {
                () = self.feed.changed() => {}
                () = sleep(EVERY) => {}
                () = self.held.closed() => return,
            }
            self.look().await;
            if self.looked.elapsed() >= DAY {
                self.look_at_end();
                self.looked = Instant::now();
            }
        }
    }

    async fn look(&mut self) {
        let texts = match self.feed.read().await {
            Ok(texts) => texts,
            Err(error) => return self.tell(None, &error),
        };
        let digest = digest_of(&texts);
        if digest == self.texts {
            if self.told.take().is_some() {
                info!(what = %self.what, "the source of a certificate has again what is in use");
            }
            return;
        }
        match M::read(&texts).and_then(|material| in_time(&material, &texts).map(|()| material)) {
            Ok(material) => self.take(material, digest),
            Err(error) => self.tell(Some(digest), &error),
        }
    }

    fn take(&mut self, material: M, digest: Digest) {
        let end = material.validity().map(Validity::end_text).unwrap_or_default();
        info!(what = %self.what, end, "certificate reloaded");
        self.held.send_replace(material);
        self.texts = digest;
        self.told = None;
        self.metrics.reloads.inc();
        self.look_at_end();
        self.looked = Instant::now();
    }

    fn tell(&mut self, digest: Option<Digest>, error: &MaterialError) {
        let trouble = (digest, Report(error).to_string());
        if self.told.as_ref() != Some(&trouble) {
            let cure = error.cure();
            error!(what = %self.what, error = trouble.1, cure, "certificate not reloaded, the last good one stays in use");
            self.metrics.failures.inc();
            self.told = Some(trouble);
        }
    }

    fn look_at_end(&self) {
        let Some(validity) = self.held.borrow().validity() else { return };
        self.metrics.expiry.set(validity.end());
        let left = validity.left(UnixTime::now());
        if left <= WARN_BEFORE {
            let (what, end, days) = (self.what, validity.end_text(), left / DAY_SECONDS);
            warn!(%what, end, days, "the certificate in use ends soon: renew it, it is reloaded without a restart");
        }
    }
}

impl Material for Identity {
    fn read(texts: &[Pem]) -> Result<Self, MaterialError> {
        match texts {
            [certificate, key] => Self::from_pem(certificate, key),
            _ => Err(MaterialError::NoKey { name: name_of(texts) }),
        }
    }

    fn validity(&self) -> Option<Validity> {
        self.validity()
    }
}

impl Material for Roots {
    fn read(texts: &[Pem]) -> Result<Self, MaterialError> {
        match texts {
            [bundle, ..] => Self::from_pem(bundle),
            [] => Err(MaterialError::NoCertificate { name: name_of(texts) }),
        }
    }

    fn validity(&self) -> Option<Validity> {
        self.validity()
    }
}

fn in_time(material: &impl Material, texts: &[Pem]) -> Result<(), MaterialError> {
    material.validity().map_or(Ok(()), |validity| validity.check(UnixTime::now(), &name_of(texts)))
}

fn name_of(texts: &[Pem]) -> String {
    texts.first().map(|pem| pem.name.clone()).unwrap_or_default()
}

fn digest_of(texts: &[Pem]) -> Digest {
    let mut each = Vec::new();
    for pem in texts {
        each.extend_from_slice(digest(&SHA256, &pem.text).as_ref());
    }
    let all = digest(&SHA256, &each);
    all.as_ref().try_into().unwrap_or_default()
}

/// Where a change was not told. Also the longest that a certificate is ignored whose time has come.
const EVERY: Duration = Duration::from_secs(60);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const DAY_SECONDS: i64 = 24 * 60 * 60;

/// Two weeks: time for who renews by hand, and for who renews by machine to notice that it does not.
const WARN_BEFORE: i64 = 14 * DAY_SECONDS;

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;
    use tokio::time::timeout;

    use super::*;
    use crate::tls::{files::SETTLE, metrics::TlsMetrics, tests::Authority};

    #[tokio::test(start_paused = true)]
    async fn where_nobody_tells_of_changes_they_are_found_within_a_minute_and_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.crt");
        let (first, second) = (Authority::new("first").certificate, Authority::new("second").certificate);
        std::fs::write(&path, &first).unwrap();
        let metrics = TlsMetrics::register(&mut Registry::default());
        let feed = Feed::files(vec![path.clone()], Arc::new(Folders::blind()));
        let (keeper, mut held) =
            Keeper::<Roots>::load(What::PrincipalCa, feed, metrics.of(What::PrincipalCa)).await.unwrap();
        let counted = metrics.of(What::PrincipalCa);
        let (signal, watch) = crate::drain::channel();
        watch.spawn(tracing::Span::none(), keeper.keep());

        std::fs::write(&path, "no certificate").unwrap();
        assert!(timeout(EVERY * 5, held.changed()).await.is_err(), "what is not good is not taken");
        assert_eq!((counted.failures.get(), counted.reloads.get()), (1, 0));
        // Back again: that is no news to whoever uses it.
        std::fs::write(&path, &first).unwrap();
        assert!(timeout(EVERY * 2, held.changed()).await.is_err());
        std::fs::write(&path, "no certificate").unwrap();
        assert!(timeout(EVERY * 2, held.changed()).await.is_err());
        assert_eq!((counted.failures.get(), counted.reloads.get()), (2, 0));

        std::fs::write(&path, second).unwrap();
        timeout(EVERY + SETTLE, held.changed()).await.unwrap().unwrap();
        assert_eq!((counted.failures.get(), counted.reloads.get()), (2, 1));
        // Nobody has a use for it any more.
        drop(held);
        assert!(signal.drain(SETTLE).await);
    }
}
