//! An Application of Argo CD, of which only its destination is read.

use std::{borrow::Cow, sync::Arc};

use common::AgentName;
use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Resource, runtime::watcher};
use serde::Deserialize;

use super::{
    references::{Listed, Reference, References},
    watch::Keep,
};

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Application {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Spec,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Spec {
    #[serde(default)]
    destination: Destination,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Destination {
    /// Upstream takes it for the agent's name as it is (`redisproxy.go`).
    name: Option<String>,
}

// === impl Application ===

impl Application {
    pub(super) fn selection() -> watcher::Config {
        watcher::Config::default().page_size(PAGE)
    }

    fn agent(&self) -> Option<AgentName> {
        // What is no agent's name is the name of a cluster that is reached without us.
        AgentName::parse(self.spec.destination.name.as_deref()?).ok()
    }

    fn key(&self) -> (&str, &str) {
        (self.metadata.namespace.as_deref().unwrap_or_default(), self.metadata.name.as_deref().unwrap_or_default())
    }
}

impl Resource for Application {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Application".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "argoproj.io".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1alpha1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "applications".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Keep<Application> for Arc<References> {
    type Coming = Listed;

    fn listed(coming: &mut Listed, application: Application) {
        let (namespace, name) = application.key();
        coming.set(namespace, name, application.agent().map(Reference::without_server));
    }

    fn replace(&self, coming: Listed) {
        References::replace(self, coming);
    }

    fn apply(&self, application: Application) {
        let (namespace, name) = application.key();
        self.set(namespace, name, application.agent().map(Reference::without_server));
    }

    fn delete(&self, application: Application) {
        let (namespace, name) = application.key();
        self.set(namespace, name, None);
    }

    fn is_known(&self) -> bool {
        References::is_known(self)
    }
}

/// `kube` reads a page as a whole, and an Application with its history may have 100 KiB.
const PAGE: u32 = 50;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn agent(spec: &Value) -> Option<String> {
        let application = json!({"metadata": {"namespace": "ns", "name": "a"}, "spec": spec, "status": {"x": [1]}});
        let application: Application = serde_json::from_value(application).unwrap();
        application.agent().map(|agent| agent.to_string())
    }

    #[test]
    fn the_name_of_the_destination_is_the_agent() {
        assert_eq!(agent(&json!({"destination": {"name": "agent-1", "namespace": "x"}})), Some("agent-1".into()));
        for none in [
            json!({}),
            json!({"destination": {}}),
            json!({"destination": {"server": "https://kubernetes.default.svc"}}),
            json!({"destination": {"name": ""}}),
            json!({"destination": {"name": null}}),
            json!({"destination": {"name": "In-Cluster_1"}}),
        ] {
            assert_eq!(agent(&none), None, "{none}");
        }
    }
}
