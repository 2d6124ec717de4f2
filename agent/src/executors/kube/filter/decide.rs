//! The rule table: what each request must show before it passes. Pure.
//!
//! What is not said to pass does not. Whoever adds a row adds a line to the table in the tests.

use common::Refusal;
use http::{HeaderMap, Method, header::CONTENT_TYPE};

use super::{
    super::{
        query,
        request::{Request, ResourceRequest, Review, Verb, is_apply, is_discovery},
    },
    namespaces::Namespaces,
};

/// What is settled when the agent starts.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// Whose Applications, AppProjects and ApplicationSets are Argo CD's own.
    pub(super) argo: Namespaces,
    /// Whether what is created must be managed, too.
    pub(super) managed_creates_only: bool,
}

/// What to do with a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Forward it.
    Pass,
    /// Say no.
    Refuse(Refusal),
    /// Forward it, and show the answer if the object in it is managed.
    Read(ResourceRequest),
    /// Forward it if the object that it is about is managed.
    Guard(ResourceRequest, Absent),
    /// Forward it if the object in its body is managed.
    Create(ResourceRequest),
    /// Forward it, and show what is managed of the answer.
    List(ResourceRequest),
    /// Forward it, and show what is managed as it comes and goes.
    Watch(ResourceRequest),
}

/// What to do where the object that a request is about does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    /// Answer as the API server does.
    Answer,
    /// The request would create it.
    Create,
}

// === impl Rules ===

impl Rules {
    /// The rule for a request. `query` is the query as it came.
    pub(super) fn plan(&self, request: Request, method: &Method, query: &str, headers: &HeaderMap) -> Plan {
        let read_only = matches!(*method, Method::GET | Method::HEAD);
        let resource = match request {
            Request::NonResource { path } if read_only && is_discovery(&path) => return Plan::Pass,
            Request::NonResource { .. } => return Plan::Refuse(Refusal::NotManaged),
            Request::Resource(resource) => resource,
        };
        match resource.verb {
            // Nothing could be taken out of an answer that has no body.
            Verb::List | Verb::Watch if *method != Method::GET => return Plan::Refuse(Refusal::NotManaged),
            Verb::List => return Plan::List(resource),
            Verb::Watch => return Plan::Watch(resource),
            Verb::DeleteCollection => return Plan::Refuse(Refusal::DeleteCollectionNotAllowed),
            Verb::Get | Verb::Create | Verb::Update | Verb::Patch | Verb::Delete | Verb::Other => {}
        }
        if resource.name.is_none() {
            return match resource.verb {
                Verb::Create if !is_binding(&resource) => self.create(resource),
                _ => Plan::Refuse(Refusal::NotManaged),
            };
        }
        if self.is_argo_cds(&resource) {
            return Plan::Pass;
        }
        if resource.subresource.is_some() {
            return Plan::Guard(parent(resource), Absent::Answer);
        }
        match resource.verb {
            Verb::Get if *method == Method::GET && !hides_object(query) => Plan::Read(resource),
            Verb::Update => Plan::Guard(resource, Absent::Create),
            Verb::Patch if content_type(headers).is_some_and(is_apply) => Plan::Guard(resource, Absent::Create),
            _ => Plan::Guard(resource, Absent::Answer),
        }
    }

    fn is_argo_cds(&self, resource: &ResourceRequest) -> bool {
        is_argo_cds(&resource.group, &resource.resource, resource.namespace.as_deref(), &self.argo)
    }

    /// The rule for an object that is to be made.
    pub(super) fn create(&self, resource: ResourceRequest) -> Plan {
        let passes =
            !self.managed_creates_only || resource.review() == Some(Review::Own) || self.is_argo_cds(&resource);
        if passes { Plan::Pass } else { Plan::Create(resource) }
    }
}

/// Whether an object is Argo CD's own: what it is told to do, and managed without any mark.
pub(super) fn is_argo_cds(group: &str, resource: &str, namespace: Option<&str>, argo: &Namespaces) -> bool {
    group == "argoproj.io"
        && matches!(resource, "applications" | "appprojects" | "applicationsets")
        && namespace.is_some_and(|namespace| argo.contains(namespace))
}

