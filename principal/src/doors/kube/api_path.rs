//! A request line read as verb and resource, for audit lines and metrics alone.
//!
//! Total: whatever does not look like a resource is read as none. Nothing is decided by it; what may pass is decided at
//! the agent, by a reader that refuses what it cannot read.

use http::Method;
use percent_encoding::percent_decode_str;

/// What a request line seems to ask for. The parts are as they stand in the path, still percent-encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ApiPath<'a> {
    pub(super) verb: Verb,
    /// `None` where the path is no resource's: discovery, health, OpenAPI.
    pub(super) resource: Option<Resource<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resource<'a> {
    /// Empty for the core group.
    pub(super) group: &'a str,
    pub(super) version: &'a str,
    pub(super) namespace: Option<&'a str>,
    pub(super) resource: &'a str,
    pub(super) name: Option<&'a str>,
    pub(super) subresource: Option<&'a str>,
}

/// The API's verbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
    Other,
}

// === impl ApiPath ===

impl<'a> ApiPath<'a> {
    pub(super) fn read(method: &Method, path: &'a str, query: Option<&str>) -> Self {
        let by_method = Verb::of_method(method);
        let Some((resource, watched)) = Resource::read(path) else { return Self { verb: by_method, resource: None } };
        let verb = match (by_method, resource.name) {
            (Verb::Get, _) if watched => Verb::Watch,
            (Verb::Get, None) if asks_to_watch(query.unwrap_or_default()) => Verb::Watch,
            (Verb::Get, None) => Verb::List,
            (Verb::Delete, None) => Verb::DeleteCollection,
            (verb, _) => verb,
        };
        Self { verb, resource: Some(resource) }
    }

    /// Whether the answer goes on for as long as somebody listens, so that its duration says nothing.
    pub(super) fn is_stream(&self) -> bool {
        let streams = ["attach", "exec", "log", "portforward", "proxy"];
        let subresource = self.resource.and_then(|resource| resource.subresource);
        self.verb == Verb::Watch || subresource.is_some_and(|subresource| streams.contains(&subresource))
    }
}

// === impl Resource ===

impl<'a> Resource<'a> {
    /// Also returns whether the path is one of the legacy kind that watches.
    fn read(path: &'a str) -> Option<(Self, bool)> {
        let mut parts = path.trim_matches('/').split('/').peekable();
        let group = match parts.next()? {
            "api" => "",
            "apis" => parts.next()?,
            _ => return None,
        };
        let version = parts.next()?;
        let watched = parts.next_if_eq(&"watch").is_some();
        let mut resource = parts.next()?;
        let mut name = parts.next();
        let mut subresource = parts.next();
        let mut namespace = None;
        // A Namespace's own subresources look like resources within it.
        if resource == "namespaces"
            && let Some(within) = subresource
            && !["status", "finalize"].contains(&within)
        {
            namespace = name;
            resource = within;
            name = parts.next();
            subresource = parts.next();
        }
        Some((Self { group, version, namespace, resource, name, subresource }, watched))
    }
}

// === impl Verb ===

impl Verb {
    fn of_method(method: &Method) -> Self {
        match *method {
            Method::GET | Method::HEAD => Self::Get,
            Method::POST => Self::Create,
            Method::PUT => Self::Update,
            Method::PATCH => Self::Patch,
            Method::DELETE => Self::Delete,
            _ => Self::Other,
        }
    }

    /// The verb as RBAC writes it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Other => "other",
        }
    }
}

