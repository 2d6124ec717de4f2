//! What is to become of an object, said by the object itself.

use agent::executors::kube::fuzz::{EventType, Subject};

/// What the filter is told to do with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is shown. A watch's event keeps its type.
    Shown,
    /// It is shown in a list; in a watch as one that is new.
    Added,
    /// It is hidden from a list; in a watch it is shown as one that is gone.
    Deleted,
    /// It is not shown.
    Hidden,
}

// === impl Fate ===

impl Fate {
    /// Said by the label `m`; for what is about something else, by the UID of that.
    pub(crate) fn of(label: Option<&str>, about: Option<&str>) -> Self {
        match about.or(label) {
            Some("1") => Self::Shown,
            Some("A") => Self::Added,
            Some("D") => Self::Deleted,
            _ => Self::Hidden,
        }
    }

    /// Of an object as a scanner read it.
    pub(crate) fn of_subject(subject: &Subject) -> Self {
        Self::of(subject.labels.get(LABEL).map(String::as_str), subject.about.as_deref())
    }

    pub(crate) fn in_list(self) -> bool {
        matches!(self, Self::Shown | Self::Added)
    }

    pub(crate) fn in_watch(self, event: EventType) -> Option<EventType> {
        match self {
            Self::Shown => Some(event),
            Self::Added => Some(EventType::Added),
            Self::Deleted => Some(EventType::Deleted),
            Self::Hidden => None,
        }
    }
}

/// The label that says it.
pub(crate) const LABEL: &str = "m";

/// What it may say, each as likely as another.
pub(crate) const FATES: [&str; 6] = ["1", "1", "A", "D", "0", ""];
