//! The owners in one collection as a watch and look-ups tell of them. Pure.
//!
//! It says of each change whether somebody was told otherwise before. What it does not know it says it does not know:
//! a watch may be behind, so that an owner is absent is for a look-up to find.

use std::{
    collections::{HashMap, hash_map},
    sync::Arc,
};

use super::super::{super::uid::Uid, links::Link, node::Node};

/// The owners by namespace, which is empty for what has none, and name.
#[derive(Debug, Default)]
pub(super) struct Graph {
    namespaces: HashMap<Box<str>, HashMap<Box<str>, Entry>>,
    entries: usize,
    /// How many UIDs are kept that were not found.
    missed: usize,
    /// Some that may come are forgotten, so any that comes may be one of them.
    forgot: bool,
    /// Which list is or was read last.
    list: u64,
}

/// What is known under a name.
#[derive(Debug, Default)]
struct Entry {
    node: Option<Arc<Node>>,
    /// The owners that were asked for under this name and are not there. `None` where any would have done.
    missed: Vec<Option<Uid>>,
    /// Somebody was told of the node.
    asked: bool,
    /// The list in which, or since which, the watch told of the node. 0 where only a look-up did.
    list: u64,
}

/// What is known of an owner.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// This it is, or it is absent.
    Is(Option<Arc<Node>>),
    /// It must be looked up.
    Unknown,
}

/// Whether an answer that was given may be another one now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Change {
    /// All answers are what they were.
    Nothing,
    /// Whoever was answered asks again.
    Answers,
}

// === impl Graph ===

impl Graph {
    /// What is known of an owner, and that somebody is told so.
    pub(super) fn find(&mut self, namespace: &str, link: &Link) -> Known {
        let entry = self.namespaces.get_mut(namespace).and_then(|names| names.get_mut(&link.name));
        let Some(entry) = entry else { return Known::Unknown };
        if let Some(node) = &entry.node
            && (link.uid.is_none() || link.uid == node.uid)
        {
            entry.asked = true;
            return Known::Is(Some(Arc::clone(node)));
        }
        if entry.missed.contains(&link.uid) { Known::Is(None) } else { Known::Unknown }
    }

    /// The watch tells of an owner.
    pub(super) fn apply(&mut self, namespace: &str, name: &str, node: Node) -> Change {
        let list = self.list;
        self.entry(namespace, name).list = list;
        self.insert(namespace, name, node)
    }

    /// An owner is there, or is another one than before. What is older than what is known is not news.
    fn insert(&mut self, namespace: &str, name: &str, node: Node) -> Change {
        let forgot = self.forgot;
        let entry = self.entry(namespace, name);
        if let Some(held) = &mut entry.node {
            if is_older(node.version, held.version) {
                return Change::Nothing;
            }
            if held.says_the_same_as(&node) {
                match Arc::get_mut(held) {
                    Some(held) => held.version = node.version,
                    None => *held = Arc::new(node),
                }
                return Change::Nothing;
            }
        }
        let missed = entry.missed.len();
        entry.missed.retain(|uid| uid.is_some() && *uid != node.uid);
        let found = missed - entry.missed.len();
        let told = std::mem::take(&mut entry.asked) || found > 0 || forgot;
        entry.node = Some(Arc::new(node));
        self.missed -= found;
        if told { Change::Answers } else { Change::Nothing }
    }

    /// An owner is gone, by an event of this version.
    pub(super) fn delete(&mut self, namespace: &str, name: &str, version: u64) -> Change {
        let entry = self.namespaces.get_mut(namespace).and_then(|names| names.get_mut(name));
        let Some(entry) = entry else { return Change::Nothing };
        let Some(node) = entry.node.take_if(|node| !is_older(version, node.version)) else { return Change::Nothing };
        let told = std::mem::take(&mut entry.asked);
        if told && node.uid.is_some() {
            // It is not given again, so nobody need look it up.
            self.miss(namespace, name, node.uid.clone());
        }
        self.tidy(namespace, name);
        if told { Change::Answers } else { Change::Nothing }
    }

