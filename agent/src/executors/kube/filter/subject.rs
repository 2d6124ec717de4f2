//! Finds in the protobuf of one object, while it passes, what is decided on: its metadata, and what an event is about.
//!
//! The whole object is followed, not just up to its metadata: gogo merges what stands twice, so that what was decided on
//! would not be what the client reads. Only bytes that are cut between two chunks are kept.

use super::{
    item::{ItemKind, Reference, Subject},
    meta::ObjectMeta,
    metadata::METADATA_LIMIT,
    protobuf::{object_meta, text},
    scan::{ScanError, keep},
    wire::{Field, MessageWalk, fields},
};

/// A scanner for one object, without its envelope.
#[derive(Debug)]
pub(crate) struct SubjectScan {
    items: ItemKind,
    walk: MessageWalk,
    /// What the current field is to us.
    part: Option<Part>,
    /// The beginning of the current field, where it is one of interest and came in more than one chunk.
    kept: Vec<u8>,
    meta: Option<ObjectMeta>,
    about: Option<Reference>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Metadata,
    About,
}

// === impl SubjectScan ===

impl SubjectScan {
    /// A scanner for an object of this kind.
    pub(crate) fn new(items: ItemKind) -> Self {
        Self { items, walk: MessageWalk::default(), part: None, kept: Vec::new(), meta: None, about: None }
    }

    /// Reads an object that is complete.
    ///
    /// # Errors
    /// When it is malformed or has no metadata.
    pub(crate) fn whole(items: ItemKind, object: &[u8]) -> Result<Subject, ScanError> {
        let mut scan = Self::new(items);
        scan.push(object)?;
        scan.finish()
    }

