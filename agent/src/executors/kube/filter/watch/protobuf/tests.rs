//! What goes out is what the API server would have written, byte for byte.

use proptest::{collection::vec, prelude::*};

use super::{
    super::super::{
        item::{ItemKind, Reference},
        samples::{pod_meta, pod_protobuf, unhex},
        wire::tests::{Written, any_fields, write},
    },
    *,
};

fn text(number: u64, text: &str) -> Written {
    Written::Bytes(number, text.as_bytes().to_vec())
}

fn frame(event: &[u8]) -> Vec<u8> {
    [&prefix(event.len())[..], event].concat()
}

fn sample(hex: &str) -> Vec<u8> {
    frame(&unhex(hex))
}

/// An event as the API server writes it.
fn event(kind: &str, object: &[u8]) -> Vec<u8> {
    let extension = write(&[Written::Bytes(1, object.to_vec())]);
    frame(&write(&[text(1, kind), Written::Bytes(2, extension)]))
}

fn object(kind: &str, fields: &[Written]) -> Vec<u8> {
    let kind = write(&[text(1, "v1"), text(2, kind)]);
    let fields = [Written::Bytes(1, kind), Written::Bytes(2, write(fields)), text(3, ""), text(4, "")];
    [b"k8s\0".to_vec(), write(&fields)].concat()
}

fn pod(name: &str) -> Vec<u8> {
    object("Pod", &[Written::Bytes(1, write(&[text(1, name)]))])
}

fn objects() -> ProtobufEvents {
    ProtobufEvents::new(ItemKind::Object, 1 << 20)
}

fn take<'c>(
    events: &mut ProtobufEvents,
    chunks: impl IntoIterator<Item = &'c [u8]>,
) -> Result<Vec<(WatchEvent, Bytes)>, ScanError> {
    let mut taken = Vec::new();
    for chunk in chunks {
        events.push(Bytes::copy_from_slice(chunk));
        while let Some(event) = events.next()? {
            let bytes = events.encode(event.kind, &event);
            taken.push((event, bytes));
        }
    }
    events.finish().map(|()| taken)
}

fn refused(stream: &[u8]) -> ScanError {
    take(&mut objects(), [stream]).unwrap_err()
}

#[test]
fn events_of_the_api_server_pass_as_they_came() {
    let stream = [sample(ADDED), sample(BOOKMARK), sample(ERROR)].concat();
    for size in 1..=stream.len() {
        let taken = take(&mut objects(), stream.chunks(size)).unwrap();
        assert_eq!(taken.iter().flat_map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>(), stream);
        let names = taken.iter().map(|(event, _)| (event.kind, event.subject.as_ref().map(|it| it.meta.name.as_str())));
        let expected = [(EventType::Added, Some("a")), (EventType::Bookmark, None), (EventType::Error, None)];
        assert_eq!(names.collect::<Vec<_>>(), expected);
        assert!(taken[0].0.object.starts_with(b"k8s\0"));
    }
}

#[test]
fn an_event_of_another_type_is_as_the_api_server_would_have_written_it() {
    let mut events = objects();
    events.push(sample(ADDED).into());
    let added = events.next().unwrap().unwrap();
    assert_eq!(events.encode(EventType::Deleted, &added), event("DELETED", &added.object));
    assert_eq!(events.encode(EventType::Added, &added), sample(ADDED));
    // Also when it is no longer the last.
    events.push(event("MODIFIED", &pod("b")).into());
    let modified = events.next().unwrap().unwrap();
    assert_eq!(events.encode(EventType::Added, &added), sample(ADDED));
    assert_eq!(events.encode(EventType::Added, &modified), event("ADDED", &pod("b")));
}

#[test]
fn an_event_in_one_piece_is_not_copied() {
    let chunk = Bytes::from(sample(ADDED));
    let mut events = objects();
    events.push(chunk.clone());
    let added = events.next().unwrap().unwrap();
    assert!(chunk.as_ptr_range().contains(&added.object.as_ptr()));
    assert_eq!(events.encode(EventType::Added, &added).as_ptr(), chunk.as_ptr());
}

#[test]
fn an_object_that_was_asked_for_is_one_that_is_there() {
    let mut events = objects();
    let there = events.object(pod_protobuf().into()).unwrap();
    assert_eq!(there.kind, EventType::Added);
    assert_eq!(there.subject.as_ref().unwrap().meta, pod_meta());
    assert_eq!(events.encode(EventType::Added, &there), event("ADDED", &pod_protobuf()));
    assert!(matches!(events.object(Bytes::from_static(b"{}")), Err(ScanError::Malformed(_))));
    assert!(matches!(events.object(object("Pod", &[]).into()), Err(ScanError::NoMetadata)));
    let small = ProtobufEvents::new(ItemKind::Object, 100);
    assert!(matches!(small.object(pod_protobuf().into()), Err(ScanError::ItemTooLarge { limit: 100 })));
}

