//! What a client holds of a collection: the state of a watch, and what a list leaves behind for the watch that follows.
//!
//! A client is told of an object's end exactly once, and only if it was told of its beginning. So every object that was
//! shown is known here by its UID; beside it, what is not managed by itself and could become so through an owner,
//! without any change of its own. What can never become visible but by a change of its own is not kept.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{DefaultHasher, Hash, Hasher},
};

use super::super::{ancestry::Links, uid::Uid};

/// The objects that a client was shown, and those that it may have to be shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shown {
    objects: HashMap<Uid, Known>,
    /// What the objects take, roughly.
    bytes: usize,
}

/// Why an object is shown, or is not.
#[derive(Debug)]
pub(crate) enum Standing {
    /// It is managed by what it says itself.
    Itself,
    /// Others decide, and may decide otherwise later.
    Others(Hanging, Verdict),
    /// It is not managed, and hangs on nothing.
    Unmanaged,
}

/// What others say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is managed.
    Managed,
    /// It is not.
    Unmanaged,
}

/// An object that others decide on.
#[derive(Debug, Clone)]
pub(crate) struct Hanging {
    /// Its namespace, if it has one.
    pub(crate) namespace: Option<Box<str>>,
    /// Its name.
    pub(crate) name: Box<str>,
    /// Its owners.
    pub(crate) links: Links,
}

/// What an object's new state is to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It was not shown and is now.
    Enters,
    /// It was shown and still is.
    Stays,
    /// It was shown and is no more.
    Leaves,
    /// It was not shown and is not now.
    Hidden,
}

/// The resource version of an object, only ever compared for equality.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version(u64);

#[derive(Debug, Clone)]
struct Known {
    shown: bool,
    version: Version,
    hanging: Option<Box<Hanging>>,
}

// === impl Shown ===

impl Shown {
    /// An object is in this state now.
    pub(crate) fn observe(&mut self, uid: Uid, version: Version, standing: Standing) -> Change {
        let shown = standing.is_shown();
        let hanging = match standing {
            Standing::Others(hanging, _) => Some(Box::new(hanging)),
            Standing::Itself | Standing::Unmanaged => None,
        };
        let before = if shown || hanging.is_some() {
            let known = Known { shown, version, hanging };
            self.bytes += known.bytes();
            self.objects.insert(uid, known)
        } else {
            self.objects.remove(&uid)
        };
        if let Some(before) = &before {
            self.bytes -= before.bytes();
        }
        Change::between(before.is_some_and(|before| before.shown), shown)
    }

    /// An object is gone. Whether the client was shown it.
    pub(crate) fn forget(&mut self, uid: &Uid) -> bool {
        let before = self.objects.remove(uid);
        self.bytes -= before.as_ref().map_or(0, Known::bytes);
        before.is_some_and(|before| before.shown)
    }

    /// Others have decided anew on an object that is known in this version, and the client is told so.
    pub(crate) fn decide(&mut self, uid: &Uid, verdict: Verdict) {
        if let Some(known) = self.objects.get_mut(uid) {
            known.shown = verdict == Verdict::Managed;
        }
    }

    /// Whether anything is kept of an object.
    pub(crate) fn knows(&self, uid: &Uid) -> bool {
        self.objects.contains_key(uid)
    }

    /// All objects that others decide on, with what they decided last.
    pub(crate) fn hanging(&self) -> impl Iterator<Item = (&Uid, Version, &Hanging, Verdict)> {
        self.objects.iter().filter_map(|(uid, known)| {
            let verdict = if known.shown { Verdict::Managed } else { Verdict::Unmanaged };
            Some((uid, known.version, &**known.hanging.as_ref()?, verdict))
        })
    }

    /// Takes over what another page of the same list holds. `false` where the two disagree.
    #[must_use]
    pub(crate) fn merge(&mut self, other: Self) -> bool {
        let mut agreed = true;
        for (uid, known) in other.objects {
            match self.objects.entry(uid) {
                Entry::Occupied(ours) => agreed &= ours.get().shown == known.shown,
                Entry::Vacant(free) => {
                    self.bytes += known.bytes();
                    free.insert(known);
                }
            }
        }
        agreed
    }

