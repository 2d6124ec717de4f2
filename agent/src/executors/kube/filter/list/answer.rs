//! The answer to a list: what came, less what is not managed.
//!
//! Pulled by the client's reading alone: nothing is read from the API server, and no owner asked for, before what was
//! found so far has gone out.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use common::{Refusal, Report};
use futures_util::{Stream, stream};
use http::{Response, StatusCode, header::CONTENT_LENGTH};
use hyper::body::Incoming;
use tokio::time::Instant;
use tracing::debug;

use super::{
    super::{
        Filter,
        ancestry::Ask,
        gzip::Gzip,
        item::RowObject,
        scope::Scope,
        source::{Source, SourceError},
        tracking::Tracking,
        uid::Uid,
        watch::{
            recall::{Key, Page},
            shown::{SHOWN_LIMIT, Shown, Version},
        },
    },
    Scanner,
};
use crate::executors::kube::body::{AnswerBody, FilteredBody};

/// One list on its way.
pub(in super::super) struct FilteredList {
    filter: Arc<Filter>,
    question: Question,
    source: Source,
    scanner: Scanner,
    gzip: Option<Gzip>,
    /// What this page of the list shows.
    shown: Shown,
    stage: Stage,
}

/// What a list is of, and how it is decided.
#[derive(Debug)]
pub(in super::super) struct Question {
    pub(in super::super) scope: Scope,
    pub(in super::super) tracking: Arc<Tracking>,
    pub(in super::super) ask: Ask,
    pub(in super::super) rows: RowObject,
    /// Whether it begins where another page ended.
    pub(in super::super) continued: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// More may come from the API server.
    Reading,
    /// All has been looked at; what was held until then goes out.
    Emptying,
    /// Nothing is left.
    Over,
}

// === impl FilteredList ===

impl FilteredList {
    /// Answers with the list. What cannot be decided among its first items is a refusal; later it can only break off.
    pub(in super::super) async fn answer(
        filter: Arc<Filter>,
        question: Question,
        answer: Response<Incoming>,
    ) -> Result<Response<AnswerBody>, Refusal> {
        let (mut parts, body) = answer.into_parts();
        let unreadable = || Refusal::Undecidable("the list is in an encoding that the agent does not read".into());
        if parts.status != StatusCode::OK {
            return Err(unreadable());
        }
        let scanner = Scanner::new(&parts.headers, question.scope.items(), question.rows).ok_or_else(unreadable)?;
        let source = Source::new(&parts.headers, body).ok_or_else(unreadable)?;
        let gzip = source.is_gzip().then(Gzip::new);
        let mut list = Self { filter, question, source, scanner, gzip, shown: Shown::default(), stage: Stage::Reading };
        let begun = Instant::now();
        let mut head = BytesMut::new();
        let mut whole = false;
        while head.len() < HOLD && begun.elapsed() < PATIENCE {
            match list.next().await {
                Ok(Some(piece)) => head.extend_from_slice(&piece),
                Ok(None) => {
                    whole = true;
                    break;
                }
                Err(error) => {
                    debug!(error = %Report(&error), "a list cannot be shown");
                    return Err(error.refusal());
                }
            }
        }
        parts.headers.remove(CONTENT_LENGTH);
        let body = match whole {
            true => AnswerBody::Own(head.freeze().into()),
            false => AnswerBody::Filtered(FilteredBody::new(list.rest(head.freeze()))),
        };
        Ok(Response::from_parts(parts, body))
    }

    /// The body from here on.
    fn rest(self, head: Bytes) -> impl Stream<Item = Result<Bytes, SourceError>> + Send {
        stream::unfold((Some(self), Some(head)), |(list, head)| async move {
            let mut list = list?;
            if let Some(head) = head {
                return Some((Ok(head), (Some(list), None)));
            }
            match list.next().await {
                Ok(Some(piece)) => Some((Ok(piece), (Some(list), None))),
                Ok(None) => None,
                Err(error) => {
                    debug!(error = %Report(&error), "a list breaks off");
                    list.filter.metrics.broke_off();
                    Some((Err(error), (None, None)))
                }
            }
        })
    }

    /// The next piece of what is shown, never empty.
    async fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        let mut small = BytesMut::new();
        loop {
            // What is decided on together goes out in one piece.
            while self.scanner.pending().is_some() {
                self.decide().await?;
            }
            while let Some(piece) = self.scanner.output() {
                let piece = match &mut self.gzip {
                    Some(gzip) => gzip.push(&piece),
                    None => piece,
                };
                // A chunk of its own for each comma would cost more than copying what is small.
                if small.is_empty() && piece.len() >= LARGE {
                    return Ok(Some(piece));
                }
                small.extend_from_slice(&piece);
                if small.len() >= LARGE {
                    return Ok(Some(small.freeze()));
                }
            }
            match self.stage {
                Stage::Over if small.is_empty() => return Ok(None),
                Stage::Over => return Ok(Some(small.freeze())),
                Stage::Emptying => {
                    if let Some(gzip) = &mut self.gzip {
                        small.extend_from_slice(&gzip.finish());
                    }
                    self.stage = Stage::Over;
                }
                Stage::Reading => match self.source.next().await? {
                    Some(chunk) => self.scanner.push(chunk).map_err(SourceError::Scan)?,
                    None => {
                        self.scanner.finish().map_err(SourceError::Scan)?;
                        self.remember();
                        self.stage = Stage::Emptying;
                    }
                },
            }
        }
    }

    async fn decide(&mut self) -> Result<(), SourceError> {
        let Some(subject) = self.scanner.pending() else { return Ok(()) };
        let Question { scope, tracking, ask, .. } = &self.question;
        let standing = self.filter.standing(scope, subject, tracking, *ask).await.map_err(SourceError::Refused)?;
        let show = standing.is_shown();
        // A watch of more than that would not be served.
        if self.shown.bytes() <= SHOWN_LIMIT
            && let Some(uid) = Uid::parse(&subject.meta.uid)
        {
            self.shown.observe(uid, Version::of(&subject.meta.resource_version), standing);
        }
        self.scanner.decide(show);
        Ok(())
    }

    /// Leaves what was shown to the watch that will go on from here.
    fn remember(&mut self) {
        let Some(head) = self.scanner.head() else { return };
        if self.shown.bytes() > SHOWN_LIMIT {
            return;
        }
        let key = Key {
            scope: self.question.scope.clone(),
            version: head.resource_version.clone(),
            tracking: Arc::clone(&self.question.tracking),
        };
        let page = Page { first: !self.question.continued, last: head.more.is_empty() };
        self.filter.recall.listed(key, page, std::mem::take(&mut self.shown));
    }
}

/// What is held back of an answer until it begins, so that what goes wrong by then is told with a status of its own.
const HOLD: usize = 64 << 10;
/// Hidden items alone may take longer than a client waits for the head of its answer, which is 10 s.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);
/// From here on a piece goes out as it is.
const LARGE: usize = 16 << 10;