/// As the API server reads it: anything but a false value, in any encoding.
fn asks_to_watch(query: &str) -> bool {
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let is_watch = |key: &str| key == "watch" || (key.contains('%') && percent_decode_str(key).eq(*b"watch"));
    pairs.find(|(key, _)| is_watch(key)).is_some_and(|(_, value)| {
        let value = percent_decode_str(value).decode_utf8_lossy();
        value != "0" && !value.eq_ignore_ascii_case("false")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &Method, target: &str) -> String {
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let ApiPath { verb, resource } = ApiPath::read(method, path, query);
        let verb = verb.as_str();
        let Some(Resource { group, version, namespace, resource, name, subresource }) = resource else {
            return format!("{verb} {path}");
        };
        let or = |part: Option<&str>| part.unwrap_or("-").to_owned();
        format!("{verb} {group}/{version} {} {resource} {} {}", or(namespace), or(name), or(subresource))
    }

    #[test]
    fn reads_what_kubernetes_clients_send() {
        use Method as M;
        for (method, target, expected) in [
            (M::GET, "/version", "get /version"),
            (M::GET, "/api", "get /api"),
            (M::GET, "/api/v1", "get /api/v1"),
            (M::GET, "/apis/apps", "get /apis/apps"),
            (M::GET, "/apis/apps/v1", "get /apis/apps/v1"),
            (M::GET, "/openapi/v3/apis/apps/v1", "get /openapi/v3/apis/apps/v1"),
            (M::GET, "/", "get /"),
            (M::OPTIONS, "*", "other *"),
            (M::GET, "/api/v1/pods", "list /v1 - pods - -"),
            (M::GET, "/api/v1/namespaces/a/pods?limit=5", "list /v1 a pods - -"),
            (M::GET, "/api/v1/namespaces/a/pods/b", "get /v1 a pods b -"),
            (M::HEAD, "/api/v1/namespaces/a/pods/b", "get /v1 a pods b -"),
            (M::GET, "/api/v1/namespaces/a/pods/b/log?follow=true", "get /v1 a pods b log"),
            (M::POST, "/api/v1/namespaces/a/pods/b/exec?command=x", "create /v1 a pods b exec"),
            (M::GET, "/api/v1/namespaces/a/pods/b/proxy/x/y", "get /v1 a pods b proxy"),
            (M::GET, "/api/v1/namespaces", "list /v1 - namespaces - -"),
            (M::GET, "/api/v1/namespaces/a", "get /v1 - namespaces a -"),
            (M::PUT, "/api/v1/namespaces/a/finalize", "update /v1 - namespaces a finalize"),
            (M::PATCH, "/api/v1/namespaces/a/status", "patch /v1 - namespaces a status"),
            (M::PATCH, "/apis/apps/v1/namespaces/a/deployments/d/scale", "patch apps/v1 a deployments d scale"),
            (M::DELETE, "/apis/apps/v1/namespaces/a/deployments/d", "delete apps/v1 a deployments d -"),
            (M::DELETE, "/apis/apps/v1/namespaces/a/deployments", "deletecollection apps/v1 a deployments - -"),
            (M::POST, "/apis/g/v1/things", "create g/v1 - things - -"),
            (M::GET, "/api/v1/watch/namespaces/a/pods", "watch /v1 a pods - -"),
            (M::GET, "/api/v1/watch/pods/b", "watch /v1 - pods b -"),
            (M::GET, "/apis/rbac/v1/roles/read%20er+x", "get rbac/v1 - roles read%20er+x -"),
        ] {
            assert_eq!(read(&method, target), expected, "{target}");
        }
    }

    #[test]
    fn a_watch_has_many_spellings() {
        for query in ["watch=true", "watch=1", "watch", "watch=", "a=b&watch=TRUE", "w%61tch=yes", "watch=t%72ue"] {
            assert_eq!(read(&Method::GET, &format!("/api/v1/pods?{query}")), "watch /v1 - pods - -", "{query}");
        }
        for query in ["watch=false", "watch=0", "watch=False", "watching=1", "", "a=watch", "watch=%30"] {
            assert_eq!(read(&Method::GET, &format!("/api/v1/pods?{query}")), "list /v1 - pods - -", "{query}");
        }
        assert_eq!(read(&Method::GET, "/api/v1/namespaces/a/pods/b?watch=1"), "get /v1 a pods b -");
    }

    proptest::proptest! {
        #[test]
        fn never_panics(path in "[/a-z%*]{0,40}", query in ".{0,20}") {
            ApiPath::read(&Method::GET, &path, Some(&query)).is_stream();
        }
    }
}
