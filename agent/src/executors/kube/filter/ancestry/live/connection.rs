//! The connection behind a watch: lists, watches, and begins again where it was, or anew after a gap.

use std::{pin::pin, time::Duration};

use common::Report;
use futures_util::StreamExt;
use http::{Response, StatusCode};
use hyper::body::Incoming;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::{
    super::super::{
        super::{metrics::Purpose, upstream::short},
        live::Again,
        lookup::{Looked, LookupError, reason},
        meta::ObjectMeta,
    },
    events::{EventKind, events},
    graph::Graph,
    watch::Shared,
};

/// Why a connection ended.
#[derive(Debug)]
enum End {
    /// The API server closed it, as it does now and then.
    Closed,
    /// There is no such collection, so there is nothing in it.
    NoCollection,
    /// What has happened since the last list is no longer known.
    Gap(String),
    /// It may not be read.
    Forbidden(String),
    /// It failed.
    Failed(String),
    /// It is more than can be kept.
    TooLarge,
}

// === impl Shared ===

impl Shared {
    /// Lists and watches, over and over.
    pub(super) async fn keep_up(&self) {
        let mut again = Again::default();
        // The version from which to go on. Empty where the collection must be listed.
        let mut version = String::new();
        loop {
            let begun = Instant::now();
            let end = self.follow(&mut version).await.unwrap_or_else(|end| end);
            debug!(?end, "the watch ended");
            match end {
                End::Closed if begun.elapsed() >= LASTING => continue,
                End::Closed => self.lost("the API server ends the watch".to_owned()),
                End::Gap(cause) => {
                    version.clear();
                    self.lost(cause);
                }
                End::NoCollection => {
                    version.clear();
                    self.change(Graph::begin_list);
                    self.change(Graph::end_list);
                    self.live();
                }
                End::Failed(cause) => self.lost(cause),
                End::Forbidden(cause) => {
                    self.lost(cause.clone());
                    self.broken(cause);
                }
                End::TooLarge => {
                    warn!("too many owners to follow");
                    self.change(Graph::clear);
                    return self.broken(format!("there are more than {MAX_NODES} of them"));
                }
            }
            if let Some(wait) = again.next() {
                tokio::time::sleep(wait).await;
            }
        }
    }

    /// Watches from `version`, or lists first. Never returns `Ok` but with an end.
    async fn follow(&self, version: &mut String) -> Result<End, End> {
        if version.is_empty() {
            *version = self.list().await?;
        }
        let target = format!(
            "{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={}&resourceVersion={version}",
            self.path,
            SERVER_CLOSES.as_secs(),
        );
        let answer = self.lookup.watch(&target, Purpose::Watch).await.map_err(|error| failed(&error))?;
        if answer.status() != StatusCode::OK {
            return Err(refused(answer).await);
        }
        self.live();
        let mut events = pin!(events(answer));
        loop {
            let event = match tokio::time::timeout(SERVER_CLOSES + MARGIN, events.next()).await {
                Ok(Some(Ok(event))) => event,
                Ok(Some(Err(error))) => return Err(End::Failed(short(&Report(&error).to_string()))),
                Ok(None) | Err(_) => return Ok(End::Closed),
            };
            let meta = event.object.metadata;
            match event.kind {
                EventKind::Added | EventKind::Modified => self.apply(&meta)?,
                EventKind::Deleted => {
                    let node = self.marker.node(&self.collection, &meta);
                    self.change(|graph| graph.delete(self.namespace_of(&meta), &meta.name, node.version));
                }
                EventKind::Bookmark => {}
                // A 410, mostly. Whatever it is, the events from here on are lost.
                EventKind::Error => return Err(End::Gap(short(&event.object.message))),
            }
            if !meta.resource_version.is_empty() {
                *version = meta.resource_version;
            }
        }
    }

    /// Reads the whole collection, and returns the version from which to watch.
    async fn list(&self) -> Result<String, End> {
        self.change(Graph::begin_list);
        let mut more = String::new();
        loop {
            let page = match self.lookup.page(&self.path, &more, Purpose::Owner).await {
                Ok(Looked::Found(page)) => page,
                Ok(Looked::Answered(answer)) => return Err(refused(answer).await),
                Err(error) => return Err(failed(&error)),
            };
            for item in page.items.unwrap_or_default() {
                self.apply(&item.metadata)?;
            }
            more = page.metadata.more;
            if more.is_empty() {
                self.change(Graph::end_list);
                let version = page.metadata.resource_version;
                let none = || End::Failed("a list without a resourceVersion cannot be watched".to_owned());
                return Some(version).filter(|version| !version.is_empty()).ok_or_else(none);
            }
        }
    }

    fn apply(&self, meta: &ObjectMeta) -> Result<(), End> {
        let node = self.marker.node(&self.collection, meta);
        self.change(|graph| graph.apply(self.namespace_of(meta), &meta.name, node));
        if self.size() > MAX_NODES { Err(End::TooLarge) } else { Ok(()) }
    }
}

fn failed(error: &LookupError) -> End {
    End::Failed(error.refusal().text().into_owned())
}

/// What an answer means that is none to the question.
async fn refused(answer: Response<Incoming>) -> End {
    match answer.status() {
        StatusCode::NOT_FOUND => End::NoCollection,
        StatusCode::GONE => End::Gap(reason(answer).await),
        StatusCode::FORBIDDEN => End::Forbidden(reason(answer).await),
        _ => End::Failed(reason(answer).await),
    }
}

/// After this long a watch is closed by the API server, as client-go asks for it (between 5 and 10 minutes) and `kube`
/// (290 s).
const SERVER_CLOSES: Duration = Duration::from_secs(290);
/// A watch that is silent for longer than it may last has no API server behind it.
const MARGIN: Duration = Duration::from_secs(5);
/// One that ended after so long is begun again at once.
const LASTING: Duration = Duration::from_secs(1);
/// Kubernetes is made for up to 150,000 Pods, of which events may be. Some 250 bytes each.
const MAX_NODES: usize = 200_000;