    /// What it takes of memory, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

// === impl Standing ===

impl Standing {
    /// Whether the object is shown.
    pub(crate) fn is_shown(&self) -> bool {
        matches!(self, Self::Itself | Self::Others(_, Verdict::Managed))
    }
}

// === impl Change ===

impl Change {
    fn between(before: bool, now: bool) -> Self {
        match (before, now) {
            (false, true) => Self::Enters,
            (true, true) => Self::Stays,
            (true, false) => Self::Leaves,
            (false, false) => Self::Hidden,
        }
    }
}

// === impl Version ===

impl Version {
    /// Of an object that says this resource version. It is opaque; that of kube-apiserver is a number.
    pub(crate) fn of(text: &str) -> Self {
        Self(text.parse().unwrap_or_else(|_| {
            let mut hasher = DefaultHasher::new();
            text.hash(&mut hasher);
            hasher.finish()
        }))
    }
}

// === impl Known ===

impl Known {
    /// With what the table around it takes.
    fn bytes(&self) -> usize {
        let hanging = self.hanging.as_ref().map_or(0, |hanging| {
            size_of::<Hanging>() + hanging.name.len() + hanging.namespace.as_ref().map_or(0, |text| text.len()) + LINKS
        });
        2 * (size_of::<Uid>() + size_of::<Self>()) + hanging
    }
}

/// What a watch may keep of what it shows: some hundred thousand objects, or half as many that hang on others.
pub(crate) const SHOWN_LIMIT: usize = 14 << 20;
/// What the links of an object take on the heap, most of the time.
const LINKS: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(name: &str) -> Uid {
        Uid::parse(name).unwrap()
    }

    fn hangs(verdict: Verdict) -> Standing {
        let hanging = Hanging { namespace: Some("shop".into()), name: "web".into(), links: Links::default() };
        Standing::Others(hanging, verdict)
    }

    fn observe(shown: &mut Shown, standing: Standing) -> Change {
        shown.observe(uid("a"), Version::of("1"), standing)
    }

    #[test]
    fn an_object_enters_once_and_leaves_once() {
        let mut shown = Shown::default();
        for (standing, change) in [
            (Standing::Unmanaged, Change::Hidden),
            (hangs(Verdict::Unmanaged), Change::Hidden),
            (Standing::Itself, Change::Enters),
            (Standing::Itself, Change::Stays),
            (hangs(Verdict::Managed), Change::Stays),
            (hangs(Verdict::Unmanaged), Change::Leaves),
            (hangs(Verdict::Unmanaged), Change::Hidden),
            (hangs(Verdict::Managed), Change::Enters),
            (Standing::Unmanaged, Change::Leaves),
            (Standing::Unmanaged, Change::Hidden),
        ] {
            assert_eq!(observe(&mut shown, standing), change);
        }
        assert_eq!(shown.bytes(), 0);
        assert!(!shown.forget(&uid("a")));
    }

    #[test]
    fn only_what_was_shown_is_told_to_be_gone() {
        let mut shown = Shown::default();
        observe(&mut shown, hangs(Verdict::Unmanaged));
        assert!(!shown.forget(&uid("a")));
        observe(&mut shown, Standing::Itself);
        assert!(shown.forget(&uid("a")));
        assert!(!shown.forget(&uid("a")));
        assert_eq!(shown.bytes(), 0);
    }

    #[test]
    fn what_others_decide_can_be_decided_anew() {
        let mut shown = Shown::default();
        shown.observe(uid("self"), Version::of("1"), Standing::Itself);
        observe(&mut shown, hangs(Verdict::Unmanaged));
        let hanging: Vec<_> =
            shown.hanging().map(|(uid, version, _, verdict)| (uid.clone(), version, verdict)).collect();
        assert_eq!(hanging, [(uid("a"), Version::of("1"), Verdict::Unmanaged)]);
        shown.decide(&uid("a"), Verdict::Managed);
        assert!(shown.forget(&uid("a")));
    }

    #[test]
    fn pages_are_put_together_unless_they_disagree() {
        let page = |name: &str, standing| {
            let mut page = Shown::default();
            page.observe(uid(name), Version::of("1"), standing);
            page
        };
        let mut all = page("a", Standing::Itself);
        assert!(all.merge(page("b", hangs(Verdict::Managed))));
        assert!(all.merge(page("a", Standing::Itself)));
        assert_eq!(all.bytes(), page("a", Standing::Itself).bytes() + page("b", hangs(Verdict::Managed)).bytes());
        assert!(!all.merge(page("b", hangs(Verdict::Unmanaged))));
    }

    #[test]
    fn versions_are_equal_only_to_themselves() {
        assert_eq!(Version::of("17"), Version::of("17"));
        assert_ne!(Version::of("17"), Version::of("18"));
        assert_eq!(Version::of("v17-b"), Version::of("v17-b"));
        assert_ne!(Version::of("v17-b"), Version::of("v17-c"));
    }
}
