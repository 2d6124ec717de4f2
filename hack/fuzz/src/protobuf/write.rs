//! Lists and events as an API server could write them.

use agent::executors::kube::fuzz::Items;

use super::{
    envelope,
    message::{bytes_field, varint},
};
use crate::{
    fate::{FATES, LABEL},
    source::Source,
};

/// A list of objects.
pub(super) fn list(source: &mut Source<'_>, items: Items) -> Vec<u8> {
    let mut meta = vec![bytes_field(1, b""), bytes_field(2, b"12")];
    if source.one_in(2) {
        meta.push(bytes_field(3, source.bytes(8)));
    }
    if source.one_in(2) {
        meta.push([varint(4 << 3), varint(source.byte().into())].concat());
    }
    let mut list = vec![bytes_field(1, &meta.concat())];
    for _ in 0..source.below(6) {
        list.push(bytes_field(2, &object(source, items)));
    }
    envelope::wrap("PodList", &list.concat())
}

/// Some events of a watch.
pub(super) fn events(source: &mut Source<'_>, items: Items) -> Vec<u8> {
    let mut events = Vec::new();
    for _ in 0..source.below(6) {
        let (kind, object) = match source.below(8) {
            0 | 1 => ("ADDED", object(source, items)),
            2 | 3 => ("MODIFIED", object(source, items)),
            4 | 5 => ("DELETED", object(source, items)),
            6 => ("BOOKMARK", bytes_field(1, &bytes_field(6, b"13"))),
            _ => ("ERROR", bytes_field(2, b"Failure")),
        };
        let object = envelope::wrap("Pod", &object);
        let event = [bytes_field(1, kind.as_bytes()), bytes_field(2, &bytes_field(1, &object))].concat();
        events.extend(u32::try_from(event.len()).unwrap_or_default().to_be_bytes());
        events.extend(event);
    }
    events
}

fn object(source: &mut Source<'_>, items: Items) -> Vec<u8> {
    let label = |key: &str, value: &str| {
        bytes_field(11, &[bytes_field(1, key.as_bytes()), bytes_field(2, value.as_bytes())].concat())
    };
    let mut metadata = vec![
        bytes_field(1, b"name"),
        label(LABEL, source.one_of(&FATES, "")),
        label("x", source.one_of(&FATES, "")),
        bytes_field(12, &[bytes_field(1, LABEL.as_bytes()), bytes_field(2, b"1")].concat()),
    ];
    metadata.extend(strange(source, &[1, 3, 5, 6, 11, 12, 13]));
    source.shuffle(&mut metadata);
    let about = match items {
        Items::Objects => None,
        Items::CoreEvents => Some(2),
        Items::Events => Some(8),
    };
    let mut object = vec![bytes_field(1, &metadata.concat())];
    object.extend(strange(source, &[1, 2, 8]));
    if let Some(number) = about.filter(|_| !source.one_in(4)) {
        let reference = [bytes_field(1, b"Pod"), bytes_field(4, source.one_of(&FATES, "").as_bytes())];
        object.push(bytes_field(number, &reference.concat()));
    }
    source.shuffle(&mut object);
    object.concat()
}

/// Fields of every kind, with any number but some.
fn strange(source: &mut Source<'_>, known: &[u64]) -> Vec<Vec<u8>> {
    let mut fields = Vec::new();
    for _ in 0..source.below(4) {
        let number = source.one_of(&[1, 2, 4, 8, 11, 15, 16, 2047, (1 << 29) - 1], 4);
        let number = if known.contains(&number) { 9 } else { number };
        fields.push(match source.below(6) {
            0 | 1 => bytes_field(number, source.bytes(200)),
            2 => [varint(number << 3), varint(u64::from(source.byte()) << 57)].concat(),
            3 => [varint(number << 3 | 1), vec![source.byte(); 8]].concat(),
            4 => [varint(number << 3 | 5), vec![source.byte(); 4]].concat(),
            // A group, with what would be metadata outside of it.
            _ => [varint(number << 3 | 3), bytes_field(1, b"no"), varint(number << 3 | 4)].concat(),
        });
    }
    fields
}
