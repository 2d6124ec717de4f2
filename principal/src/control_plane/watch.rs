//! Keeps what is known of objects up to date by a watch: a list, then changes.
//!
//! After an outage everything is listed anew. `kube`'s watcher would go on by itself, but shows that it does only by the
//! next change, which may be hours away; so it is known at any time whether the watch stands.

use std::{error::Error, fmt::Debug, pin::pin, time::Duration};

use futures_util::{Stream, StreamExt};
use kube::{
    Api, Resource,
    runtime::watcher::{self, Event, watcher},
};
use serde::de::DeserializeOwned;
use tracing::{debug, info, warn};

use super::{metrics::ObjectMetrics, pauses::Pauses};

/// What is known of the objects of one kind. A list counts once it is complete, and an outage takes nothing away.
pub(super) trait Keep<K>: Send + Sync + 'static {
    /// A list that comes.
    type Coming: Default + Send;

    /// The list has this object.
    fn listed(coming: &mut Self::Coming, object: K);

    /// The list is complete, and takes the place of what was known.
    fn replace(&self, coming: Self::Coming);

    /// The object is so now.
    fn apply(&self, object: K);

    /// The object is gone.
    fn delete(&self, object: K);

    /// Whether there was a complete list.
    fn is_known(&self) -> bool;
}

/// An object that the API server can be asked for.
pub(super) trait Followed:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static
{
}

impl<K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static> Followed for K {}

/// Keeps one kind of objects.
pub(super) struct Keeper<'a, T> {
    kept: &'a T,
    metrics: &'a ObjectMetrics,
    pauses: Pauses,
    /// The trouble that was told last, so that it is told once and not as often as it is met.
    told: Option<String>,
}

/// Why everything is to be listed anew.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Silent,
    #[error("{}", cause(.0))]
    Failed(watcher::Error),
    #[error("the watch is over")]
    Over,
}

// === impl Keeper ===

impl<'a, T> Keeper<'a, T> {
    pub(super) fn new(kept: &'a T, metrics: &'a ObjectMetrics) -> Self {
        Self { kept, metrics, pauses: Pauses::new(), told: None }
    }

    /// Follows the selected objects for ever.
    pub(super) async fn keep<K: Followed>(mut self, api: &Api<K>, selection: &watcher::Config)
    where
        T: Keep<K>,
    {
        loop {
            let ended = self.follow(watcher(api.clone(), selection.clone())).await;
            self.metrics.down();
            self.tell(&ended, self.kept.is_known());
            self.pauses.pause().await;
        }
    }

    /// Follows the objects until they have to be listed anew.
    async fn follow<K: Followed>(&mut self, events: impl Stream<Item = watcher::Result<Event<K>>>) -> Ended
    where
        T: Keep<K>,
    {
        let mut events = pin!(events);
        let mut coming = None;
        loop {
            // While it lists, something is to come; afterwards nothing need change, and `kube` ends a watch by itself.
            let next = match coming {
                Some(_) => tokio::time::timeout(PATIENCE, events.next()).await,
                None => Ok(events.next().await),
            };
            let event = match next {
                Err(_elapsed) => return Ended::Silent,
                Ok(None) => return Ended::Over,
                Ok(Some(event)) => event,
            };
            match event {
                Ok(Event::Init) => coming = Some(T::Coming::default()),
                Ok(Event::InitApply(object)) => {
                    if let Some(coming) = &mut coming {
                        T::listed(coming, object);
                    }
                }
                Ok(Event::InitDone) => self.known::<K>(coming.take().unwrap_or_default()),
                Ok(Event::Apply(object)) => self.kept.apply(object),
                Ok(Event::Delete(object)) => self.kept.delete(object),
                // Connections break. `kube` goes on from the last change, and if it cannot says so below.
                Err(error @ (watcher::Error::WatchFailed(_) | watcher::Error::WatchError(_))) => {
                    self.metrics.broke();
                    debug!(error = cause(&error), "a watch of the control plane broke, going on");
                    self.pauses.pause().await;
                }
                Err(error) => {
                    if is_not_found(&error) {
                        // Of Applications: no Argo CD is installed, so there are none. Asked again, should it come.
                        self.kept.replace(T::Coming::default());
                    }
                    return Ended::Failed(error);
                }
            }
        }
    }

    fn known<K>(&mut self, listed: T::Coming)
    where
        T: Keep<K>,
    {
        self.kept.replace(listed);
        self.metrics.up();
        if self.told.take().is_some() {
            info!("the control plane is followed again");
        }
    }

    fn tell(&mut self, ended: &Ended, known: bool) {
        let trouble = ended.to_string();
        if self.told.as_ref() == Some(&trouble) {
            debug!(error = trouble, "the control plane still cannot be followed");
            return;
        }
        warn!(error = trouble, known, "the control plane cannot be followed, trying again");
        self.told = Some(trouble);
    }
}

fn is_not_found(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404)
}

