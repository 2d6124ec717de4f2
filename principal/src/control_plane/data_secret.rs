//! A Secret of which some fields of its data are read, and nothing else.

use std::{borrow::Cow, fmt};

use k8s_openapi::{NamespaceResourceScope, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::Resource;
use serde::{Deserialize, de::DeserializeOwned};

/// `D` has a field for each key that is wanted. What is not a field there is skipped while the answer is read, and nothing
/// of it is ever shown.
#[derive(Clone, Deserialize)]
#[serde(bound = "D: Default + DeserializeOwned")]
pub(crate) struct DataSecret<D> {
    metadata: ObjectMeta,
    #[serde(default)]
    pub(crate) data: D,
}

impl<D> fmt::Debug for DataSecret<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataSecret").field("name", &self.metadata.name).finish_non_exhaustive()
    }
}

impl<D> Resource for DataSecret<D> {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        Secret::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        Secret::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        Secret::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        Secret::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