    /// A new list begins: what it does not tell of is forgotten when it ends.
    pub(super) fn begin_list(&mut self) -> Change {
        self.list += 1;
        Change::Nothing
    }

    /// A list is complete. What it did not tell of is not known any more: it is gone, or only a look-up knew of it.
    pub(super) fn end_list(&mut self) -> Change {
        let mut change = Change::Nothing;
        let list = self.list;
        for names in self.namespaces.values_mut() {
            names.retain(|_, entry| {
                if entry.node.is_some() && entry.list != list {
                    entry.node = None;
                    if std::mem::take(&mut entry.asked) {
                        change = Change::Answers;
                    }
                }
                entry.node.is_some() || !entry.missed.is_empty()
            });
        }
        self.namespaces.retain(|_, names| !names.is_empty());
        self.entries = self.namespaces.values().map(HashMap::len).sum();
        change
    }

    /// What a look-up found under a link's name, which may be newer or older than what is known by now. The answer to
    /// the link is behind [`Self::find`] then, whatever it is.
    pub(super) fn looked_up(&mut self, namespace: &str, link: &Link, found: Option<Node>) -> Change {
        let change = match found {
            // Not marked as told of by the watch: it may be gone in the list that is being read.
            Some(node) => self.insert(namespace, &link.name, node),
            None => Change::Nothing,
        };
        if self.find(namespace, link) == Known::Unknown {
            self.miss(namespace, &link.name, link.uid.clone());
        }
        change
    }

    /// Nothing is known any more.
    pub(super) fn clear(&mut self) -> Change {
        *self = Self::default();
        Change::Answers
    }

    /// How many names there are.
    pub(super) fn len(&self) -> usize {
        self.entries
    }

    fn entry(&mut self, namespace: &str, name: &str) -> &mut Entry {
        let names = self.namespaces.entry(namespace.into()).or_default();
        match names.entry(name.into()) {
            hash_map::Entry::Occupied(known) => known.into_mut(),
            hash_map::Entry::Vacant(new) => {
                self.entries += 1;
                new.insert(Entry::default())
            }
        }
    }

    /// Removes a name under which nothing is known any more.
    fn tidy(&mut self, namespace: &str, name: &str) {
        let Some(names) = self.namespaces.get_mut(namespace) else { return };
        if names.get(name).is_some_and(|entry| entry.node.is_none() && entry.missed.is_empty()) {
            names.remove(name);
            self.entries -= 1;
        }
        if names.is_empty() {
            self.namespaces.remove(namespace);
        }
    }

    fn miss(&mut self, namespace: &str, name: &str, uid: Option<Uid>) {
        if self.missed >= MAX_MISSED {
            // Who refers to a UID came after it, so one that a look-up did not find was there before and comes no more.
            self.forget_missed(|uid| uid.is_some());
        }
        if self.missed >= MAX_MISSED {
            self.forgot = true;
            self.forget_missed(|_| true);
        }
        self.entry(namespace, name).missed.push(uid);
        self.missed += 1;
    }

    fn forget_missed(&mut self, forget: impl Fn(&Option<Uid>) -> bool) {
        self.missed = 0;
        for names in self.namespaces.values_mut() {
            names.retain(|_, entry| {
                entry.missed.retain(|uid| !forget(uid));
                entry.missed.shrink_to_fit();
                self.missed += entry.missed.len();
                entry.node.is_some() || !entry.missed.is_empty()
            });
        }
        self.namespaces.retain(|_, names| !names.is_empty());
        self.entries = self.namespaces.values().map(HashMap::len).sum();
    }
}

/// Whether a version is known to be older than another one. What has no version that can be read is taken as it comes.
fn is_older(version: u64, than: u64) -> bool {
    version != 0 && version < than
}

/// References to what is not there are what is left of deleted owners until the garbage collector comes by.
const MAX_MISSED: usize = 20_000;

#[cfg(test)]
mod tests;