/// Whether a create makes nothing: the legacy spelling of a Pod's `binding` changes the Pod that its body names
/// (`LegacyBindingREST` of `pkg/registry/core/pod/storage/storage.go`). The other spelling says which Pod in its path.
fn is_binding(resource: &ResourceRequest) -> bool {
    resource.group.is_empty() && resource.resource == "bindings"
}

/// What the body is said to be.
pub(super) fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok())
}

/// The object that a subresource belongs to.
fn parent(mut resource: ResourceRequest) -> ResourceRequest {
    let proxied = resource.group.is_empty()
        && resource.subresource.as_deref() == Some("proxy")
        && matches!(resource.resource.as_str(), "pods" | "services" | "nodes");
    if proxied && let Some(name) = &resource.name {
        // `name`, `name:port` or `scheme:name:port` (`SplitSchemeNamePort`, `apimachinery/pkg/util/net/port_split.go`).
        let parts: Vec<&str> = name.split(':').collect();
        let name = match parts.as_slice() {
            [_, name, _] => name,
            [name, ..] => name,
            [] => "",
        };
        resource.name = Some(name.to_owned());
    }
    resource.subresource = None;
    resource
}

/// Whether the answer may come without the object's metadata: a `Table` whose rows carry no object.
fn hides_object(query: &str) -> bool {
    query::first(query, "includeObject").is_some_and(|value| value == b"None")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan_with(managed_creates_only: bool, method: &str, target: &str, content_type: &str) -> Plan {
        let argo = Namespaces::new("argocd", &["team-*".to_owned()]);
        let rules = Rules { argo, managed_creates_only };
        let method = method.parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        let (_, query) = target.split_once('?').unwrap_or((target, ""));
        rules.plan(Request::parse(&method, target).unwrap(), &method, query, &headers)
    }

    fn plan(line: &str) -> String {
        let (method, target) = line.split_once(' ').unwrap();
        let (target, content_type) = target.split_once(' ').unwrap_or((target, "application/json"));
        match plan_with(false, method, target, content_type) {
            Plan::Pass => "pass".to_owned(),
            Plan::Refuse(refusal) => refusal.label().to_owned(),
            Plan::Read(resource) => format!("read {}", resource.object_path()),
            Plan::Guard(resource, Absent::Answer) => format!("guard {}", resource.object_path()),
            Plan::Guard(resource, Absent::Create) => format!("guard or create {}", resource.object_path()),
            Plan::Create(resource) => format!("create {}", resource.object_path()),
            Plan::List(resource) => format!("list {}", resource.object_path()),
            Plan::Watch(resource) => format!("watch {}", resource.object_path()),
        }
    }

    #[test]
    fn every_request_has_its_rule() {
        const POD: &str = "/api/v1/namespaces/shop/pods/web";
        const APP: &str = "/apis/argoproj.io/v1alpha1/namespaces";
        for (line, expected) in [
            ("GET /version", "pass"),
            ("HEAD /apis", "pass"),
            ("GET /apis/apps/v1?timeout=32s", "pass"),
            ("GET /openapi/v3/apis/apps/v1", "pass"),
            ("GET /readyz", "pass"),
            ("POST /version", "not_managed"),
            ("GET /", "not_managed"),
            ("GET /metrics", "not_managed"),
            ("GET /logs/kube-apiserver.log", "not_managed"),
            ("GET /.well-known/openid-configuration", "not_managed"),
            ("GET /api/v1/pods", "list /api/v1/pods"),
            ("HEAD /api/v1/pods", "not_managed"),
            ("HEAD /api/v1/pods?watch=1", "not_managed"),
            ("GET /api/v1/namespaces/shop/pods?watch=1", "watch /api/v1/namespaces/shop/pods"),
            ("GET /api/v1/watch/namespaces/shop/pods/web", "watch /api/v1/namespaces/shop/pods/web"),
            ("GET /api/v1/namespaces/shop/events?fieldSelector=a%3Db", "list /api/v1/namespaces/shop/events"),
            ("DELETE /api/v1/namespaces/shop/pods", "delete_collection_not_allowed"),
            ("PUT /api/v1/namespaces/shop/pods", "not_managed"),
            ("OPTIONS /api/v1/namespaces/shop/pods", "not_managed"),
            ("POST /api/v1/namespaces/shop/pods", "pass"),
            ("POST /api/v1/namespaces/shop/bindings", "not_managed"),
            ("POST /api/v1/namespaces/shop/pods/web/binding", "guard /api/v1/namespaces/shop/pods/web"),
            ("POST /apis/shop.example/v1/namespaces/shop/bindings", "pass"),
            ("POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "pass"),
            ("GET /api/v1/namespaces/shop/pods/web", "read /api/v1/namespaces/shop/pods/web"),
            ("GET /api/v1/namespaces/shop/pods/web?watch=1", "read /api/v1/namespaces/shop/pods/web"),
            ("GET /api/v1/namespaces/shop/pods/web?includeObject=Object", "read /api/v1/namespaces/shop/pods/web"),
            ("GET /api/v1/namespaces/shop/pods/web?includeObject=None", "guard /api/v1/namespaces/shop/pods/web"),
            ("HEAD /api/v1/namespaces/shop/pods/web", "guard /api/v1/namespaces/shop/pods/web"),
            ("GET /api/v1/namespaces/shop", "read /api/v1/namespaces/shop"),
            ("PUT /api/v1/namespaces/shop/finalize", "guard /api/v1/namespaces/shop"),
            ("PUT /api/v1/namespaces/shop/pods/web", "guard or create /api/v1/namespaces/shop/pods/web"),
            ("DELETE /api/v1/namespaces/shop/pods/web", "guard /api/v1/namespaces/shop/pods/web"),
            ("POST /api/v1/namespaces/shop/pods/web", "guard /api/v1/namespaces/shop/pods/web"),
            ("OPTIONS /api/v1/namespaces/shop/pods/web", "guard /api/v1/namespaces/shop/pods/web"),
        ] {
            assert_eq!(plan(line), expected, "{line}");
        }
        let guard = format!("guard {POD}");
        for subresource in ["status", "log?follow=true", "exec?command=sh", "portforward", "eviction", "proxy/x/y"] {
            for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
                assert_eq!(plan(&format!("{method} {POD}/{subresource}")), guard, "{method} {subresource}");
            }
        }
        for (content_type, expected) in [
            ("application/merge-patch+json", guard.as_str()),
            ("application/apply-patch+yaml", &format!("guard or create {POD}")),
        ] {
            assert_eq!(plan(&format!("PATCH {POD} {content_type}")), expected);
            assert_eq!(plan(&format!("PATCH {POD}/status {content_type}")), guard);
        }
        for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE"] {
            for resource in ["applications", "appprojects", "applicationsets"] {
                for namespace in ["argocd", "team-a"] {
                    assert_eq!(plan(&format!("{method} {APP}/{namespace}/{resource}/x")), "pass");
                    assert_eq!(plan(&format!("{method} {APP}/{namespace}/{resource}/x/status")), "pass");
                }
                assert_ne!(plan(&format!("{method} {APP}/shop/{resource}/x")), "pass");
            }
            assert_ne!(plan(&format!("{method} {APP}/argocd/workflows/x")), "pass");
        }
        let applications = format!("{APP}/argocd/applications");
        assert_eq!(plan(&format!("GET {applications}")), format!("list {applications}"));
        assert_eq!(plan(&format!("DELETE {APP}/argocd/applications")), "delete_collection_not_allowed");
    }

    #[test]
    fn creates_are_looked_at_only_where_they_must_be_managed() {
        let create = |target| plan_with(true, "POST", target, "application/json");
        assert!(matches!(create("/api/v1/namespaces/shop/pods"), Plan::Create(_)));
        assert!(matches!(create("/apis/authentication.k8s.io/v1/tokenreviews"), Plan::Create(_)));
        assert_eq!(create("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"), Plan::Pass);
        assert_eq!(create("/apis/argoproj.io/v1alpha1/namespaces/argocd/applications"), Plan::Pass);
    }

    #[test]
    fn a_proxied_name_may_have_a_scheme_and_a_port() {
        for name in ["web", "web:80", "https:web:443", "http:web:", ":web:"] {
            let line = format!("GET /api/v1/namespaces/shop/services/{name}/proxy/x");
            assert_eq!(plan(&line), "guard /api/v1/namespaces/shop/services/web", "{name}");
        }
        assert_eq!(
            plan("GET /apis/rbac.authorization.k8s.io/v1/clusterroles/system:node"),
            "read /apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode"
        );
    }
}
