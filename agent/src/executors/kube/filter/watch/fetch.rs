//! An object as it is at this moment, for an event that the API server does not make.

use std::time::Duration;

use bytes::Bytes;
use common::Refusal;
use http::{Request, StatusCode, header};

use super::{
    super::{Filter, item::ITEM_LIMIT, lookup::reason, source::SourceError},
    answer::Question,
    shown::Hanging,
};
use crate::executors::kube::{
    body::{self, SendBody},
    metrics::Purpose,
    upstream::OUR_USER_AGENT,
};

/// The object as it is now, encoded as in the watch. `None` where there is none.
pub(super) async fn fetch(
    filter: &Filter,
    question: &Question,
    hanging: &Hanging,
) -> Result<Option<Bytes>, SourceError> {
    let path = question.scope.object(hanging.namespace.as_deref(), &hanging.name).object_path();
    let target = match question.include_object.as_str() {
        "" => path.clone(),
        query => format!("{path}?{query}"),
    };
    let refused = |why: &str| SourceError::Refused(Refusal::Undecidable(why.to_owned().into()));
    let asking = async {
        let mut request = Request::new(SendBody::Empty);
        *request.uri_mut() = target.parse().map_err(|_| refused("the object has no path"))?;
        if let Some(accept) = &question.accept {
            request.headers_mut().insert(header::ACCEPT, accept.clone());
        }
        request.headers_mut().insert(header::USER_AGENT, OUR_USER_AGENT);
        let answer = filter.upstream.send(request, Purpose::Object).await;
        let answer = answer.map_err(|error| SourceError::Refused(error.refusal()))?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(refused(&reason(answer).await)),
        }
        let body = body::read(answer.into_body(), ITEM_LIMIT).await.map_err(|error| refused(&error.to_string()))?;
        Ok(Some(body))
    };
    tokio::time::timeout(DEADLINE, asking).await.unwrap_or_else(|_| Err(refused("an object could not be read in time")))
}

/// As for any other look-up, with a body that may be large.
const DEADLINE: Duration = Duration::from_secs(10);
