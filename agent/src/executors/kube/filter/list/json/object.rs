//! What is decided on in one object of a list.

use crate::executors::kube::filter::{
    item::{ItemKind, Reference, Subject},
    json,
    json_walk::{Member, ObjectWalk, is_space},
    scan::{ScanError, keep},
};

/// Reads one object after the other, and keeps of each no more than what is decided on.
#[derive(Debug)]
pub(super) struct ObjectScan {
    walk: ObjectWalk,
    /// The member that says what an event is about.
    about_key: Option<&'static str>,
    part: Option<Part>,
    metadata: Kept,
    about: Kept,
}

/// The members of interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Metadata,
    About,
}

/// The text of a member as far as it has come. Its memory is used again for the next object.
#[derive(Debug, Default)]
struct Kept {
    text: Vec<u8>,
    seen: bool,
}

// === impl ObjectScan ===

impl ObjectScan {
    pub(super) fn new(items: ItemKind) -> Self {
        let about_key = match items {
            ItemKind::Object => None,
            ItemKind::CoreEvent => Some("involvedObject"),
            ItemKind::Event => Some("regarding"),
        };
        Self { walk: ObjectWalk::default(), about_key, part: None, metadata: Kept::default(), about: Kept::default() }
    }

    /// Reads on, and says whether the object is over. What follows it is not read.
    pub(super) fn push(&mut self, input: &mut &[u8]) -> Result<bool, ScanError> {
        if !self.walk.has_begun() && input.iter().find(|byte| !is_space(**byte)).is_some_and(|byte| *byte != b'{') {
            return Err(ScanError::NoMetadata);
        }
        while let Some(member) = self.walk.next(input)? {
            match (member, self.part) {
                (Member::Key(key), _) => self.begin(key.as_deref())?,
                (Member::Value { .. }, None) => {}
                (Member::Value { bytes, .. }, Some(Part::Metadata)) => {
                    keep(&mut self.metadata.text, bytes, PART_LIMIT)?;
                }
                (Member::Value { bytes, .. }, Some(Part::About)) => keep(&mut self.about.text, bytes, PART_LIMIT)?,
                (Member::End, _) => return Ok(true),
            }
        }
        Ok(false)
    }

    /// The metadata of an object that is over, as they stand.
    pub(super) fn metadata(&self) -> &[u8] {
        &self.metadata.text
    }

    /// What is decided on in an object that is over. The next one may come.
    pub(super) fn take(&mut self) -> Result<Subject, ScanError> {
        if !self.metadata.seen {
            return Err(ScanError::NoMetadata);
        }
        let meta = json::object_meta(&self.metadata.text)?;
        let about = match self.about.text.as_slice() {
            b"" | b"null" => None,
            // Serde would take an array for the struct's fields in order.
            [b'{', ..] => Some(json::parse::<Reference>(&self.about.text)?),
            _ => return Err(ScanError::Malformed("what an event is about is no object")),
        };
        self.walk = ObjectWalk::default();
        self.metadata.clear();
        self.about.clear();
        Ok(Subject { meta, about })
    }

    fn begin(&mut self, key: Option<&str>) -> Result<(), ScanError> {
        self.part = match key {
            Some("metadata") => Some(Part::Metadata),
            key if key.is_some() && key == self.about_key => Some(Part::About),
            _ => None,
        };
        let kept = match self.part {
            None => return Ok(()),
            Some(Part::Metadata) => &mut self.metadata,
            Some(Part::About) => &mut self.about,
        };
        // Of two, clients read the one or the other.
        if std::mem::replace(&mut kept.seen, true) {
            return Err(ScanError::Malformed("a member that is decided on stands twice"));
        }
        Ok(())
    }
}

// === impl Kept ===

impl Kept {
    fn clear(&mut self) {
        self.text.clear();
        self.seen = false;
    }
}

/// What is kept of one object's metadata, as for single objects: etcd holds none larger than 1.5 MiB, and JSON with
/// everything escaped may take more.
const PART_LIMIT: usize = 4 << 20;
