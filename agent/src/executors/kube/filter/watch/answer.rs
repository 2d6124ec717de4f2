//! The answer to a watch: what came, less what is not managed, and what becomes visible or invisible through others.
//!
//! An object is shown by an event of its own, or, where an owner has decided anew and the object itself has not changed,
//! by one that is made here from the object as it is. Only what the API server's own events have come to already is told
//! so: of an object that has changed meanwhile an event is under way, which will be decided on when it comes. So a
//! client that goes on from any version that it was told misses nothing.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use common::{Refusal, Report, http::refusal};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use http::{HeaderValue, Response, StatusCode, header};
use hyper::body::Incoming;
use tracing::debug;

use super::super::{
    Filter,
    ancestry::Following,
    applications::Changes,
    item::RowObject,
    scan::ScanError,
    scope::Scope,
    source::{Source, SourceError},
    tracking::Tracking,
    uid::Uid,
};
use super::{
    EventType, Events, WatchEvent,
    fetch::fetch,
    past,
    position::{Position, Told},
    recall::Key,
    shown::{Change, SHOWN_LIMIT, Shown, Standing, Verdict, Version},
};
use crate::executors::kube::body::FilteredBody;

/// One watch that runs.
pub(in super::super) struct FilteredWatch {
    filter: Arc<Filter>,
    question: Question,
    source: Source,
    events: Events,
    following: Following,
    /// Of Namespaces: when those change that Applications deploy to.
    destinations: Option<Changes>,
    shown: Shown,
    /// The version from which the client goes on, where what it holds was not remembered.
    pieced_together_at: Option<u64>,
    position: Position,
    out: VecDeque<Bytes>,
    stage: Stage,
}

/// What a watch is of, and where it begins.
#[derive(Debug)]
pub(in super::super) struct Question {
    pub(in super::super) scope: Scope,
    pub(in super::super) tracking: Arc<Tracking>,
    pub(in super::super) rows: RowObject,
    /// What the API server was told to answer in, if anything.
    pub(in super::super) accept: Option<HeaderValue>,
    /// What the query says of rows, to be said again of a single object.
    pub(in super::super) include_object: String,
    pub(in super::super) beginning: Beginning,
    /// Whether the client takes bookmarks.
    pub(in super::super) bookmarks: bool,
}

/// Where a watch begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Beginning {
    /// With all that there is.
    Now,
    /// Behind the resource version up to which the client has seen everything.
    After(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It is to be found out what the client holds already.
    Beginning,
    /// It is to be looked whether others have decided anew.
    Looking,
    /// An event is waited for.
    Waiting,
    /// Nothing will follow what is to go out.
    Over,
}

/// What a watch waits for.
enum Wake {
    Chunk(Option<Bytes>),
    Others,
    Settings,
}

// === impl FilteredWatch ===

impl FilteredWatch {
    /// Answers with the watch. `answer` is the API server's.
    pub(in super::super) fn answer(
        filter: Arc<Filter>,
        question: Question,
        answer: Response<Incoming>,
    ) -> Result<Response<FilteredBody>, Refusal> {
        let (mut parts, body) = answer.into_parts();
        let unreadable = || Refusal::Undecidable("the watch is in an encoding that the agent does not read".into());
        if parts.status != StatusCode::OK {
            return Err(unreadable());
        }
        let events = Events::new(&parts.headers, question.scope.items(), question.rows).ok_or_else(unreadable)?;
        let source = Source::new(&parts.headers, body).filter(|source| !source.is_gzip()).ok_or_else(unreadable)?;
        parts.headers.remove(header::CONTENT_LENGTH);
        let following = filter.ancestry.follow(question.scope.namespace.as_deref(), Arc::clone(&question.tracking));
        let destinations = question.scope.is_namespaces().then(|| filter.applications.changes());
        let watch = Self {
            filter,
            source,
            events,
            following,
            destinations,
            shown: Shown::default(),
            pieced_together_at: None,
            position: Position::default(),
            out: VecDeque::new(),
            stage: Stage::Beginning,
            question,
        };
        Ok(Response::from_parts(parts, FilteredBody::new(watch.run())))
    }

    async fn begin(&mut self) -> Result<(), SourceError> {
        self.stage = Stage::Waiting;
        let Beginning::After(version) = self.question.beginning.clone() else { return Ok(()) };
        let shown = match self.filter.recall.find(&self.key(version.clone())) {
            Some(shown) => Some(shown),
            None => {
                self.pieced_together_at = version.parse().ok();
                let Question { scope, tracking, .. } = &self.question;
                past::shown_at(&self.filter, scope, tracking, &mut self.following, &version).await?
            }
        };
        let Some(shown) = shown else { return self.cannot_go_on(&version).await };
        self.shown = shown;
        self.position = Position { told: version.clone(), exact: true, come: Some(version) };
        self.stage = Stage::Looking;
        Ok(())
    }

