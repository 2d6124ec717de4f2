//! Loads the key of callers' tokens from where the flags say, and again whenever it changes there.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use common::drain;
use prometheus_client::registry::Registry;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::info_span;

use super::Error;
use crate::{
    agents::tokens::{KeyError, Keys, TokenKey},
    config::{Config, JwtKeySource},
    control_plane::ControlPlane,
};

/// The keys, kept up to date until the drain begins. A Secret may come later than the principal; a file may not, since
/// whoever names one has it.
pub(super) async fn keys(
    config: &Config,
    control_plane: Option<&ControlPlane>,
    metrics: &mut Registry,
    drain: &drain::Watch,
) -> Result<Arc<Keys>, Error> {
    let keys = Arc::new(match config.registration {
        Some(_) => Keys::signing(metrics),
        None => Keys::new(metrics),
    });
    match (&config.jwt_key, control_plane) {
        (JwtKeySource::File(path), _) => {
            let key = read(path).await.map_err(|source| Error::JwtKey { path: path.clone(), source })?;
            keys.take(&path.display().to_string(), Ok(key));
            follow(path.clone(), Arc::clone(&keys), drain);
        }
        (JwtKeySource::Generated, _) => {
            let made = tokio::task::spawn_blocking(TokenKey::generate).await;
            let key = made.ok().and_then(Result::ok).ok_or(Error::GenerateJwtKey)?;
            keys.take("--insecure-jwt-generate", Ok(key));
        }
        (JwtKeySource::Secret(name), Some(control_plane)) => {
            control_plane.jwt_key(&config.namespace, name, Arc::clone(&keys));
        }
        // Said where that is found out.
        (JwtKeySource::Secret(_), None) => {}
    }
    Ok(keys)
}

/// Reads the file again and again. It may be a link that the kubelet moves to another directory, so neither its time nor a
/// watch on it would tell.
fn follow(path: PathBuf, keys: Arc<Keys>, drain: &drain::Watch) {
    let watch = drain.clone();
    drain.spawn(info_span!("jwt_key"), async move {
        let object = path.display().to_string();
        let mut ticks = interval_at(Instant::now() + REREAD, REREAD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => keys.take(&object, read(&path).await),
                () = watch.draining() => return,
            }
        }
    });
}

async fn read(path: &Path) -> Result<TokenKey, KeyError> {
    let pem = tokio::fs::read(path).await.map_err(|error| KeyError::Read(error.kind()))?;
    TokenKey::from_pem(&pem)
}

/// The kubelet itself takes up to a minute to bring a Secret that has changed.
const REREAD: Duration = Duration::from_secs(10);