#[test]
fn an_error_is_a_status() {
    let ours = objects().error(410, "Expired", "too old resource version: 1 (2)");
    // The API server writes the three empty texts of the list's metadata, too.
    let fields = [text(1, ""), text(2, "Failure"), text(3, "too old resource version: 1 (2)"), text(4, "Expired")];
    let status: Vec<_> = fields.into_iter().chain([Written::Varint(6, 410)]).collect();
    assert_eq!(ours, event("ERROR", &object("Status", &status)));
    let (read, _) = take(&mut objects(), [&ours[..]]).unwrap().pop().unwrap();
    assert_eq!((read.kind, read.subject), (EventType::Error, None));
}

#[test]
fn a_bookmark_is_of_the_kind_that_was_seen() {
    let mut events = objects();
    assert_eq!(events.bookmark("7"), None);
    events.push(sample(ERROR).into());
    events.next().unwrap();
    assert_eq!(events.bookmark("7"), None, "a Status is none of what is watched");
    events.push(event("ADDED", &pod("a")).into());
    events.next().unwrap();
    let meta = write(&[text(6, "7")]);
    let expected = event("BOOKMARK", &object("Pod", &[Written::Bytes(1, meta)]));
    assert_eq!(events.bookmark("7").unwrap(), expected);
}

#[test]
fn events_say_what_they_are_about() {
    let about = write(&[text(1, "Pod"), text(2, "shop"), text(3, "web"), text(4, "0f"), text(5, "v1")]);
    let meta = || Written::Bytes(1, write(&[text(1, "e")]));
    for (items, number) in [(ItemKind::CoreEvent, 2), (ItemKind::Event, 8)] {
        let body = object("Event", &[meta(), Written::Bytes(number, about.clone())]);
        let taken = take(&mut ProtobufEvents::new(items, 1_000), [event("ADDED", &body).as_slice()]).unwrap();
        let expected = Reference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
            uid: "0f".to_owned(),
        };
        assert_eq!(taken[0].0.subject.as_ref().unwrap().about, Some(expected));
    }
}

#[test]
fn what_is_no_event_of_the_api_server_is_refused() {
    let wrapped = |object: &[u8]| Written::Bytes(2, write(&[Written::Bytes(1, object.to_vec())]));
    let added = || text(1, "ADDED");
    let twice = object("Pod", &[Written::Bytes(1, vec![]), Written::Bytes(1, vec![])]);
    let kind = write(&[text(1, "meta.k8s.io/v1"), text(2, "Table")]);
    let table = write(&[Written::Bytes(1, kind), Written::Bytes(2, write(&[Written::Bytes(1, vec![])]))]);
    let pod_cut_short = &pod("a")[..10];
    for bad in [
        frame(b""),
        event("SEEN", &pod("a")),
        event("", &pod("a")),
        event("added", &pod("a")),
        event("ADDED", b""),
        event("ADDED", b"{\"kind\":\"Pod\"}"),
        event("BOOKMARK", b"{}"),
        event("ERROR", b"k8s\x01"),
        event("ADDED", &twice),
        event("ADDED", &[b"k8s\0".to_vec(), table].concat()),
        event("ADDED", &[pod("a"), vec![0x2a, 0]].concat()),
        frame(&write(&[wrapped(&pod("a"))])),
        frame(&write(&[added()])),
        frame(&write(&[added(), text(2, "")])),
        frame(&write(&[added(), added(), wrapped(&pod("a"))])),
        frame(&write(&[added(), wrapped(&pod("a")), wrapped(&pod("a"))])),
        frame(&write(&[added(), wrapped(&pod("a")), text(3, "")])),
        frame(&write(&[added(), wrapped(&pod("a")), Written::Varint(3, 1)])),
        frame(&write(&[added(), Written::Bytes(2, write(&[text(1, ""), text(1, "")]))])),
    ] {
        let error = refused(&bad);
        assert!(matches!(error, ScanError::Malformed(_)), "{bad:x?}: {error:?}");
    }
    assert!(matches!(refused(&event("ADDED", &object("Pod", &[]))), ScanError::NoMetadata));
    assert!(matches!(refused(&event("DELETED", pod_cut_short)), ScanError::Truncated));
    assert!(matches!(refused(&[0x7f, 0, 0, 0]), ScanError::ItemTooLarge { .. }));
}

