//! The namespaces that Applications deploy to, so that those can be seen.
//!
//! Argo CD makes a destination's Namespace without leaving its mark on it, and kubectl shows the Namespace's error in
//! place of any other (it asks for it after every 404). Of an Application nothing is kept but its destination.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
};

use common::{Application, Refusal, drain};
use futures_util::{Stream, StreamExt, future::select_all};
use kube::{
    Api,
    runtime::{WatchStreamExt, watcher},
};
use tokio::sync::watch;
use tracing::{info_span, warn};

use super::{
    live::{Again, Feed, Live, State, live},
    namespaces::Namespaces,
};

/// The destinations of all Applications of interest. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Applications(Vec<Live<Destinations>>);

/// Tells when the destinations of Applications change.
#[derive(Debug)]
pub(super) struct Changes(Vec<watch::Receiver<State<Destinations>>>);

/// Application (namespace and name) → the namespace that it deploys to.
type Destinations = BTreeMap<(String, String), String>;

// === impl Applications ===

impl Applications {
    /// Begins to watch the Applications in `namespaces`: one watch for each, or one of the whole cluster where they are
    /// named by a pattern.
    pub(super) fn watch(client: &kube::Client, namespaces: &Namespaces, drain: &drain::Watch) -> Self {
        let apis: Vec<Api<Application>> = match namespaces.names() {
            Some(names) => {
                let names: BTreeSet<_> = names.iter().collect();
                names.into_iter().map(|name| Api::namespaced(client.clone(), name)).collect()
            }
            None => vec![Api::all(client.clone())],
        };
        let watch_one = |api| {
            let (mut feed, destinations) = live(SUBJECT);
            let watch = drain.clone();
            let namespaces = namespaces.clone();
            drain.spawn(info_span!("applications"), async move {
                let changes = watcher(api, Application::selection()).backoff(Again::default());
                tokio::select! {
                    () = follow(changes, &namespaces, &mut feed) => {}
                    () = watch.draining() => {}
                }
            });
            destinations
        };
        Self(apis.into_iter().map(watch_one).collect())
    }

    /// Whether an Application deploys to this namespace.
    ///
    /// # Errors
    /// [`Refusal::Undecidable`] with the cause, where none is known to and not all are known.
    pub(super) async fn deploy_to(&self, namespace: &str) -> Result<bool, Refusal> {
        let mut unknown = None;
        for destinations in &self.0 {
            match destinations.get().await {
                Ok(destinations) if destinations.values().any(|destination| destination == namespace) => {
                    return Ok(true);
                }
                Ok(_) => {}
                Err(refusal) => unknown = Some(refusal),
            }
        }
        unknown.map_or(Ok(false), Err)
    }

    /// Notices changes from now on.
    pub(super) fn changes(&self) -> Changes {
        Changes(self.0.iter().map(Live::changes).collect())
    }
}

// === impl Changes ===

impl Changes {
    /// Waits until an Application deploys to another namespace, comes, or goes.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(super) async fn changed(&mut self) {
        let waits = self.0.iter_mut().map(|receiver| Box::pin(receiver.changed()));
        let (changed, ..) = select_all(waits).await;
        if changed.is_err() {
            // The agent ends, and with it whoever asks.
            std::future::pending().await
        }
    }
}

async fn follow(
    changes: impl Stream<Item = watcher::Result<watcher::Event<Application>>>,
    namespaces: &Namespaces,
    feed: &mut Feed<Destinations>,
) {
    let mut changes = pin!(changes);
    let mut listed = Destinations::new();
    let mut absent = false;
    while let Some(change) = changes.next().await {
        match change {
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(application)) => {
                apply(&application, namespaces, &mut listed);
            }
            Ok(watcher::Event::InitDone) => {
                absent = false;
                feed.known(std::mem::take(&mut listed));
            }
            Ok(watcher::Event::Apply(application)) => {
                feed.change(|destinations| apply(&application, namespaces, destinations));
            }
            Ok(watcher::Event::Delete(application)) => {
                feed.change(|destinations| destinations.remove(&key(&application)).is_some());
            }
            Err(error) if is_not_found(&error) => {
                // No Argo CD here, so no Applications. Asked again now and then, should it come.
                if !absent {
                    warn!("this cluster has no Applications of Argo CD");
                    absent = true;
                }
                feed.known(Destinations::new());
            }
            Err(error) => feed.failed(&error),
        }
    }
}

