//! Which resource a kind is, as the API server's discovery says.
//!
//! Owner references and events name kinds, requests name resources. A group's resources are asked for once and kept; a
//! kind that is not among them has the group asked for again, but not more often than every few seconds, so that
//! references to kinds that do not exist cost the API server next to nothing.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use common::Refusal;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use http::StatusCode;
use serde::Deserialize;
use tokio::time::Instant;

use super::{
    super::{
        metrics::Purpose,
        request::{ResourceRequest, Verb},
    },
    lookup::{Looked, Lookup, reason},
};

/// What is known of the groups.
pub(super) struct Discovery {
    lookup: Lookup,
    /// By group and version. The lock is held for a look or a change, never while the API server is asked.
    groups: Mutex<HashMap<String, Group>>,
}

/// A group, asked for by whoever came first, while the others wait for the same answer.
#[derive(Clone)]
struct Group {
    asked_at: Instant,
    kinds: Shared<BoxFuture<'static, Result<Arc<Kinds>, Refusal>>>,
}

type Kinds = HashMap<String, Kind>;

/// What a kind is called in a path.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kind {
    plural: String,
    namespaced: bool,
}

/// Group and version, checked to be no more than that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct GroupVersion<'a> {
    group: &'a str,
    version: &'a str,
}

/// Where the objects of a kind are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Located {
    /// In this collection.
    In(ResourceRequest),
    /// There is no such kind, yet.
    NoKind,
    /// Nowhere: a kind with a namespace, and none is given, or something that is not a kind at all.
    Nowhere,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceList {
    #[serde(default)]
    resources: Vec<ListedResource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListedResource {
    name: String,
    kind: String,
    namespaced: bool,
}

// === impl Discovery ===

impl Discovery {
    pub(super) fn new(lookup: Lookup) -> Self {
        Self { lookup, groups: Mutex::default() }
    }

    /// The collection of a kind's objects, in `namespace` if the kind has namespaces at all.
    pub(super) async fn locate(
        &self,
        api_version: &str,
        kind: &str,
        namespace: Option<&str>,
    ) -> Result<Located, Refusal> {
        let Some(GroupVersion { group, version }) = GroupVersion::parse(api_version) else {
            return Ok(Located::Nowhere);
        };
        let Some(kind) = self.kind(api_version, kind).await? else { return Ok(Located::NoKind) };
        let namespace = match (kind.namespaced, namespace) {
            (false, _) => None,
            (true, Some(namespace)) if is_path_segment(namespace) => Some(namespace.to_owned()),
            (true, _) => return Ok(Located::Nowhere),
        };
        Ok(Located::In(ResourceRequest {
            verb: Verb::List,
            group: group.to_owned(),
            version: version.to_owned(),
            namespace,
            resource: kind.plural,
            name: None,
            subresource: None,
            rest: false,
        }))
    }

    async fn kind(&self, group_version: &str, kind: &str) -> Result<Option<Kind>, Refusal> {
        let mut group = self.group(group_version, |group| group.asked_at.elapsed() >= REFRESH);
        loop {
            let kinds = group.kinds.clone().await;
            let fresh_for = match &kinds {
                Ok(kinds) => match kinds.get(kind) {
                    Some(kind) => return Ok(Some(kind.clone())),
                    None => UNKNOWN,
                },
                Err(_) => FAILED,
            };
            if group.asked_at.elapsed() < fresh_for {
                return kinds.map(|_| None);
            }
            let asked_at = group.asked_at;
            group = self.group(group_version, |group| group.asked_at <= asked_at);
        }
    }

    /// The group as it is known, or asked for again where that is stale.
    fn group(&self, group_version: &str, is_stale: impl FnOnce(&Group) -> bool) -> Group {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(group) = groups.get(group_version)
            && !is_stale(group)
        {
            return group.clone();
        }
        if groups.len() >= MAX_GROUPS && !groups.contains_key(group_version) {
            groups.clear();
        }
        let kinds = ask(self.lookup.clone(), group_version.to_owned()).boxed().shared();
        let group = Group { asked_at: Instant::now(), kinds };
        groups.insert(group_version.to_owned(), group.clone());
        group
    }
}

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Discovery")
    }
}

async fn ask(lookup: Lookup, group_version: String) -> Result<Arc<Kinds>, Refusal> {
    let path = match group_version.contains('/') {
        true => format!("/apis/{group_version}"),
        false => format!("/api/{group_version}"),
    };
    let resources = match lookup.json::<ResourceList>(&path, Purpose::Discovery).await {
        Ok(Looked::Found(list)) => list.resources,
        Ok(Looked::Answered(answer)) if answer.status() == StatusCode::NOT_FOUND => Vec::new(),
        Ok(Looked::Answered(answer)) => {
            return Err(Refusal::Undecidable(format!("{path}: {}", reason(answer).await).into()));
        }
        Err(error) => return Err(error.refusal()),
    };
    let mut kinds = Kinds::new();
    // Subresources have kinds too: `deployments/scale` is a Scale.
    for ListedResource { name, kind, namespaced } in resources {
        if !name.contains('/') {
            kinds.entry(kind).or_insert(Kind { plural: name, namespaced });
        }
    }
    Ok(Arc::new(kinds))
}

// === impl GroupVersion ===

impl<'a> GroupVersion<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (group, version) = text.split_once('/').unwrap_or(("", text));
        let part = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
        let group_ok = group.is_empty() != text.contains('/');
        let dots = |part: &str| part == "." || part == "..";
        let version_ok = !version.is_empty() && part(version) && !dots(version);
        (group_ok && part(group) && !dots(group) && version_ok).then_some(Self { group, version })
    }
}

/// What the API server takes for a name in a path (`IsValidPathSegmentName`). Whoever may write an owner reference may
/// write anything into it.
pub(super) fn is_path_segment(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '%'])
}

/// A kind that is unknown, after which it is asked for again: a CRD was just made.
const UNKNOWN: Duration = Duration::from_secs(3);
/// An error, likewise.
const FAILED: Duration = Duration::from_secs(1);
/// A kind that is known, lest it came back as something else.
const REFRESH: Duration = Duration::from_secs(600);
/// A cluster has some tens; whoever makes up names gets no more.
const MAX_GROUPS: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_groups_and_versions_make_a_path() {
        let parse = |text| GroupVersion::parse(text).map(|parsed| (parsed.group, parsed.version));
        assert_eq!(parse("v1"), Some(("", "v1")));
        assert_eq!(parse("apps/v1"), Some(("apps", "v1")));
        assert_eq!(parse("rbac.authorization.k8s.io/v1"), Some(("rbac.authorization.k8s.io", "v1")));
        for bad in ["", "/", "/v1", "apps/", "a/b/c", "../v1", "apps/..", "apps/v1?x", "apps/v1%2f", "ä/v1"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_names_make_a_path() {
        assert!(is_path_segment("web") && is_path_segment("system:node:x") && is_path_segment("read er+x"));
        for bad in ["", ".", "..", "a/b", "a%2fb"] {
            assert!(!is_path_segment(bad), "{bad}");
        }
    }
}
