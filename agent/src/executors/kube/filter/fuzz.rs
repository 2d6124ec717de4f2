//! The scanners of lists and watches, for fuzz targets and nobody else: the one public door to them, behind the feature
//! `test-util`.
//!
//! Each function drives a scanner as the filter does, from its first chunk to its end or to what is wrong, and says what
//! came out. What came out before something was found to be wrong counts, too: it may have been sent.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    item::{self, ItemKind, RowObject},
    list::{json::JsonList, protobuf::ProtobufList},
    scan::ScanError,
    watch::{event, json::JsonEvents, protobuf::ProtobufEvents},
};

/// What the objects are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Items {
    /// Anything but events.
    Objects,
    /// Events of the core group.
    CoreEvents,
    /// Events of `events.k8s.io`.
    Events,
}

/// How much of an object is in the row of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// What came.
    AsTheyCame,
    /// Its metadata.
    Metadata,
    /// Nothing of it.
    Nothing,
}

/// How much is held, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Of one item or event.
    pub item: usize,
    /// Of the beginning of a list in protobuf.
    pub hold: usize,
}

/// What is to be decided on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The labels of the object.
    pub labels: BTreeMap<String, String>,
    /// The UID of what an event is about.
    pub about: Option<String>,
}

/// What an event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are Kubernetes' own")]
pub enum EventType {
    Added,
    Modified,
    Deleted,
    Bookmark,
    Error,
}

/// What came out of a scanner.
#[derive(Debug)]
pub struct Passed {
    /// The pieces of a list, or events.
    pub output: Vec<Bytes>,
    /// Whether the end was reached, or what was wrong.
    pub result: Result<(), String>,
}

/// Filters a list or table in JSON.
pub fn json_list(
    items: Items,
    rows: Rows,
    limits: Limits,
    chunks: &[&[u8]],
    mut show: impl FnMut(&Subject) -> bool,
) -> Passed {
    let mut list = JsonList::new(items.into(), rows.into(), limits.item);
    passed(|output| {
        for chunk in chunks {
            let pushed = list.push(&Bytes::copy_from_slice(chunk));
            loop {
                output.extend(std::iter::from_fn(|| list.output()));
                let Some(subject) = list.pending() else { break };
                let show = show(&subject.into());
                list.decide(show);
            }
            pushed?;
        }
        let finished = list.finish();
        output.extend(std::iter::from_fn(|| list.output()));
        finished
    })
}

/// Filters a list in protobuf.
pub fn protobuf_list(items: Items, limits: Limits, chunks: &[&[u8]], mut show: impl FnMut(&Subject) -> bool) -> Passed {
    let mut list = ProtobufList::holding(items.into(), limits.item, limits.hold);
    passed(|output| {
        for chunk in chunks {
            let pushed = list.push(Bytes::copy_from_slice(chunk));
            loop {
                output.extend(std::iter::from_fn(|| list.output()));
                let Some(subject) = list.pending() else { break };
                let show = show(&subject.into());
                list.decide(show);
            }
            pushed?;
        }
        let finished = list.finish();
        output.extend(std::iter::from_fn(|| list.output()));
        finished
    })
}

/// Filters a watch in JSON, whose objects may be tables.
pub fn json_watch(
    items: Items,
    rows: Rows,
    limits: Limits,
    chunks: &[&[u8]],
    mut show: impl FnMut(EventType, &Subject) -> Option<EventType>,
) -> Passed {
    let mut events = JsonEvents::new(items.into(), rows.into(), limits.item);
    passed(|output| {
        for chunk in chunks {
            events.push(Bytes::copy_from_slice(chunk));
            while let Some(event) = events.next()? {
                let kind = decided(&event, &mut show);
                output.extend(kind.map(|kind| events.encode(kind, &event)));
            }
        }
        events.finish()
    })
}

/// Filters a watch in protobuf.
pub fn protobuf_watch(
    items: Items,
    limits: Limits,
    chunks: &[&[u8]],
    mut show: impl FnMut(EventType, &Subject) -> Option<EventType>,
) -> Passed {
    let mut events = ProtobufEvents::new(items.into(), limits.item);
    passed(|output| {
        for chunk in chunks {
            events.push(Bytes::copy_from_slice(chunk));
            while let Some(event) = events.next()? {
                let kind = decided(&event, &mut show);
                output.extend(kind.map(|kind| events.encode(kind, &event)));
            }
        }
        events.finish()
    })
}

fn passed(drive: impl FnOnce(&mut Vec<Bytes>) -> Result<(), ScanError>) -> Passed {
    let mut output = Vec::new();
    let result = drive(&mut output).map_err(|error| error.to_string());
    Passed { output, result }
}

/// What an event is shown as. One that is about no object passes.
fn decided(
    event: &event::WatchEvent,
    show: &mut impl FnMut(EventType, &Subject) -> Option<EventType>,
) -> Option<event::EventType> {
    match &event.subject {
        Some(subject) => show(event.kind.into(), &subject.into()).map(Into::into),
        None => Some(event.kind),
    }
}

impl From<Items> for ItemKind {
    fn from(items: Items) -> Self {
        match items {
            Items::Objects => Self::Object,
            Items::CoreEvents => Self::CoreEvent,
            Items::Events => Self::Event,
        }
    }
}

impl From<Rows> for RowObject {
    fn from(rows: Rows) -> Self {
        match rows {
            Rows::AsTheyCame => Self::AsItCame,
            Rows::Metadata => Self::Metadata,
            Rows::Nothing => Self::Nothing,
        }
    }
}

impl From<&item::Subject> for Subject {
    fn from(subject: &item::Subject) -> Self {
        Self {
            labels: subject.meta.labels.clone(),
            about: subject.about.as_ref().map(|reference| reference.uid.clone()),
        }
    }
}

impl From<event::EventType> for EventType {
    fn from(kind: event::EventType) -> Self {
        match kind {
            event::EventType::Added => Self::Added,
            event::EventType::Modified => Self::Modified,
            event::EventType::Deleted => Self::Deleted,
            event::EventType::Bookmark => Self::Bookmark,
            event::EventType::Error => Self::Error,
        }
    }
}

impl From<EventType> for event::EventType {
    fn from(kind: EventType) -> Self {
        match kind {
            EventType::Added => Self::Added,
            EventType::Modified => Self::Modified,
            EventType::Deleted => Self::Deleted,
            EventType::Bookmark => Self::Bookmark,
            EventType::Error => Self::Error,
        }
    }
}
