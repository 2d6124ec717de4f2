//! What a client holds that goes on from a version at which nobody remembers what was shown.
//!
//! A list at exactly that version tells what there was, and what each object said of itself. Whether an owner was managed
//! then is certain only where none has changed since; where it is not, nothing is certain, and the client lists again.

use std::time::Duration;

use common::Refusal;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    super::{
        Filter,
        ancestry::Following,
        item::{ItemKind, RowObject},
        list::Scanner,
        scope::Scope,
        source::{Source, SourceError},
        tracking::Tracking,
        uid::Uid,
    },
    shown::{SHOWN_LIMIT, Shown, Standing, Version},
};
use crate::executors::kube::{body::SendBody, metrics::Purpose, upstream::OUR_USER_AGENT};

/// What was shown of a collection at `version`. `None` where that cannot be known.
pub(super) async fn shown_at(
    filter: &Filter,
    scope: &Scope,
    tracking: &Tracking,
    following: &mut Following,
    version: &str,
) -> Result<Option<Shown>, SourceError> {
    let (Ok(number), Some(selectors)) = (version.parse::<u64>(), scope.selectors()) else { return Ok(None) };
    let collection = scope.collection_path();
    let mut shown = Shown::default();
    let mut more = String::new();
    loop {
        let page = match more.as_str() {
            "" => format!("resourceVersion={version}&resourceVersionMatch=Exact"),
            more => format!("continue={}", utf8_percent_encode(more, NON_ALPHANUMERIC)),
        };
        let target = format!("{collection}?limit={PAGE}&{page}{selectors}");
        let Some((headers, mut source)) = ask(filter, scope, &target).await? else { return Ok(None) };
        let Some(mut scanner) = Scanner::new(&headers, scope.items(), RowObject::AsItCame) else { return Ok(None) };
        while let Some(chunk) = source.next().await? {
            scanner.push(chunk).map_err(SourceError::Scan)?;
            while let Some(subject) = scanner.pending() {
                let standing = filter.standing_now(scope, subject, tracking, following).await;
                let standing = standing.map_err(SourceError::Refused)?;
                if let Standing::Others(hanging, _) = &standing
                    && !following.is_as_at(&hanging.links, number).await.map_err(SourceError::Refused)?
                {
                    return Ok(None);
                }
                if let Some(uid) = Uid::parse(&subject.meta.uid) {
                    shown.observe(uid, Version::of(&subject.meta.resource_version), standing);
                }
                scanner.decide(false);
                while scanner.output().is_some() {}
            }
            if shown.bytes() > SHOWN_LIMIT {
                return Ok(None);
            }
        }
        scanner.finish().map_err(SourceError::Scan)?;
        match scanner.head() {
            Some(head) if head.resource_version == version && head.more.is_empty() => return Ok(Some(shown)),
            Some(head) if head.resource_version == version => more.clone_from(&head.more),
            _ => return Ok(None),
        }
    }
}

/// `None` where the API server does not answer with a list.
async fn ask(filter: &Filter, scope: &Scope, target: &str) -> Result<Option<(HeaderMap, Source)>, SourceError> {
    let mut request = Request::new(SendBody::Empty);
    let Ok(uri) = target.parse() else { return Ok(None) };
    *request.uri_mut() = uri;
    let accept = match scope.items() {
        ItemKind::Object => METADATA,
        // The metadata of an event do not say what it is about.
        ItemKind::CoreEvent | ItemKind::Event => WHOLE,
    };
    request.headers_mut().insert(header::ACCEPT, accept);
    request.headers_mut().insert(header::USER_AGENT, OUR_USER_AGENT);
    let answer = tokio::time::timeout(DEADLINE, filter.upstream.send(request, Purpose::Object)).await;
    let answer = answer.map_err(|_| SourceError::Refused(TIMED_OUT))?;
    let (parts, body) = answer.map_err(|error| SourceError::Refused(error.refusal()))?.into_parts();
    if parts.status != StatusCode::OK {
        return Ok(None);
    }
    let source = Source::new(&parts.headers, body);
    Ok(source.map(|source| (parts.headers, source)))
}

const METADATA: HeaderValue =
    HeaderValue::from_static("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1");
const WHOLE: HeaderValue = HeaderValue::from_static("application/json");
const TIMED_OUT: Refusal =
    Refusal::UpstreamUnreachable(std::borrow::Cow::Borrowed("it did not answer a look-up in time"));
/// As client-go's pager (`defaultPageSize`, `tools/pager/pager.go`).
const PAGE: u32 = 500;
const DEADLINE: Duration = Duration::from_secs(10);
