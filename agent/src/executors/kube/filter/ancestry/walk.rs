//! From owner to owner, until one is managed or there are no more.
//!
//! Each owner must have the very UID that the reference names: names are given again, UIDs never. An owner that cannot
//! be read does not hide another one that is managed; where none is, it leaves the question open. A walk that is used
//! again allocates nothing.

use std::{future::Future, sync::Arc};

use common::Refusal;

use super::{
    super::uid::Uid,
    links::{Link, Links},
    node::Node,
    remembered::Remembered,
};

/// Where owners are looked up.
pub(super) trait Look: Send {
    /// The object that is named, with the UID that is named. `None` where there is none.
    fn look(&mut self, link: &Link) -> impl Future<Output = Result<Option<Arc<Node>>, Refusal>> + Send;
}

/// One walk at a time.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// The owners that are not managed by themselves, in the order in which they are met.
    steps: Vec<Step>,
    /// The UIDs that were asked for.
    seen: Vec<Uid>,
}

#[derive(Debug)]
struct Step {
    node: Arc<Node>,
    /// The step to which this one is a parent.
    child: Option<usize>,
    /// How many references lead here.
    depth: usize,
}

// === impl Walk ===

impl Walk {
    /// Whether one that is linked to, near or far, is managed. Those through which it is are remembered.
    ///
    /// # Errors
    /// When none is, and one could not be read.
    pub(super) async fn any_managed(
        &mut self,
        links: &Links,
        look: &mut impl Look,
        remembered: &Remembered,
    ) -> Result<bool, Refusal> {
        self.steps.clear();
        self.seen.clear();
        let mut unread = None;
        let mut looked_at = 0;
        // What an event is about is no owner: its own owners are the first.
        let mut depth = if links.is_about() { 0 } else { 1 };
        let mut child = None;
        // The node whose parents are looked at, after the links themselves.
        let mut current: Option<Arc<Node>> = None;
        let mut next = 0;
        'all: loop {
            let parents = current.as_ref().map_or(links, |node| &node.parents);
            for link in parents.iter() {
                if let Some(uid) = &link.uid {
                    if self.seen.contains(uid) {
                        continue;
                    }
                    self.seen.push(uid.clone());
                }
                if looked_at == MAX_LOOK_UPS {
                    unread.get_or_insert(Refusal::Undecidable("the object has too many owners".into()));
                    break 'all;
                }
                looked_at += 1;
                match look.look(link).await {
                    Ok(Some(node)) if node.managed => {
                        self.remember(&node, child, remembered);
                        return Ok(true);
                    }
                    Ok(Some(node)) if depth < MAX_DEPTH => self.steps.push(Step { node, child, depth }),
                    Ok(None) if parents.is_about() && was_managed(link, remembered) => return Ok(true),
                    Ok(_) => {}
                    Err(refusal) => {
                        unread.get_or_insert(refusal);
                    }
                }
            }
            let Some(step) = self.steps.get(next) else { break };
            (current, child, depth) = (Some(Arc::clone(&step.node)), Some(next), step.depth + 1);
            next += 1;
        }
        unread.map_or(Ok(false), Err)
    }

    /// The version of the youngest of those that decide: all that are linked to, near or far. `None` where that cannot be
    /// said, because one is gone or its version is no number.
    ///
    /// # Errors
    /// When one could not be read.
    pub(super) async fn newest(&mut self, links: &Links, look: &mut impl Look) -> Result<Option<u64>, Refusal> {
        self.steps.clear();
        self.seen.clear();
        let mut newest = 0;
        let mut current: Option<Arc<Node>> = None;
        let mut next = 0;
        loop {
            let parents = current.as_ref().map_or(links, |node| &node.parents);
            for link in parents.iter() {
                if let Some(uid) = &link.uid {
                    if self.seen.contains(uid) {
                        continue;
                    }
                    self.seen.push(uid.clone());
                }
                match look.look(link).await? {
                    Some(node) if node.version > 0 && self.steps.len() < MAX_LOOK_UPS => {
                        newest = newest.max(node.version);
                        self.steps.push(Step { node, child: None, depth: 0 });
                    }
                    _ => return Ok(None),
                }
            }
            let Some(step) = self.steps.get(next) else { return Ok(Some(newest)) };
            current = Some(Arc::clone(&step.node));
            next += 1;
        }
    }

    /// Remembers a managed node and all who are managed through it.
    fn remember(&self, node: &Node, mut child: Option<usize>, remembered: &Remembered) {
        let mut node = Some(node);
        while let Some(managed) = node {
            if let Some(uid) = &managed.uid {
                remembered.remember(uid);
            }
            let step = child.and_then(|at| self.steps.get(at));
            node = step.map(|step| &*step.node);
            child = step.and_then(|step| step.child);
        }
    }
}

fn was_managed(link: &Link, remembered: &Remembered) -> bool {
    link.uid.as_ref().is_some_and(|uid| remembered.contains(uid))
}

/// How many references are followed, one behind the other.
const MAX_DEPTH: usize = 5;
/// How many owners are looked at for one object in all. Real ones have one or two on each step.
pub(super) const MAX_LOOK_UPS: usize = 32;

#[cfg(test)]
mod tests;
