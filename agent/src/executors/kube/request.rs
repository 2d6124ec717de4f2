//! A request line, read as the verb and the resource that kube-apiserver will see in it.
//!
//! The filter decides on what is read here, and the API server acts on what *it* reads, so the two must be one. The
//! rules are those of `RequestInfoFactory.NewRequestInfo` (`apiserver/pkg/endpoints/request/requestinfo.go`, 1.36) over
//! a path decoded as Go decodes it. A path that some other hop could normalise into another one (empty and dot segments,
//! encoded slashes) has no reading that is safe to decide on, and is refused. Pure: no IO.

use std::fmt;

use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::query::{self, Component};

/// What a request line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// Discovery, health, OpenAPI, or nothing that exists; see [`is_discovery`].
    NonResource {
        /// The decoded path, without a trailing slash.
        path: String,
    },
    /// An object, a collection, or a subresource of an object.
    Resource(ResourceRequest),
}

/// A request for an object, a collection, or a subresource of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResourceRequest {
    /// What is to be done.
    pub(crate) verb: Verb,
    /// The API group, empty for the core group.
    pub(crate) group: String,
    /// The version within the group.
    pub(crate) version: String,
    /// The namespace in the path. `None` also for a Namespace itself, which is no member of itself.
    pub(crate) namespace: Option<String>,
    /// The plural name of the resource.
    pub(crate) resource: String,
    /// The object's name; `None` for a collection.
    pub(crate) name: Option<String>,
    /// `status`, `log`, `exec`, …
    pub(crate) subresource: Option<String>,
    /// Whether the path goes on behind the subresource, as that of `pods/x/proxy/metrics` does.
    pub(crate) rest: bool,
}

/// The API's verbs, which are not HTTP's: a GET is a get, a list or a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Verb {
    /// Read one object or subresource.
    Get,
    /// Read a collection.
    List,
    /// Follow a collection or, by the legacy path only, one object.
    Watch,
    /// POST: create an object, or act through a subresource.
    Create,
    /// PUT.
    Update,
    /// PATCH, server-side apply included.
    Patch,
    /// Delete one object.
    Delete,
    /// Delete a collection.
    DeleteCollection,
    /// A method without a verb: only what is proxied to a pod, service or node can make sense of it.
    Other,
}

/// A review that asks the API server who may do what, and stores nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Review {
    /// What the caller itself may do, or who it is.
    Own,
    /// What somebody else may do, or whose token this is.
    Other,
}

/// Why a path is refused rather than interpreted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadPath {
    /// It does not begin with a slash.
    #[error("the path is not absolute")]
    NotAbsolute,
    /// A percent sign without two hexadecimal digits.
    #[error("the path has an invalid percent-escape")]
    Escape,
    /// It decodes to something else than UTF-8, or to a NUL.
    #[error("the path is not valid text")]
    Text,
    /// Two slashes in a row.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// `.` or `..`, encoded or not.
    #[error("the path has a dot segment")]
    DotSegment,
    /// `%2F` within a part that the API server interprets.
    #[error("the path has an encoded slash")]
    EncodedSlash,
    /// `/api/v1/watch` or `/api/v1/proxy` with nothing behind it.
    #[error("the path names no resource")]
    NoResource,
    /// `/api/v1/proxy/…`, which no supported API server serves.
    #[error("the legacy proxy path is not served")]
    LegacyProxy,
    /// More query parameters than the API server reads.
    #[error("the query has too many parameters")]
    TooManyParameters,
}

/// The decoded segments of a path, taken from the left.
struct Segments(std::iter::Peekable<std::vec::IntoIter<String>>);

// === impl Request ===

impl Request {
    /// Reads a request line. `path_and_query` is what was sent, undecoded.
    ///
    /// # Errors
    /// When the path cannot be read, or not safely.
    pub(crate) fn parse(method: &Method, path_and_query: &str) -> Result<Self, BadPath> {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        if query::has_too_many_parameters(query) {
            return Err(BadPath::TooManyParameters);
        }
        let mut segments = Segments::decode(path)?;
        let grouped = segments.peek() == Some("apis");
        let api = grouped || segments.peek() == Some("api");
        if !api || segments.len() < if grouped { 4 } else { 3 } {
            return Ok(Self::NonResource { path: segments.into_path()? });
        }
        segments.take()?;
        let group = if grouped { segments.take()?.unwrap_or_default() } else { String::new() };
        let version = segments.take()?.unwrap_or_default();
        let mut resource = segments.take()?.ok_or(BadPath::NoResource)?;
        let legacy_watch = resource == "watch";
        if legacy_watch || resource == "proxy" {
            let behind = segments.take()?.ok_or(BadPath::NoResource)?;
            if !legacy_watch {
                return Err(BadPath::LegacyProxy);
            }
            resource = behind;
        }
        let mut name = segments.take()?;
        let mut namespace = None;
        if resource == "namespaces"
            && let Some(next) = segments.peek()
            && !NAMESPACE_SUBRESOURCES.contains(&next)
        {
            namespace = name;
            resource = segments.take()?.ok_or(BadPath::NoResource)?;
            name = segments.take()?;
        }
        let subresource = segments.take()?;
        let verb = if legacy_watch { Verb::Watch } else { Verb::of(method, name.is_some(), query) };
        let rest = segments.len() > 0;
        Ok(Self::Resource(ResourceRequest { verb, group, version, namespace, resource, name, subresource, rest }))
    }
}

// === impl ResourceRequest ===

