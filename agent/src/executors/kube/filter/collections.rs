//! Lists and watches: asked for in encodings that can be read, and answered with what is managed.

use std::sync::Arc;

use common::Refusal;
use http::{
    HeaderValue, Uri,
    header::{ACCEPT, CONNECTION, UPGRADE},
    uri::PathAndQuery,
};
use hyper::body::Incoming;

use super::{
    super::{body::AnswerBody, metrics::Decision, query, request::ResourceRequest, service::Inbound},
    Answer, Filter, accept,
    ancestry::Ask,
    item::RowObject,
    list::answer::{self as list, FilteredList},
    scope::Scope,
    verbatim,
    watch::{
        answer::{self as watch, Beginning, FilteredWatch},
        websocket::Handshake,
    },
};

/// What was asked of the API server in place of what the client asked.
struct Asked {
    accept: Option<HeaderValue>,
    rows: RowObject,
    /// The query as it went out.
    query: String,
    answer: http::Response<Incoming>,
}

// === impl Filter ===

impl Filter {
    /// Answers a list with what is managed of it.
    pub(super) async fn list(
        self: &Arc<Self>,
        resource: ResourceRequest,
        inbound: Inbound,
    ) -> Result<(Decision, Answer), Refusal> {
        let tracking = self.settings.tracking().await?;
        let scope = Scope::new(resource, query_of(&inbound));
        let Asked { rows, query, answer, .. } = self.ask(&scope, inbound).await?;
        if !answer.status().is_success() {
            return Ok(verbatim(answer));
        }
        let limit = query::first(&query, "limit").and_then(|limit| String::from_utf8(limit).ok()?.parse::<u32>().ok());
        let question = list::Question {
            scope,
            tracking,
            rows,
            ask: if limit.is_some_and(|limit| (1..=SMALL).contains(&limit)) { Ask::Each } else { Ask::Pages },
            continued: query::first(&query, "continue").is_some_and(|token| !token.is_empty()),
        };
        Ok((Decision::Listed, FilteredList::answer(Arc::clone(self), question, answer).await?))
    }

    /// Answers a watch with what is managed, as it comes and goes.
    pub(super) async fn watch(
        self: &Arc<Self>,
        resource: ResourceRequest,
        inbound: Inbound,
    ) -> Result<(Decision, Answer), Refusal> {
        let tracking = self.settings.tracking().await?;
        let scope = Scope::new(resource, query_of(&inbound));
        let handshake = Handshake::of(&inbound.parts)?;
        let Asked { accept, rows, query, answer } = self.ask(&scope, inbound).await?;
        if !answer.status().is_success() {
            return Ok(verbatim(answer));
        }
        let question = watch::Question {
            scope,
            tracking,
            accept,
            rows,
            include_object: only(&query, "includeObject"),
            beginning: beginning(&query),
            bookmarks: query::is_true(&query, "allowWatchBookmarks"),
        };
        let answer = FilteredWatch::answer(Arc::clone(self), question, answer)?;
        let answer = match handshake {
            Some(handshake) => handshake.answer(answer.into_body()).map(AnswerBody::Socket),
            None => answer.map(AnswerBody::Filtered),
        };
        Ok((Decision::Watched, answer))
    }

    async fn ask(&self, scope: &Scope, mut inbound: Inbound) -> Result<Asked, Refusal> {
        let (path, query) = inbound.target().split_once('?').unwrap_or((inbound.target(), ""));
        let asked = accept::ask(&inbound.parts.headers, query, scope.items());
        let (accept, rows, query) = (asked.accept, asked.rows, asked.query.into_owned());
        let accept = accept.or_else(|| inbound.parts.headers.get(ACCEPT).cloned());
        let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        let target =
            PathAndQuery::try_from(target).map_err(|_| Refusal::BadRequest("the path cannot be sent".into()))?;
        inbound.parts.uri = Uri::from(target);
        let headers = &mut inbound.parts.headers;
        if let Some(accept) = &accept {
            headers.insert(ACCEPT, accept.clone());
        }
        // What the API server would say in a WebSocket could not be looked at.
        headers.remove(UPGRADE);
        headers.remove(CONNECTION);
        let answer = self.send(inbound).await?;
        Ok(Asked { accept, rows, query, answer })
    }
}

fn query_of(inbound: &Inbound) -> &str {
    inbound.target().split_once('?').map_or("", |(_, query)| query)
}

/// The pairs of a query that give a parameter, as they came.
fn only(query: &str, key: &str) -> String {
    query.split('&').filter(|pair| query::first(pair, key).is_some()).collect::<Vec<_>>().join("&")
}

/// Where a watch with this query begins: at a version, or with all there is
/// (<https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-watch>).
fn beginning(query: &str) -> Beginning {
    let version = query::first(query, "resourceVersion").and_then(|version| String::from_utf8(version).ok());
    match version {
        Some(version) if !version.is_empty() && version != "0" && !query::is_true(query, "sendInitialEvents") => {
            Beginning::After(version)
        }
        _ => Beginning::Now,
    }
}

/// For so few items it is cheaper to ask for each owner than for all that there are.
const SMALL: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_begins_where_its_query_says() {
        let after = |version: &str| Beginning::After(version.to_owned());
        for (query, expected) in [
            ("watch=1", Beginning::Now),
            ("watch=1&resourceVersion=", Beginning::Now),
            ("watch=1&resourceVersion=0", Beginning::Now),
            ("watch=1&resourceVersion=7", after("7")),
            ("watch=1&resource%56ersion=%37&resourceVersion=0", after("7")),
            ("resourceVersion=7&sendInitialEvents=true", Beginning::Now),
            ("resourceVersion=7&sendInitialEvents=false", after("7")),
        ] {
            assert_eq!(beginning(query), expected, "{query}");
        }
    }

    #[test]
    fn only_what_is_said_of_rows_is_said_again() {
        assert_eq!(only("watch=1&includeObject=Object&x", "includeObject"), "includeObject=Object");
        assert_eq!(only("watch=1", "includeObject"), "");
    }
}
