//! Events of one object: listed where the object is managed.
//!
//! Argo CD asks for the events of a name, a namespace and a UID, and does not say of which kind. So the same list is
//! first read here, for what its events are about, and each of those objects must be managed.

use std::collections::BTreeSet;

use common::Refusal;
use http::Response;
use hyper::body::Incoming;
use serde::Deserialize;

use super::{
    super::{metrics::Purpose, query, request::ResourceRequest},
    Filter,
    decide::is_argo_cds,
    discovery::ObjectName,
    lookup::{Looked, reason},
    selector::EventSelector,
};

/// Whether the events may be listed.
#[derive(Debug)]
pub(super) enum Listing {
    /// All are about managed objects.
    Managed,
    /// The API server does not list them.
    Answered(Response<Incoming>),
}

#[derive(Deserialize)]
struct EventList {
    #[serde(default)]
    metadata: ListMeta,
    #[serde(default)]
    items: Vec<Event>,
}

#[derive(Deserialize, Default)]
struct ListMeta {
    #[serde(rename = "continue", default)]
    more: String,
}

/// An event, in the core group or in its own.
#[derive(Deserialize)]
struct Event {
    #[serde(alias = "regarding")]
    #[serde(rename = "involvedObject")]
    about: Reference,
}

/// What an event is about.
#[derive(Debug, Default, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase", default)]
struct Reference {
    api_version: String,
    kind: String,
    namespace: String,
    name: String,
    uid: String,
}

// === impl Filter ===

impl Filter {
    /// Decides on a list of events. `query` is the query as it came.
    pub(super) async fn list_events(
        &self,
        resource: &ResourceRequest,
        selector: &EventSelector,
        query: &str,
    ) -> Result<Listing, Refusal> {
        let path = format!("{}?{}&limit={PAGE}", resource.collection_path(), only_selector(query));
        let list = match self.lookup.json::<EventList>(&path, Purpose::Events).await {
            Ok(Looked::Found(list)) => list,
            Ok(Looked::Answered(answer)) => return Ok(Listing::Answered(answer)),
            Err(error) => return Err(error.refusal()),
        };
        let about: BTreeSet<Reference> = list.items.into_iter().map(|event| event.about).collect();
        let one = selector.names_one_object(resource.namespace.as_deref());
        if !list.metadata.more.is_empty() || about.len() > MAX_OBJECTS || (about.is_empty() && !one) {
            return Err(Refusal::ListNotAllowed);
        }
        for object in &about {
            if !self.is_managed(object).await? {
                return Err(Refusal::ListNotAllowed);
            }
        }
        Ok(Listing::Managed)
    }

    async fn is_managed(&self, about: &Reference) -> Result<bool, Refusal> {
        let name = ObjectName {
            api_version: if about.api_version.is_empty() { "v1" } else { &about.api_version },
            kind: &about.kind,
            namespace: Some(about.namespace.as_str()).filter(|namespace| !namespace.is_empty()),
            name: &about.name,
        };
        let Some(object) = self.discovery.locate(name).await? else { return Ok(false) };
        let meta = match self.lookup.metadata(&object.object_path(), Purpose::Object).await {
            Ok(Looked::Found(meta)) => meta,
            Ok(Looked::Answered(answer)) if answer.status() == http::StatusCode::NOT_FOUND => return Ok(false),
            Ok(Looked::Answered(answer)) => return Err(Refusal::Undecidable(reason(answer).await.into())),
            Err(error) => return Err(error.refusal()),
        };
        if meta.uid != about.uid {
            return Ok(false);
        }
        Ok(is_argo_cds(&object, &self.rules.argo) || self.judge(&meta).await?.is_some())
    }
}

/// The field selector alone, as it came: what else a query says can only make the list shorter, or it a watch.
fn only_selector(query: &str) -> String {
    let is_selector = |pair: &&str| query::first(pair, "fieldSelector").is_some();
    query.split('&').filter(is_selector).collect::<Vec<_>>().join("&")
}

/// More than one page of events is more than one object has.
const PAGE: usize = 500;
/// Objects of one name and of several kinds: a Deployment, a Service, an Ingress, …
const MAX_OBJECTS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_the_selector_is_taken_over() {
        assert_eq!(
            only_selector("limit=1&field%53elector=a%3Db&labelSelector=x&resourceVersion=1&fieldSelector=c"),
            "field%53elector=a%3Db&fieldSelector=c"
        );
    }

    #[test]
    fn both_kinds_of_events_say_what_they_are_about() {
        for member in ["involvedObject", "regarding"] {
            let event = format!(
                r#"{{"{member}":{{"kind":"Pod","name":"web","namespace":"shop","uid":"1","apiVersion":"v1"}}}}"#
            );
            let event: Event = serde_json::from_str(&event).unwrap();
            let expected = Reference {
                api_version: "v1".to_owned(),
                kind: "Pod".to_owned(),
                namespace: "shop".to_owned(),
                name: "web".to_owned(),
                uid: "1".to_owned(),
            };
            assert_eq!(event.about, expected);
        }
    }
}