impl ResourceRequest {
    /// The path of the object, without subresource, percent-encoded. For a collection, the collection's path.
    pub(crate) fn object_path(&self) -> String {
        let mut path = self.collection_path();
        if let Some(name) = &self.name {
            push_segment(&mut path, name);
        }
        path
    }

    /// The path of the collection that the object is in, percent-encoded.
    pub(crate) fn collection_path(&self) -> String {
        let mut path = String::from(if self.group.is_empty() { "/api" } else { "/apis" });
        if !self.group.is_empty() {
            push_segment(&mut path, &self.group);
        }
        push_segment(&mut path, &self.version);
        if let Some(namespace) = &self.namespace {
            push_segment(&mut path, "namespaces");
            push_segment(&mut path, namespace);
        }
        push_segment(&mut path, &self.resource);
        path
    }

    /// Whether this is one of the reviews: they are answered, never stored, so there is no object to be managed.
    pub(crate) fn review(&self) -> Option<Review> {
        if self.verb != Verb::Create || self.name.is_some() {
            return None;
        }
        match (self.group.as_str(), self.resource.as_str()) {
            ("authorization.k8s.io", "selfsubjectaccessreviews" | "selfsubjectrulesreviews")
            | ("authentication.k8s.io", "selfsubjectreviews") => Some(Review::Own),
            ("authorization.k8s.io", "subjectaccessreviews" | "localsubjectaccessreviews")
            | ("authentication.k8s.io", "tokenreviews") => Some(Review::Other),
            _ => None,
        }
    }
}

// === impl Verb ===

impl Verb {
    fn of(method: &Method, named: bool, query: &str) -> Self {
        match *method {
            Method::GET | Method::HEAD if named => Self::Get,
            Method::GET | Method::HEAD if query::is_true(query, "watch") => Self::Watch,
            Method::GET | Method::HEAD => Self::List,
            Method::POST => Self::Create,
            Method::PUT => Self::Update,
            Method::PATCH => Self::Patch,
            Method::DELETE if named => Self::Delete,
            Method::DELETE => Self::DeleteCollection,
            _ => Self::Other,
        }
    }

    /// The verb as Kubernetes writes it.
    pub(crate) fn as_str(self) -> &'static str {
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

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Segments ===

impl Segments {
    /// Splits first and decodes then, so that an encoded slash is seen as what it is. One trailing slash counts for
    /// nothing, as with kube-apiserver, whose `splitPath` trims it.
    fn decode(path: &str) -> Result<Self, BadPath> {
        let mut raw: Vec<&str> = path.strip_prefix('/').ok_or(BadPath::NotAbsolute)?.split('/').collect();
        raw.pop_if(|last| last.is_empty());
        let decoded: Vec<String> = raw.into_iter().map(decode_segment).collect::<Result<_, _>>()?;
        Ok(Self(decoded.into_iter().peekable()))
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn peek(&mut self) -> Option<&str> {
        self.0.peek().map(String::as_str)
    }

    /// The next segment, as one that the API server interprets.
    fn take(&mut self) -> Result<Option<String>, BadPath> {
        match self.0.next() {
            Some(segment) if segment.is_empty() => Err(BadPath::EmptySegment),
            Some(segment) if segment.as_bytes().contains(&b'/') => Err(BadPath::EncodedSlash),
            other => Ok(other),
        }
    }

    fn into_path(mut self) -> Result<String, BadPath> {
        let mut path = String::new();
        while let Some(segment) = self.take()? {
            path.push('/');
            path.push_str(&segment);
        }
        if path.is_empty() {
            path.push('/');
        }
        Ok(path)
    }
}

/// Whether a PATCH of this content type is a server-side apply, which creates what does not exist.
/// Read as `PatchResource` (`apiserver/pkg/endpoints/handlers/patch.go`) reads it: up to the semicolon, as it stands.
pub(crate) fn is_apply(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default();
    matches!(media_type, "application/apply-patch+yaml" | "application/apply-patch+cbor")
}

/// Whether a non-resource path tells only what the API server is and offers, and not what is in the cluster.
pub(crate) fn is_discovery(path: &str) -> bool {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    matches!(
        segments.as_slice(),
        ["version"]
            | ["api"]
            | ["apis"]
            | ["api" | "apis", _]
            | ["apis", _, _]
            | ["openapi", "v2"]
            | ["openapi", "v3", ..]
            | ["healthz" | "livez" | "readyz", ..]
    )
}

fn decode_segment(raw: &str) -> Result<String, BadPath> {
    // Most have none, and this is done for every request.
    let segment = if raw.as_bytes().contains(&b'%') {
        let bytes = query::unescape(raw, Component::Path).ok_or(BadPath::Escape)?;
        String::from_utf8(bytes).map_err(|_| BadPath::Text)?
    } else {
        raw.to_owned()
    };
    if segment.as_bytes().contains(&0) {
        return Err(BadPath::Text);
    }
    // Also behind a subresource, where the API server does not care: a load balancer that resolves dots before it would
    // make another object of `…/proxy/../../x`.
    if segment.as_bytes().split(|byte| *byte == b'/').any(|part| part == b"." || part == b"..") {
        return Err(BadPath::DotSegment);
    }
    Ok(segment)
}

fn push_segment(path: &mut String, segment: &str) {
    path.push('/');
    path.extend(utf8_percent_encode(segment, ESCAPED));
}

/// All but the unreserved characters of RFC 3986.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `namespaceSubresources` of `requestinfo.go`: behind a Namespace's name these are not resources in it.
const NAMESPACE_SUBRESOURCES: [&str; 2] = ["status", "finalize"];

#[cfg(test)]
mod tests;
