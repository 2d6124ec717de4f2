//! What is known of one owner: whether it is managed by itself, and if not, what it hangs on.

use std::sync::Arc;

use super::{
    super::{
        super::request::ResourceRequest, decide::is_argo_cds, meta::ObjectMeta, namespaces::Namespaces,
        tracking::Tracking, uid::Uid,
    },
    links::{Links, Places},
};

/// An owner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) uid: Option<Uid>,
    /// The `resourceVersion`, by which what is told late is known; 0 where it is no number. Versions of one resource
    /// can be compared since Kubernetes 1.35 (KEP-5504), and could be in fact since there is etcd behind them.
    pub(super) version: u64,
    /// Whether it carries the mark, or is Argo CD's own.
    pub(super) managed: bool,
    /// Its owners. Of no interest, and so left out, where it is managed by itself.
    pub(super) parents: Links,
}

/// Makes nodes of metadata, by certain settings.
#[derive(Debug)]
pub(super) struct Marker {
    pub(super) argo: Namespaces,
    pub(super) tracking: Arc<Tracking>,
    pub(super) places: Arc<Places>,
}

// === impl Node ===

impl Node {
    /// Whether this is the same for whoever asks. The version alone makes no difference: a status changes it.
    pub(super) fn says_the_same_as(&self, other: &Self) -> bool {
        (&self.uid, self.managed, &self.parents) == (&other.uid, other.managed, &other.parents)
    }
}

// === impl Marker ===

impl Marker {
    /// The node of an object of `collection`. A collection of the whole cluster leaves the namespace to the object.
    pub(super) fn node(&self, collection: &ResourceRequest, meta: &ObjectMeta) -> Node {
        let namespace = collection.namespace.as_deref().or(meta.namespace.as_deref());
        let managed = self.tracking.marks(meta) || self.is_argo_cds(collection, namespace);
        let parents = match managed {
            true => Links::default(),
            false => self.places.owners(&collection.group, &collection.resource, namespace, meta),
        };
        Node {
            uid: Uid::parse(&meta.uid),
            version: meta.resource_version.parse().unwrap_or_default(),
            managed,
            parents,
        }
    }

    fn is_argo_cds(&self, collection: &ResourceRequest, namespace: Option<&str>) -> bool {
        let namespace = collection.namespace.as_deref().or(namespace);
        is_argo_cds(&collection.group, &collection.resource, namespace, &self.argo)
    }
}
