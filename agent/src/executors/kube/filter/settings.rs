//! How Argo CD tracks what it deploys, as `argocd-cm` of the agent's own cluster says at this moment.
//!
//! No `argocd-cm` means Argo CD's defaults. While it was never read, nothing can be decided; what was read once holds
//! through any outage.

use std::{pin::pin, sync::Arc};

use common::{Refusal, drain};
use futures_util::{Stream, StreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    runtime::{WatchStreamExt, watcher},
};
use tracing::{info, info_span};

use super::{
    live::{Again, Feed, Live, live},
    tracking::Tracking,
};

/// The settings, live. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Settings(Live<Tracking>);

// === impl Settings ===

impl Settings {
    /// Begins to watch `argocd-cm` in the agent's namespace.
    pub(super) fn watch(client: kube::Client, namespace: &str, drain: &drain::Watch) -> Self {
        let (mut feed, settings) = live(SUBJECT);
        let watch = drain.clone();
        let config_maps = Api::namespaced(client, namespace);
        drain.spawn(info_span!("settings"), async move {
            let changes = watcher::watch_object(config_maps, CONFIG_MAP).backoff(Again::default());
            tokio::select! {
                () = follow(changes, &mut feed) => {}
                () = watch.draining() => {}
            }
        });
        Self(settings)
    }

    /// How objects are tracked.
    ///
    /// # Errors
    /// [`Refusal::Undecidable`] with the cause, while the settings are not known or make no sense.
    pub(super) async fn tracking(&self) -> Result<Arc<Tracking>, Refusal> {
        self.0.get().await
    }

    /// Waits until they are other than these, or not known any more.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(super) async fn changed(&self, known: &Tracking) {
        self.0.changed(known).await;
    }
}

async fn follow(changes: impl Stream<Item = watcher::Result<Option<ConfigMap>>>, feed: &mut Feed<Tracking>) {
    let mut changes = pin!(changes);
    let mut last = None;
    while let Some(change) = changes.next().await {
        let config_map = match change {
            Ok(config_map) => config_map,
            Err(error) => {
                feed.failed(&error);
                continue;
            }
        };
        match Tracking::from_config(config_map.and_then(|map| map.data).as_ref()) {
            Ok(tracking) => {
                if last.as_ref() != Some(&tracking) {
                    info!(settings = ?tracking, "tracking settings of Argo CD read");
                    last = Some(tracking.clone());
                }
                feed.known(tracking);
            }
            Err(error) => {
                last = None;
                feed.invalid(&error.to_string());
            }
        }
    }
}

/// The name is Argo CD's (`common.ArgoCDConfigMapName`).
const CONFIG_MAP: &str = "argocd-cm";
const SUBJECT: &str = "ConfigMap argocd-cm";

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use kube::core::Status;

    use super::*;

    fn config_map(method: &str) -> watcher::Result<Option<ConfigMap>> {
        let data = [("application.resourceTrackingMethod".to_owned(), method.to_owned())].into();
        Ok(Some(ConfigMap { data: Some(data), ..ConfigMap::default() }))
    }

    fn forbidden() -> watcher::Result<Option<ConfigMap>> {
        let status = Status { message: "configmaps is forbidden".to_owned(), code: 403, ..Status::default() };
        Err(watcher::Error::InitialListFailed(kube::Error::Api(status.into())))
    }

    async fn after(changes: Vec<watcher::Result<Option<ConfigMap>>>) -> Result<Tracking, String> {
        let (mut feed, settings) = live(SUBJECT);
        follow(stream::iter(changes), &mut feed).await;
        let tracking = Settings(settings).tracking().await;
        tracking.map(|tracking| (*tracking).clone()).map_err(|refusal| refusal.text().into_owned())
    }

    #[tokio::test]
    async fn no_config_map_means_the_defaults() {
        assert_eq!(after(vec![Ok(None)]).await, Ok(Tracking::default()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_never_read_is_undecidable_and_says_why() {
        let text = after(vec![forbidden()]).await.unwrap_err();
        assert!(text.ends_with("cannot read ConfigMap argocd-cm: configmaps is forbidden"), "{text}");
        let text = after(vec![]).await.unwrap_err();
        assert!(text.contains("has just started"), "{text}");
    }

    #[tokio::test]
    async fn what_was_read_once_outlives_an_outage() {
        let label = after(vec![config_map("label")]).await.unwrap();
        assert_ne!(label, Tracking::default());
        assert_eq!(after(vec![forbidden(), config_map("label"), forbidden()]).await, Ok(label));
    }

    #[tokio::test]
    async fn settings_that_make_no_sense_decide_nothing_until_they_do() {
        let text = after(vec![config_map("label"), config_map("nonsense")]).await.unwrap_err();
        assert!(text.contains("`application.resourceTrackingMethod` is `nonsense`"), "{text}");
        assert_eq!(after(vec![config_map("nonsense"), Ok(None)]).await, Ok(Tracking::default()));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_request_waits_for_the_first_answer() {
        let (mut feed, settings) = live(SUBJECT);
        let settings = Settings(settings);
        let (tracking, ()) = tokio::join!(settings.tracking(), async {
            tokio::task::yield_now().await;
            feed.known(Tracking::default());
        });
        assert_eq!(*tracking.unwrap(), Tracking::default());
    }
}