    /// Ends a watch from a version at which it is not known what was shown: by the API server's own words, where it does
    /// not know that version any more either.
    async fn cannot_go_on(&mut self, version: &str) -> Result<(), SourceError> {
        if let Ok(Ok(Some(chunk))) = tokio::time::timeout(OWN_WORDS, self.source.next()).await {
            self.events.push(chunk);
            if let Some(event) = self.events.next().map_err(SourceError::Scan)?
                && event.kind == EventType::Error
            {
                return self.event(event).await;
            }
        }
        self.expire(&format!("too old resource version: {version} (it is not known any more what was shown at it)"));
        Ok(())
    }

    fn run(self) -> impl Stream<Item = Result<Bytes, SourceError>> + Send {
        stream::unfold(Some(self), |watch| async move {
            let mut watch = watch?;
            match watch.next().await {
                Ok(Some(piece)) => Some((Ok(piece), Some(watch))),
                Ok(None) => None,
                Err(error) => {
                    debug!(error = %Report(&error), "a watch breaks off");
                    watch.filter.metrics.broke_off();
                    Some((Err(error), None))
                }
            }
        })
    }

    /// The next bytes for the client.
    async fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        loop {
            if let Some(piece) = self.out.pop_front() {
                return Ok(Some(piece));
            }
            if self.stage == Stage::Over {
                return Ok(None);
            }
            match self.step().await {
                Ok(()) => {}
                // A connection that is lost says by itself that there is more.
                Err(error @ SourceError::Broken(_)) => return Err(error),
                Err(error) => {
                    debug!(error = %Report(&error), "a watch cannot go on");
                    self.filter.metrics.broke_off();
                    let refusal = error.refusal();
                    let (code, reason) = refusal::code(&refusal);
                    self.end(code.as_u16(), reason, &refusal.text());
                }
            }
        }
    }

    async fn step(&mut self) -> Result<(), SourceError> {
        match self.stage {
            Stage::Beginning => return self.begin().await,
            Stage::Looking => {
                self.stage = Stage::Waiting;
                return self.look_again().await;
            }
            Stage::Waiting | Stage::Over => {}
        }
        if let Some(event) = self.events.next().map_err(SourceError::Scan)? {
            return self.event(event).await;
        }
        let wake = tokio::select! {
            chunk = self.source.next() => Wake::Chunk(chunk?),
            () = self.following.changed() => Wake::Others,
            () = changed(self.destinations.as_mut()) => Wake::Others,
            () = self.filter.settings.changed(&self.question.tracking) => Wake::Settings,
        };
        match wake {
            Wake::Chunk(Some(chunk)) => self.events.push(chunk),
            Wake::Chunk(None) => {
                self.events.finish().map_err(SourceError::Scan)?;
                self.stage = Stage::Over;
            }
            Wake::Others => self.stage = Stage::Looking,
            Wake::Settings => self.expire("the settings by which Argo CD tracks its resources have changed"),
        }
        Ok(())
    }

    /// One event of the API server.
    async fn event(&mut self, event: WatchEvent) -> Result<(), SourceError> {
        let Some(subject) = &event.subject else {
            match (event.kind, Told::by(&event.object)) {
                (EventType::Error, Told::Status) => self.stage = Stage::Over,
                (EventType::Bookmark, Told::Version(version)) => {
                    self.position.come = Some(version.clone());
                    self.position.tell(version);
                }
                (EventType::Bookmark, Told::Nothing) => {}
                _ => return Err(SourceError::Scan(ScanError::Malformed("an event is of no object"))),
            }
            let piece = self.events.encode(event.kind, &event);
            self.out.push_back(piece);
            return Ok(());
        };
        let uid = Uid::parse(&subject.meta.uid).ok_or(SourceError::Scan(ScanError::NoMetadata))?;
        let kind = if event.kind == EventType::Deleted {
            self.shown.forget(&uid).then_some(EventType::Deleted)
        } else {
            let Question { scope, tracking, .. } = &self.question;
            let standing = self.filter.standing_now(scope, subject, tracking, &mut self.following).await;
            let standing = standing.map_err(SourceError::Refused)?;
            if let (Some(version), Standing::Others(hanging, Verdict::Unmanaged)) = (self.pieced_together_at, &standing)
                && !self.shown.knows(&uid)
                && !self.following.is_as_at(&hanging.links, version).await.map_err(SourceError::Refused)?
            {
                // It is younger than the version, and the client may have been shown it all the same: what there is at
                // the beginning of a watch comes in no order of versions.
                self.expire("the owners of an object have changed since");
                return Ok(());
            }
            match self.shown.observe(uid, Version::of(&subject.meta.resource_version), standing) {
                Change::Enters => Some(EventType::Added),
                Change::Stays => Some(event.kind),
                Change::Leaves => Some(EventType::Deleted),
                Change::Hidden => None,
            }
        };
        if self.shown.bytes() > SHOWN_LIMIT {
            return Err(SourceError::Refused(Refusal::Undecidable("the watch is of too many objects".into())));
        }
        // What there is at the beginning of a watch comes in no order of versions.
        if self.position.come.is_some() || event.kind != EventType::Added {
            self.position.come = Some(subject.meta.resource_version.clone());
        }
        if let Some(kind) = kind {
            self.position.tell(subject.meta.resource_version.clone());
            let piece = self.events.encode(kind, &event);
            self.out.push_back(piece);
        }
        Ok(())
    }

    /// Asks others anew about every object that hangs on them.
    async fn look_again(&mut self) -> Result<(), SourceError> {
        let Question { scope, .. } = &self.question;
        let mut turned = Vec::new();
        for (uid, version, hanging, before) in self.shown.hanging() {
            let now =
                self.filter.verdict_now(scope, hanging, &mut self.following).await.map_err(SourceError::Refused)?;
            if now != before {
                turned.push((uid.clone(), version, hanging.clone(), now));
            }
        }
        if turned.is_empty() {
            return Ok(());
        }
        let (filter, question) = (&self.filter, &self.question);
        let fetched = turned.into_iter().map(|(uid, version, hanging, now)| async move {
            let object = fetch(filter, question, &hanging).await?;
            Ok::<_, SourceError>((uid, version, now, object))
        });
        let mut fetched = stream::iter(fetched).buffered(AT_ONCE);
        let mut made = 0;
        while let Some((uid, version, now, object)) = fetched.try_next().await? {
            // Where it is gone, or another, or changed, an event of its own is under way.
            let Some(object) = object else { continue };
            let event = self.events.object(object).map_err(SourceError::Scan)?;
            let same = event.subject.as_ref().is_some_and(|subject| {
                Uid::parse(&subject.meta.uid).as_ref() == Some(&uid)
                    && Version::of(&subject.meta.resource_version) == version
            });
            if same {
                let kind = if now == Verdict::Managed { EventType::Added } else { EventType::Deleted };
                let piece = self.events.encode(kind, &event);
                made += piece.len();
                self.out.push_back(piece);
                self.shown.decide(&uid, now);
                self.position.exact = false;
            }
            if made > MADE_AT_ONCE {
                // What is left is found again when this has gone out.
                self.stage = Stage::Looking;
                break;
            }
        }
        // The versions of these objects are old ones; a client that went on from there would get much again.
        if made > 0
            && self.question.bookmarks
            && let Some(bookmark) = self.position.come.as_deref().and_then(|version| self.events.bookmark(version))
        {
            self.out.push_back(bookmark);
        }
        Ok(())
    }

    /// Ends it so that the client lists again.
    fn expire(&mut self, why: &str) {
        self.end(StatusCode::GONE.as_u16(), "Expired", why);
    }

    fn end(&mut self, code: u16, reason: &str, message: &str) {
        self.out.push_back(self.events.error(code, reason, message));
        self.position.exact = false;
        self.stage = Stage::Over;
    }

    fn key(&self, version: String) -> Key {
        Key { scope: self.question.scope.clone(), version, tracking: Arc::clone(&self.question.tracking) }
    }
}

impl Drop for FilteredWatch {
    fn drop(&mut self) {
        if self.position.exact {
            let told = std::mem::take(&mut self.position.told);
            let key = self.key(told);
            self.filter.recall.ended(key, std::mem::take(&mut self.shown));
        }
    }
}

async fn changed(destinations: Option<&mut Changes>) {
    match destinations {
        Some(destinations) => destinations.changed().await,
        None => std::future::pending().await,
    }
}

/// The API server tells of a version that is too old at once.
const OWN_WORDS: Duration = Duration::from_millis(500);
/// Bytes of events that are made before they go out. An owner may have any number of children.
const MADE_AT_ONCE: usize = 1 << 20;
/// Objects that are read at the same time, when many turn at once.
const AT_ONCE: usize = 8;
