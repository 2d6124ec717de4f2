//! An Application of Argo CD, of which nothing is read but its destination.

use std::borrow::Cow;

use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Resource, runtime::watcher};
use serde::Deserialize;

/// An Application.
#[derive(Debug, Clone, Deserialize)]
pub struct Application {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Spec,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Spec {
    #[serde(default)]
    destination: Destination,
}

/// Where an Application deploys to.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Destination {
    /// The name of a cluster.
    pub name: Option<String>,
    /// A namespace there.
    pub namespace: Option<String>,
}

// === impl Application ===

impl Application {
    /// How to list them: `kube` reads a page as a whole, and an Application with its history may have 100 KiB.
    #[must_use]
    pub fn selection() -> watcher::Config {
        watcher::Config::default().page_size(PAGE)
    }

    /// Its namespace and its name.
    #[must_use]
    pub fn key(&self) -> (&str, &str) {
        (self.metadata.namespace.as_deref().unwrap_or_default(), self.metadata.name.as_deref().unwrap_or_default())
    }

    /// Where it deploys to.
    #[must_use]
    pub fn destination(&self) -> &Destination {
        &self.spec.destination
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

const PAGE: u32 = 50;
