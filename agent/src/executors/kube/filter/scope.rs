//! Which collection a list or a watch is of.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    super::{
        query,
        request::{ResourceRequest, Verb},
    },
    item::ItemKind,
};

/// A collection, or the part of it that a request selects.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Scope {
    /// The API group, empty for the core group.
    pub(super) group: String,
    /// The version within the group.
    pub(super) version: String,
    /// The plural name of the resource.
    pub(super) resource: String,
    /// The namespace; `None` for all of them, and for what has none.
    pub(super) namespace: Option<String>,
    /// The object, where the legacy path of a watch names one.
    name: Option<String>,
    /// The selectors as the API server reads them.
    label_selector: Vec<u8>,
    field_selector: Vec<u8>,
}

// === impl Scope ===

impl Scope {
    /// `query` is the query as it came.
    pub(super) fn new(request: ResourceRequest, query: &str) -> Self {
        let selector = |key| query::first(query, key).unwrap_or_default();
        Self {
            label_selector: selector("labelSelector"),
            field_selector: selector("fieldSelector"),
            group: request.group,
            version: request.version,
            resource: request.resource,
            namespace: request.namespace,
            name: request.name,
        }
    }

    /// What its objects are.
    pub(super) fn items(&self) -> ItemKind {
        match (self.group.as_str(), self.resource.as_str()) {
            ("", "events") => ItemKind::CoreEvent,
            ("events.k8s.io", "events") => ItemKind::Event,
            _ => ItemKind::Object,
        }
    }

    /// Whether its objects are Namespaces, which Applications make visible by deploying to them.
    pub(super) fn is_namespaces(&self) -> bool {
        self.group.is_empty() && self.resource == "namespaces"
    }

    /// Its path.
    pub(super) fn collection_path(&self) -> String {
        self.request(self.namespace.as_deref(), None).collection_path()
    }

    /// Its selectors as further parameters of a query; `None` where they are no text.
    pub(super) fn selectors(&self) -> Option<String> {
        let mut fields = String::from_utf8(self.field_selector.clone()).ok()?;
        if let Some(name) = &self.name {
            let comma = if fields.is_empty() { "" } else { "," };
            fields = format!("{fields}{comma}metadata.name={name}");
        }
        let labels = std::str::from_utf8(&self.label_selector).ok()?;
        let mut parameters = String::new();
        for (key, value) in [("labelSelector", labels), ("fieldSelector", &fields)] {
            if !value.is_empty() {
                parameters.extend(["&", key, "="]);
                parameters.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
            }
        }
        Some(parameters)
    }

    /// The request that would get one of its objects.
    pub(super) fn object(&self, namespace: Option<&str>, name: &str) -> ResourceRequest {
        self.request(namespace, Some(name))
    }

    fn request(&self, namespace: Option<&str>, name: Option<&str>) -> ResourceRequest {
        ResourceRequest {
            verb: Verb::Get,
            group: self.group.clone(),
            version: self.version.clone(),
            namespace: namespace.map(str::to_owned),
            resource: self.resource.clone(),
            name: name.map(str::to_owned),
            subresource: None,
            rest: false,
        }
    }
}