fn is_not_found(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404)
}

/// Whether an Application changes where is deployed to. One outside of the namespaces deploys to nowhere.
fn apply(application: &Application, namespaces: &Namespaces, destinations: &mut Destinations) -> bool {
    let counts = namespaces.contains(application.key().0);
    match &application.destination().namespace {
        Some(namespace) if counts && !namespace.is_empty() => {
            destinations.insert(key(application), namespace.clone()).as_ref() != Some(namespace)
        }
        _ => destinations.remove(&key(application)).is_some(),
    }
}

fn key(application: &Application) -> (String, String) {
    let (namespace, name) = application.key();
    (namespace.to_owned(), name.to_owned())
}

const SUBJECT: &str = "Applications";

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use kube::core::Status;
    use watcher::Event;

    use super::*;

    fn application(namespace: &str, name: &str, destination: Option<&str>) -> Application {
        serde_json::from_value(serde_json::json!({
            "metadata": {"namespace": namespace, "name": name},
            "spec": {"destination": {"server": "https://kubernetes.default.svc", "namespace": destination}},
            "status": {"health": {}},
        }))
        .unwrap()
    }

    async fn after(changes: Vec<watcher::Result<Event<Application>>>) -> Applications {
        let (mut feed, destinations) = live(SUBJECT);
        follow(stream::iter(changes), &Namespaces::new("argocd", &["team-*".to_owned()]), &mut feed).await;
        Applications(vec![destinations])
    }

    fn failed(code: u16) -> watcher::Result<Event<Application>> {
        let status = Status { message: format!("it is {code}"), code, ..Status::default() };
        Err(watcher::Error::InitialListFailed(kube::Error::Api(status.into())))
    }

    #[tokio::test]
    async fn destinations_come_and_go_with_their_applications() {
        let applications = after(vec![
            Ok(Event::Init),
            Ok(Event::InitApply(application("argocd", "a", Some("shop")))),
            Ok(Event::InitApply(application("argocd", "b", Some("shop")))),
            Ok(Event::InitApply(application("team-x", "a", Some("cart")))),
            Ok(Event::InitApply(application("elsewhere", "a", Some("vault")))),
            Ok(Event::InitApply(application("argocd", "none", None))),
            Ok(Event::InitDone),
            Ok(Event::Delete(application("argocd", "a", Some("shop")))),
            Ok(Event::Apply(application("team-x", "a", Some("bank")))),
            Ok(Event::Apply(application("elsewhere", "b", Some("vault")))),
        ])
        .await;
        for (namespace, seen) in [("shop", true), ("bank", true), ("cart", false), ("vault", false), ("", false)] {
            assert_eq!(applications.deploy_to(namespace).await, Ok(seen), "{namespace}");
        }
    }

    #[tokio::test]
    async fn a_new_list_replaces_the_old_one_when_it_is_complete() {
        let first = || {
            vec![Ok(Event::Init), Ok(Event::InitApply(application("argocd", "a", Some("shop")))), Ok(Event::InitDone)]
        };
        let mut changes = first();
        changes.extend([failed(500), Ok(Event::Init), Ok(Event::InitApply(application("argocd", "b", Some("cart"))))]);
        let applications = after(changes).await;
        assert_eq!(applications.deploy_to("shop").await, Ok(true));
        assert_eq!(applications.deploy_to("cart").await, Ok(false));

        let mut changes = first();
        changes.extend([Ok(Event::Init), Ok(Event::InitDone)]);
        assert_eq!(after(changes).await.deploy_to("shop").await, Ok(false));
    }

    #[tokio::test]
    async fn a_cluster_without_argo_cd_has_no_applications() {
        assert_eq!(after(vec![failed(404)]).await.deploy_to("shop").await, Ok(false));
    }

    #[tokio::test]
    async fn applications_that_may_not_be_read_leave_it_open() {
        let refusal = after(vec![failed(403)]).await.deploy_to("shop").await.unwrap_err();
        assert_eq!(refusal, Refusal::Undecidable("cannot read Applications: it is 403".into()));
    }
}