/// What went wrong, in the API server's words where it has any: they name the permission that is missing.
fn cause(error: &watcher::Error) -> String {
    use watcher::Error::{InitialListFailed, NoResourceVersion, WatchError, WatchFailed, WatchStartFailed};
    let status = match error {
        WatchError(status) => Some(status),
        InitialListFailed(kube::Error::Api(status)) | WatchStartFailed(kube::Error::Api(status)) => Some(status),
        InitialListFailed(_) | WatchStartFailed(_) | WatchFailed(_) | NoResourceVersion => None,
    };
    let text = status.map_or_else(|| innermost(error).to_string(), |status| status.message.clone());
    text.chars().take(LONGEST_CAUSE).collect()
}

fn innermost(error: &dyn Error) -> &dyn Error {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost
}

/// How long a page of a list may take; the API server itself gives up after a minute.
const PATIENCE: Duration = Duration::from_secs(60);

/// Enough for the API server's own texts, and a line of the log for others.
const LONGEST_CAUSE: usize = 300;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use common::Application;
    use futures_util::stream;
    use kube::core::Status;
    use prometheus_client::registry::Registry;
    use serde_json::json;

    use super::{super::metrics::WatchMetrics, *};
    use crate::control_plane::references::{Objects, References};

    type Change = watcher::Result<Event<Application>>;

    fn application(name: &str, agent: &str) -> Application {
        let metadata = json!({"namespace": "ns", "name": name});
        serde_json::from_value(json!({"metadata": metadata, "spec": {"destination": {"name": agent}}})).unwrap()
    }

    fn listed(name: &str) -> Vec<Change> {
        vec![Ok(Event::Init), Ok(Event::InitApply(application(name, name))), Ok(Event::InitDone)]
    }

    fn failed(code: u16) -> Change {
        let status = Status { message: format!("it is {code}"), code, ..Status::default() };
        Err(watcher::Error::InitialListFailed(kube::Error::Api(status.into())))
    }

    /// What is known after these, and why the watch ended.
    async fn after(changes: impl Stream<Item = Change>) -> (Arc<References>, Ended) {
        let metrics = WatchMetrics::register(&mut Registry::default()).of(Objects::Applications);
        let references = Arc::new(References::new(Objects::Applications));
        let ended = Keeper::new(&references, &metrics).follow(changes).await;
        (references, ended)
    }

    fn known(references: &References) -> Vec<&'static str> {
        let names = ["a", "b", "c"].into_iter();
        names.filter(|name| references.agent_of("ns", name).is_ok_and(|agent| agent.is_some())).collect()
    }

    #[tokio::test]
    async fn objects_come_and_go() {
        let changes = [
            Ok(Event::Apply(application("b", "b"))),
            Ok(Event::Delete(application("a", "a"))),
            Ok(Event::Apply(application("c", "c"))),
            Ok(Event::Apply(application("c", "No_Agent"))),
        ];
        let (references, _) = after(stream::iter(listed("a").into_iter().chain(changes))).await;
        assert_eq!(known(&references), ["b"]);
    }

    #[tokio::test]
    async fn a_list_counts_once_it_is_complete() {
        let (references, _) = after(stream::iter(listed("a").into_iter().take(2))).await;
        assert!(!references.is_known());
        let changes = listed("a").into_iter().chain(listed("b").into_iter().take(2));
        assert_eq!(known(&after(stream::iter(changes)).await.0), ["a"]);
        let changes = listed("a").into_iter().chain(listed("b"));
        assert_eq!(known(&after(stream::iter(changes)).await.0), ["b"]);
    }

    #[tokio::test]
    async fn what_is_forbidden_is_not_known_and_told_in_the_api_servers_words() {
        let (references, ended) = after(stream::iter([Ok(Event::Init), failed(403)])).await;
        assert!(!references.is_known());
        assert_eq!(ended.to_string(), "it is 403");
        let (references, _) = after(stream::iter(listed("a").into_iter().chain([failed(500)]))).await;
        assert_eq!(known(&references), ["a"]);
    }

    #[tokio::test]
    async fn where_the_kind_does_not_exist_there_are_none() {
        let (references, ended) = after(stream::iter([Ok(Event::Init), failed(404)])).await;
        assert!(references.is_known() && known(&references).is_empty());
        assert!(matches!(ended, Ended::Failed(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_never_ends_is_given_up_and_a_quiet_watch_is_not() {
        let (references, ended) = after(stream::iter([Ok(Event::Init)]).chain(stream::pending())).await;
        assert!(matches!(ended, Ended::Silent) && !references.is_known());
        let quiet = after(stream::iter(listed("a")).chain(stream::pending()));
        assert!(tokio::time::timeout(10 * PATIENCE, quiet).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_breaks_goes_on() {
        let broken = Err(watcher::Error::WatchError(Status { code: 500, ..Status::default() }.boxed()));
        let more = [broken, Ok(Event::Apply(application("b", "b")))];
        let (references, ended) = after(stream::iter(listed("a").into_iter().chain(more))).await;
        assert_eq!(known(&references), ["a", "b"]);
        assert!(matches!(ended, Ended::Over));
    }
}
