//! What an object hangs on, as small as can be: a watch keeps it for every object that it shows.
//!
//! Names where an owner is to be found and which UID it must have, and nothing else of the object.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    super::{item::Reference, meta::ObjectMeta, uid::Uid},
    inferred::inferred,
};

/// What an object hangs on: its owners, or what an event is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Links {
    links: Box<[Link]>,
    /// The one link leads to an object that counts itself, also after its end: what an event is about.
    about: bool,
}

/// The name of one object that another one hangs on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Link {
    pub(super) place: Arc<Place>,
    pub(super) name: Box<str>,
    /// The UID that the object must have. `None` where the owner is inferred: then whatever has the name is the owner,
    /// because nothing but the name is known.
    pub(super) uid: Option<Uid>,
}

/// Where an object is, as the one that names it sees it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// Group and version of its kind.
    pub(super) api_version: Box<str>,
    pub(super) kind: Box<str>,
    /// Where it is, if its kind has a namespace at all.
    pub(super) namespace: Option<Box<str>>,
}

/// The places that were ever named, each of them once.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<HashSet<Arc<Place>>>);

// === impl Links ===

impl Links {
    /// Whether there is nothing to hang on, so that the object's own mark alone decides.
    pub(crate) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Link> {
        self.links.iter()
    }

    /// Whether the object that is named is no owner but what an event is about.
    pub(super) fn is_about(&self) -> bool {
        self.about
    }
}

// === impl Places ===

impl Places {
    /// The owners of an object of this group and resource, which is in `namespace`.
    pub(super) fn owners(&self, group: &str, resource: &str, namespace: Option<&str>, meta: &ObjectMeta) -> Links {
        let referred = meta.owners.iter().filter_map(|owner| {
            let uid = Uid::parse(&owner.uid)?;
            let place = self.place(&owner.api_version, &owner.kind, namespace);
            Some(Link { place, name: owner.name.as_str().into(), uid: Some(uid) })
        });
        let inferred = inferred(group, resource, meta).map(|owner| Link {
            place: self.place(owner.api_version, owner.kind, namespace),
            name: owner.name.into(),
            uid: None,
        });
        Links { links: referred.chain(inferred).take(MAX_LINKS).collect(), about: false }
    }

    /// What an event is about. Nothing where that has no UID, for then it could be any object of that name.
    pub(super) fn about(&self, about: &Reference) -> Links {
        let link = Uid::parse(&about.uid).map(|uid| {
            let api_version = if about.api_version.is_empty() { "v1" } else { &about.api_version };
            let namespace = Some(about.namespace.as_str()).filter(|namespace| !namespace.is_empty());
            let place = self.place(api_version, &about.kind, namespace);
            Link { place, name: about.name.as_str().into(), uid: Some(uid) }
        });
        Links { links: link.into_iter().collect(), about: true }
    }

    fn place(&self, api_version: &str, kind: &str, namespace: Option<&str>) -> Arc<Place> {
        let place = Place { api_version: api_version.into(), kind: kind.into(), namespace: namespace.map(Box::from) };
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = places.get(&place) {
            return Arc::clone(known);
        }
        // Only when the set would have to grow, so that the walk over all of it is paid for by what came in.
        if places.len() >= FEW_PLACES && places.len() == places.capacity() {
            places.retain(|place| Arc::strong_count(place) > 1);
        }
        let place = Arc::new(place);
        places.insert(Arc::clone(&place));
        place
    }
}

/// More owners than are looked at for one object need not be kept: one more, so that it is seen that there are more.
const MAX_LINKS: usize = super::walk::MAX_LOOK_UPS + 1;
/// A cluster has some tens of owner kinds in some hundreds of namespaces.
const FEW_PLACES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::{
        super::super::{
            meta::OwnerReference,
            samples::{POD_JSON, pod_meta},
        },
        *,
    };

    fn owner(api_version: &str, kind: &str, name: &str, uid: &str) -> OwnerReference {
        OwnerReference {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            uid: uid.to_owned(),
        }
    }

    #[test]
    fn an_object_with_one_owner_costs_less_than_a_hundred_bytes() {
        assert!(!POD_JSON.is_empty());
        assert!(size_of::<Links>() + size_of::<Link>() + "web-7d9c5f8b6d".len() < 100);
    }

    #[test]
    fn objects_of_one_owner_share_the_place() {
        let places = Places::default();
        let links = || places.owners("", "pods", Some("shop"), &pod_meta());
        assert_eq!(links(), links());
        let (first, second) = (links(), links());
        assert!(Arc::ptr_eq(&first.links[0].place, &second.links[0].place));
        assert_ne!(links(), places.owners("", "pods", Some("cart"), &pod_meta()));
        assert!(places.owners("", "pods", Some("shop"), &ObjectMeta::default()).is_empty());
    }

    #[test]
    fn an_owner_without_a_uid_is_none() {
        let owners = vec![owner("v1", "Pod", "a", ""), owner("v1", "Pod", "b", "1")];
        let meta = ObjectMeta { owners, ..ObjectMeta::default() };
        let links = Places::default().owners("", "pods", None, &meta);
        assert_eq!(links.iter().map(|link| &*link.name).collect::<Vec<_>>(), ["b"]);
        assert!(Places::default().about(&Reference::default()).is_empty());
    }

    #[test]
    fn no_more_owners_are_kept_than_are_looked_at() {
        let owners = (0..1_000).map(|n| owner("v1", "Pod", "x", &n.to_string())).collect();
        let meta = ObjectMeta { owners, ..ObjectMeta::default() };
        assert_eq!(Places::default().owners("", "pods", None, &meta).iter().count(), MAX_LINKS);
    }

    #[test]
    fn places_that_nobody_names_any_more_are_forgotten() {
        let places = Places::default();
        let kept = places.place("v1", "Pod", Some("kept"));
        for n in 0..50_000 {
            places.place("v1", "Pod", Some(&n.to_string()));
        }
        assert!(places.0.lock().unwrap().len() <= 4 * FEW_PLACES);
        assert!(Arc::ptr_eq(&kept, &places.place("v1", "Pod", Some("kept"))));
    }

    #[test]
    fn an_event_without_a_version_is_about_the_core_group() {
        let about = Reference { kind: "Pod".to_owned(), uid: "1".to_owned(), ..Reference::default() };
        let links = Places::default().about(&about);
        let link = links.iter().next().unwrap();
        assert_eq!((&*link.place.api_version, link.place.namespace.as_deref()), ("v1", None));
        assert!(links.is_about());
    }
}
