//! Whether an object belongs to one that carries the mark, by its owner references.
//!
//! Each owner is looked up by its metadata and must have the very UID that the reference names: names are given again,
//! UIDs never. An owner that cannot be read does not hide another one that is managed; where none is, it leaves the
//! question open.

use std::collections::{HashSet, VecDeque};

use common::Refusal;
use http::StatusCode;

use super::{
    super::metrics::Purpose,
    discovery::{Discovery, ObjectName},
    lookup::{Looked, Lookup, reason},
    meta::{ObjectMeta, OwnerReference},
    namespaces::Namespaces,
    tracking::Tracking,
};

/// Follows owner references.
#[derive(Debug)]
pub(super) struct Owners<'f> {
    pub(super) lookup: &'f Lookup,
    pub(super) discovery: &'f Discovery,
    pub(super) argo: &'f Namespaces,
    pub(super) tracking: &'f Tracking,
}

/// An owner that is still to be looked at.
struct Pending {
    owner: OwnerReference,
    /// The namespace of the object that it owns: an owner is there, or in none.
    namespace: Option<String>,
    /// How many references lead to it.
    depth: usize,
}

// === impl Owners ===

impl Owners<'_> {
    /// Whether one of the owners, near or far, is managed.
    ///
    /// # Errors
    /// When none is, and one could not be read.
    pub(super) async fn any_managed(&self, meta: &ObjectMeta) -> Result<bool, Refusal> {
        let mut seen = HashSet::from([meta.uid.clone()]);
        let mut pending = VecDeque::new();
        push(&mut pending, meta, 1);
        let mut unread = None;
        let mut looked_at = 0;
        while let Some(Pending { owner, namespace, depth }) = pending.pop_front() {
            if owner.uid.is_empty() || !seen.insert(owner.uid.clone()) {
                continue;
            }
            if looked_at == MAX_LOOK_UPS {
                unread.get_or_insert(Refusal::Undecidable("the object has too many owners".into()));
                break;
            }
            looked_at += 1;
            match self.look_up(&owner, namespace.as_deref()).await {
                Ok(Some(Owner::Managed)) => return Ok(true),
                Ok(Some(Owner::Other(meta))) if depth < MAX_DEPTH => push(&mut pending, &meta, depth + 1),
                Ok(_) => {}
                Err(refusal) => {
                    unread.get_or_insert(refusal);
                }
            }
        }
        unread.map_or(Ok(false), Err)
    }

    /// Reads an owner. `None` where there is no such object.
    async fn look_up(&self, owner: &OwnerReference, namespace: Option<&str>) -> Result<Option<Owner>, Refusal> {
        let name = ObjectName { api_version: &owner.api_version, kind: &owner.kind, namespace, name: &owner.name };
        let Some(object) = self.discovery.locate(name).await? else { return Ok(None) };
        let meta = match self.lookup.metadata(&object.object_path(), Purpose::Owner).await {
            Ok(Looked::Found(meta)) => meta,
            Ok(Looked::Answered(answer)) if answer.status() == StatusCode::NOT_FOUND => return Ok(None),
            Ok(Looked::Answered(answer)) => return Err(Refusal::Undecidable(reason(answer).await.into())),
            Err(error) => return Err(error.refusal()),
        };
        if meta.uid != owner.uid {
            return Ok(None);
        }
        let managed = super::decide::is_argo_cds(&object, self.argo) || self.tracking.marks(&meta);
        Ok(Some(if managed { Owner::Managed } else { Owner::Other(meta) }))
    }
}

/// An owner, with the UID that the reference names.
enum Owner {
    Managed,
    Other(ObjectMeta),
}

fn push(pending: &mut VecDeque<Pending>, meta: &ObjectMeta, depth: usize) {
    let namespace = meta.namespace.clone();
    // More than can be looked at need not be kept.
    let owners = meta.owners.iter().take(MAX_LOOK_UPS + 1);
    pending.extend(owners.map(|owner| Pending { owner: owner.clone(), namespace: namespace.clone(), depth }));
}

/// How many references are followed, one behind the other.
const MAX_DEPTH: usize = 5;
/// How many owners are looked at for one object in all. Real ones have one or two on each step.
const MAX_LOOK_UPS: usize = 32;