#[test]
fn nothing_comes_after_an_event_that_was_refused() {
    let mut events = objects();
    events.push([event("SEEN", &pod("a")), event("ADDED", &pod("b"))].concat().into());
    assert!(matches!(events.next(), Err(ScanError::Malformed(_))));
    assert!(matches!(events.next(), Err(ScanError::Answered)));
}

fn any_event() -> impl Strategy<Value = (EventType, String, Vec<u8>)> {
    let kind = prop_oneof![
        Just((EventType::Added, "ADDED")),
        Just((EventType::Modified, "MODIFIED")),
        Just((EventType::Deleted, "DELETED")),
        Just((EventType::Bookmark, "BOOKMARK")),
    ];
    (kind, "[a-z]{0,9}", any_fields()).prop_map(|((kind, type_), name, strange)| {
        let mut fields = vec![Written::Bytes(1, write(&[text(1, &name)]))];
        fields.extend(strange.into_iter().filter(|field| !matches!(field, Written::Bytes(1, _))));
        (kind, name, event(type_, &object("Pod", &fields)))
    })
}

proptest! {
    #[test]
    fn events_are_read_and_written_back_under_any_cut(expected in vec(any_event(), 0..8), size in 1_usize..200) {
        let stream = expected.iter().flat_map(|(_, _, bytes)| bytes.clone()).collect::<Vec<_>>();
        let taken = take(&mut objects(), stream.chunks(size)).unwrap();
        prop_assert_eq!(taken.len(), expected.len());
        for ((event, bytes), (kind, name, came)) in taken.iter().zip(&expected) {
            prop_assert_eq!((event.kind, bytes.to_vec()), (*kind, came.clone()));
            let read = event.subject.as_ref().map(|subject| &subject.meta.name);
            prop_assert_eq!(read, Some(name).filter(|_| *kind != EventType::Bookmark));
            // Written anew it is the same.
            prop_assert_eq!(&write_anew(event), came);
        }
    }

    #[test]
    fn a_watch_cut_short_shows_whole_events_only(expected in vec(any_event(), 1..5), end: prop::sample::Index) {
        let stream = expected.iter().flat_map(|(_, _, bytes)| bytes.clone()).collect::<Vec<_>>();
        let end = end.index(stream.len());
        let mut events = objects();
        events.push(Bytes::copy_from_slice(&stream[..end]));
        let (mut length, mut count) = (0, 0);
        while let Some(event) = events.next().unwrap() {
            length += events.encode(event.kind, &event).len();
            prop_assert_eq!(event.kind, expected[count].0);
            count += 1;
        }
        prop_assert!(length <= end);
        prop_assert_eq!(events.finish().is_ok(), length == end);
    }

    #[test]
    fn no_input_makes_it_panic(
        expected in vec(any_event(), 0..3),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        garbage in vec(any::<u8>(), 0..40),
        size in 1_usize..50,
    ) {
        let mut stream = expected.iter().flat_map(|(_, _, bytes)| bytes.clone()).chain(garbage).collect::<Vec<_>>();
        for (at, byte) in changes {
            if !stream.is_empty() {
                let at = at.index(stream.len());
                stream[at] = byte;
            }
        }
        let whole = take(&mut objects(), [stream.as_slice()]);
        let pieces = take(&mut objects(), stream.chunks(size));
        prop_assert_eq!(whole.ok(), pieces.ok());
    }
}

fn write_anew(event: &WatchEvent) -> Vec<u8> {
    objects().encode(event.kind, event).to_vec()
}

// Written by `k8s.io/apimachinery` 0.36.3.
const ADDED: &str = "0a054144444544125e0a5c6b3873000a090a0276311203506f6412470a120a016112001a0022002a0131320038004200121c\
1a00320042004a0052005800600068008201008a01009a0100c201001a130a001a0022002a0032004a005a0072008801001a002200";
const BOOKMARK: &str = "0a08424f4f4b4d41524b125f0a5d6b3873000a090a0276311203506f6412480a130a0012001a0022002a003203393030\
38004200121c1a00320042004a0052005800600068008201008a01009a0100c201001a130a001a0022002a0032004a005a0072008801001a002200";
const ERROR: &str = "0a054552524f5212580a566b3873000a0c0a0276311206537461747573123e0a060a0012001a0012074661696c7572651a1f\
746f6f206f6c64207265736f757263652076657273696f6e3a203120283229220745787069726564309a031a002200";