    /// Reads on.
    ///
    /// # Errors
    /// When the object is malformed. The scanner is of no use after that.
    pub(crate) fn push(&mut self, mut chunk: &[u8]) -> Result<(), ScanError> {
        while let Some(field) = self.walk.next(&mut chunk)? {
            match (field, self.part) {
                (Field::Begin { number, length }, _) => {
                    self.part = self.part_of(number)?;
                    if self.part.is_some() && length > METADATA_LIMIT as u64 {
                        return Err(ScanError::TooLarge { limit: METADATA_LIMIT });
                    }
                }
                (Field::Bytes { .. }, None) => {}
                (Field::Bytes { bytes, end: true }, Some(part)) if self.kept.is_empty() => self.read(part, bytes)?,
                (Field::Bytes { bytes, end }, Some(part)) => {
                    keep(&mut self.kept, bytes, METADATA_LIMIT)?;
                    if end {
                        let kept = std::mem::take(&mut self.kept);
                        self.read(part, &kept)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Says that the object ends here.
    ///
    /// # Errors
    /// When that is within a field, or no metadata were among them.
    pub(crate) fn finish(self) -> Result<Subject, ScanError> {
        self.walk.finish()?;
        Ok(Subject { meta: self.meta.ok_or(ScanError::NoMetadata)?, about: self.about })
    }

    fn part_of(&self, number: u64) -> Result<Option<Part>, ScanError> {
        let (part, stands) = match (number, self.items) {
            (1, _) => (Part::Metadata, self.meta.is_some()),
            (2, ItemKind::CoreEvent) | (8, ItemKind::Event) => (Part::About, self.about.is_some()),
            _ => return Ok(None),
        };
        if stands { Err(ScanError::Malformed("a field stands twice")) } else { Ok(Some(part)) }
    }

    fn read(&mut self, part: Part, message: &[u8]) -> Result<(), ScanError> {
        match part {
            Part::Metadata => self.meta = Some(object_meta(message)?),
            Part::About => self.about = Some(reference(message)?),
        }
        Ok(())
    }
}

/// Reads a whole `core/v1.ObjectReference`.
fn reference(message: &[u8]) -> Result<Reference, ScanError> {
    let mut reference = Reference::default();
    fields(message, |number, bytes| {
        match number {
            1 => reference.kind = text(bytes),
            2 => reference.namespace = text(bytes),
            3 => reference.name = text(bytes),
            4 => reference.uid = text(bytes),
            5 => reference.api_version = text(bytes),
            _ => {}
        }
        Ok(())
    })?;
    Ok(reference)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{
            envelope::Envelope,
            samples::{pod_meta, pod_protobuf},
            wire::{
                put_head,
                tests::{Written, any_fields, write},
            },
        },
        *,
    };

    fn text_field(number: u64, text: &str) -> Written {
        Written::Bytes(number, text.as_bytes().to_vec())
    }

    fn meta(name: &str) -> Written {
        Written::Bytes(1, write(&[text_field(1, name)]))
    }

    fn about(number: u64) -> Written {
        let fields = [
            text_field(1, "Pod"),
            text_field(2, "shop"),
            text_field(3, "web"),
            text_field(4, "0f"),
            text_field(5, "v1"),
            text_field(6, "812"),
            text_field(7, "spec.containers{c}"),
        ];
        Written::Bytes(number, write(&fields))
    }

    fn reference() -> Reference {
        let text = str::to_owned;
        Reference {
            api_version: text("v1"),
            kind: text("Pod"),
            namespace: text("shop"),
            name: text("web"),
            uid: text("0f"),
        }
    }

    fn pieces(items: ItemKind, object: &[u8], size: usize) -> Result<Subject, ScanError> {
        let mut scan = SubjectScan::new(items);
        object.chunks(size).try_for_each(|chunk| scan.push(chunk))?;
        scan.finish()
    }

    #[test]
    fn a_pod_is_its_own_subject() {
        let pod = pod_protobuf();
        let pod = Envelope::parse(&pod).unwrap().object;
        for size in 1..=pod.len() {
            let subject = pieces(ItemKind::Object, pod, size).unwrap();
            assert_eq!(subject, Subject { meta: pod_meta(), about: None });
        }
        for cut in 0..pod.len() {
            // An object may end behind any of its fields, but not before its metadata.
            if let Ok(subject) = SubjectScan::whole(ItemKind::Object, &pod[..cut]) {
                assert_eq!(subject.meta, pod_meta());
            }
        }
    }

    #[test]
    fn both_kinds_of_events_say_what_they_are_about() {
        let event = write(&[meta("e"), about(2), text_field(3, "Pulled"), about(8)]);
        for (items, expected) in
            [(ItemKind::Object, None), (ItemKind::CoreEvent, Some(reference())), (ItemKind::Event, Some(reference()))]
        {
            for size in 1..=event.len() {
                let subject = pieces(items, &event, size).unwrap();
                assert_eq!((subject.meta.name.as_str(), &subject.about), ("e", &expected));
            }
        }
        let bare = SubjectScan::whole(ItemKind::CoreEvent, &write(&[meta("e"), about(8)])).unwrap();
        assert_eq!(bare.about, None);
    }

    #[test]
    fn what_stands_twice_or_not_at_all_is_refused() {
        for twice in [vec![meta("a"), meta("b")], vec![about(2), meta("a"), about(2)]] {
            let answer = SubjectScan::whole(ItemKind::CoreEvent, &write(&twice));
            assert!(matches!(answer, Err(ScanError::Malformed(_))), "{twice:?}");
        }
        for none in [vec![], vec![about(2)], vec![Written::Varint(1, 0)], vec![Written::Group(7, vec![meta("a")])]] {
            let answer = SubjectScan::whole(ItemKind::CoreEvent, &write(&none));
            assert!(matches!(answer, Err(ScanError::NoMetadata)), "{none:?}");
        }
    }

    #[test]
    fn no_more_than_the_limit_is_waited_for() {
        let mut scan = SubjectScan::new(ItemKind::Object);
        let mut large = Vec::new();
        put_head(&mut large, 1, METADATA_LIMIT as u64 + 1);
        assert!(matches!(scan.push(&large), Err(ScanError::TooLarge { limit: METADATA_LIMIT })));
    }

    proptest! {
        #[test]
        fn strange_fields_hide_nothing(strange in any_fields(), at: prop::sample::Index, size in 1_usize..40) {
            let mut object: Vec<_> = strange
                .into_iter()
                .filter(|field| !matches!(field, Written::Bytes(1 | 8, _)))
                .chain([about(8)])
                .collect();
            object.insert(at.index(object.len()), meta("own"));
            let subject = pieces(ItemKind::Event, &write(&object), size).unwrap();
            prop_assert_eq!((subject.meta.name.as_str(), subject.about), ("own", Some(reference())));
        }

        #[test]
        fn no_input_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60), size in 1_usize..9) {
            let whole = SubjectScan::whole(ItemKind::Event, &bytes);
            prop_assert_eq!(whole.ok(), pieces(ItemKind::Event, &bytes, size).ok());
        }
    }
}
