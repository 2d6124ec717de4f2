//! What comes out is read by a decoder that knows nothing of how it was made, and that wants every length to be right.

mod refused;

use proptest::{collection::vec, prelude::*};

use super::{
    super::super::{
        item::Reference,
        samples::{pod_meta, pod_protobuf, unhex},
        wire::tests::{Written, any_fields, write},
    },
    *,
};

/// A list as a client reads it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Read {
    meta: Vec<u8>,
    items: Vec<Vec<u8>>,
    /// The sizes of fields without meaning, and how many items stand before them.
    filler: Vec<(usize, usize)>,
}

/// The fields of a message that has only length-delimited ones, and the size of each.
fn plain(mut message: &[u8]) -> Vec<(u64, Vec<u8>, usize)> {
    fn varint(message: &mut &[u8]) -> u64 {
        let end = message.iter().position(|byte| byte & 0x80 == 0).expect("a varint ends");
        let (bytes, rest) = message.split_at(end + 1);
        *message = rest;
        bytes.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
    }
    let mut fields = Vec::new();
    while !message.is_empty() {
        let before = message.len();
        let tag = varint(&mut message);
        assert_eq!(tag & 7, 2);
        let length = varint(&mut message);
        let (bytes, rest) = message.split_at(usize::try_from(length).unwrap());
        message = rest;
        fields.push((tag >> 3, bytes.to_vec(), before - message.len()));
    }
    fields
}

fn read(body: &[u8]) -> Read {
    let mut read = Read::default();
    let envelope = plain(body.strip_prefix(b"k8s\0").unwrap());
    assert_eq!(envelope.iter().map(|field| field.0).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!((envelope[2].1.len(), envelope[3].1.len()), (0, 0));
    for (at, (number, bytes, size)) in plain(&envelope[1].1).into_iter().enumerate() {
        match number {
            1 if at == 0 => read.meta = bytes,
            2 => read.items.push(bytes),
            15 => {
                assert!(bytes.iter().all(|byte| *byte == 0));
                read.filler.push((read.items.len(), size));
            }
            _ => panic!("field {number} at {at}"),
        }
    }
    read
}

fn text(number: u64, text: &str) -> Written {
    Written::Bytes(number, text.as_bytes().to_vec())
}

/// An item whose name tells whether it is to be shown.
fn item(show: bool, size: usize) -> Vec<u8> {
    let name = if show { "show" } else { "hide" };
    write(&[Written::Bytes(1, write(&[text(1, name)])), Written::Bytes(2, vec![b's'; size])])
}

fn list_meta(remaining: bool) -> Vec<u8> {
    let remaining = remaining.then_some(Written::Varint(4, 4_711));
    write(&[text(1, ""), text(2, "812"), text(3, "more")].into_iter().chain(remaining).collect::<Vec<_>>())
}

fn in_envelope(raw: Vec<u8>) -> Vec<u8> {
    let kind = write(&[text(1, "v1"), text(2, "PodList")]);
    let fields = [Written::Bytes(1, kind), Written::Bytes(2, raw), text(3, ""), text(4, "")];
    [MAGIC.to_vec(), write(&fields)].concat()
}

fn list(fields: &[Written]) -> Vec<u8> {
    in_envelope(write(fields))
}

fn list_of(items: &[Vec<u8>]) -> Vec<u8> {
    let meta = [Written::Bytes(1, list_meta(true))];
    list(&meta.into_iter().chain(items.iter().map(|item| Written::Bytes(2, item.clone()))).collect::<Vec<_>>())
}

/// What a list did with its input.
#[derive(Debug)]
struct Ran {
    out: Vec<u8>,
    subjects: Vec<Subject>,
    longest: usize,
    answer: Result<(), ScanError>,
}

fn run<'c>(mut list: ProtobufList, chunks: impl IntoIterator<Item = &'c [u8]>) -> Ran {
    let mut ran = Ran { out: Vec::new(), subjects: Vec::new(), longest: 0, answer: Ok(()) };
    let drain = |list: &mut ProtobufList, ran: &mut Ran| {
        while let Some(bytes) = list.output() {
            assert!(!bytes.is_empty());
            ran.longest = ran.longest.max(bytes.len());
            ran.out.extend_from_slice(&bytes);
        }
    };
    for chunk in chunks {
        ran.answer = list.push(Bytes::copy_from_slice(chunk));
        while let Some(subject) = list.pending().cloned() {
            list.decide(subject.meta.name != "hide");
            ran.subjects.push(subject);
        }
        drain(&mut list, &mut ran);
        if ran.answer.is_err() {
            return ran;
        }
    }
    ran.answer = list.finish();
    drain(&mut list, &mut ran);
    ran
}

fn objects(hold_limit: usize) -> ProtobufList {
    ProtobufList::holding(ItemKind::Object, 1 << 20, hold_limit)
}

#[test]
fn lists_of_the_api_server_pass_but_for_the_count() {
    let reference = || {
        let text = str::to_owned;
        let (kind, namespace) = (text("Pod"), text("shop"));
        Some(Reference { api_version: text("v1"), kind, namespace, name: text("web"), uid: text("0f") })
    };
    for (sample, items, names, about) in [
        (PODS, ItemKind::Object, &["a", "b"][..], None),
        (PARTIAL, ItemKind::Object, &["a"], None),
        (CORE_EVENTS, ItemKind::CoreEvent, &["e"], reference()),
        (EVENTS, ItemKind::Event, &["e"], reference()),
    ] {
        let body = unhex(sample);
        let whole = read(&body);
        for size in 1..=body.len() {
            for hold_limit in [0, 1_000] {
                let ran = run(ProtobufList::holding(items, 1_000, hold_limit), body.chunks(size));
                ran.answer.unwrap();
                assert_eq!(ran.subjects.iter().map(|item| item.meta.name.as_str()).collect::<Vec<_>>(), names);
                assert!(ran.subjects.iter().all(|item| item.about == about));
                let shown = read(&ran.out);
                assert_eq!(shown.meta, b"\x0a\x00\x12\x03812\x1a\x03abc");
                assert_eq!((shown.items, shown.filler), (whole.items.clone(), vec![]));
            }
        }
    }
}

#[test]
fn a_whole_pod_is_its_own_subject() {
    let pod = pod_protobuf();
    let object = plain(&pod[4..])[1].1.clone();
    let ran = run(objects(0), list_of(&[object.clone(), object]).chunks(11));
    ran.answer.unwrap();
    assert_eq!(ran.subjects, vec![Subject { meta: pod_meta(), about: None }; 2]);
}

#[test]
fn nothing_goes_out_before_it_is_known_how_long_it_is() {
    let mut list = objects(1_000);
    let items = vec![item(true, 100); 5];
    list.push(list_of(&items).into()).unwrap();
    while list.pending().is_some() {
        list.decide(true);
        assert_eq!(list.output(), None);
    }
    list.finish().unwrap();
    assert!(list.output().is_some());
}

#[test]
fn within_the_limit_no_trace_of_what_is_hidden_is_left() {
    let items = [item(false, 9_000), item(true, 400), item(false, 70_000), item(true, 500), item(false, 1)];
    let shown = [items[1].clone(), items[3].clone()];
    let expected = list(&[
        Written::Bytes(1, list_meta(false)),
        Written::Bytes(2, shown[0].clone()),
        Written::Bytes(2, shown[1].clone()),
    ]);
    let ran = run(objects(1_000), list_of(&items).chunks(777));
    ran.answer.unwrap();
    assert_eq!(ran.out, expected);
    let nothing = run(objects(1_000), list_of(&vec![item(false, 10); 100]).chunks(10));
    nothing.answer.unwrap();
    assert_eq!(nothing.out, list(&[Written::Bytes(1, list_meta(false))]));
}

#[test]
fn beyond_the_limit_only_the_sum_between_two_items_is_told() {
    let items: Vec<_> = [(true, 600), (false, 300), (true, 600), (false, 50), (false, 70_000), (true, 1), (false, 9)]
        .map(|(show, size)| item(show, size))
        .into();
    let size = |at: usize| write(&[Written::Bytes(2, items[at].clone())]).len();
    let ran = run(objects(1_000), list_of(&items).chunks(1_024));
    ran.answer.unwrap();
    let read = read(&ran.out);
    assert_eq!(read.items, [items[0].clone(), items[2].clone(), items[5].clone()]);
    assert_eq!(read.filler, [(2, size(3) + size(4)), (3, size(6))]);
}

#[test]
fn filler_goes_out_in_pieces() {
    let items: Vec<_> = [(true, 10), (false, 900_000), (false, 900_000)].map(|(show, size)| item(show, size)).into();
    let ran = run(objects(0), list_of(&items).chunks(1_000));
    ran.answer.unwrap();
    assert_eq!(read(&ran.out).filler.len(), 1);
    assert_eq!(ran.longest, 64 << 10);
}

#[test]
fn a_large_list_that_is_all_shown_passes_byte_for_byte() {
    let items: Vec<_> = (0..3_000).map(|at| item(true, 3_000 + at % 7_000)).collect();
    let fields: Vec<_> = [Written::Bytes(1, list_meta(false))]
        .into_iter()
        .chain(items.into_iter().map(|item| Written::Bytes(2, item)))
        .collect();
    let body = list(&fields);
    assert!(body.len() > 2 * HOLD_LIMIT);
    for size in [1_000, 16_384] {
        let ran = run(ProtobufList::new(ItemKind::Object, 1 << 20), body.chunks(size));
        ran.answer.unwrap();
        assert!(ran.out == body);
    }
}

#[test]
fn items_side_by_side_go_out_as_one_and_are_not_copied() {
    let body = Bytes::from(list_of(&vec![item(true, 100); 10]));
    let mut list = objects(0);
    list.push(body.clone()).unwrap();
    while list.pending().is_some() {
        list.decide(true);
    }
    let out: Vec<_> = std::iter::from_fn(|| list.output()).collect();
    assert_eq!(out.len(), 3, "the envelope, the metadata, the items");
    assert!(body.as_ptr_range().contains(&out[2].as_ptr()));
}

#[test]
fn an_item_in_crumbs_is_held_once() {
    let items = [item(true, 200_000), item(false, 200_000), item(true, 5)];
    let ran = run(objects(0), list_of(&items).chunks(1));
    ran.answer.unwrap();
    assert_eq!(read(&ran.out).items, [items[0].clone(), items[2].clone()]);
    assert!(ran.longest > 4_000);
}

fn any_item() -> impl Strategy<Value = Vec<u8>> {
    let size = prop_oneof![4 => 0_usize..60, 1 => 60_usize..20_000];
    (any::<bool>(), size, any_fields()).prop_map(|(show, size, strange)| {
        let strange: Vec<_> = strange.into_iter().filter(|field| !matches!(field, Written::Bytes(1, _))).collect();
        [item(show, size), write(&strange)].concat()
    })
}

/// Whether a plain decoder finds the item's name to be that of one to show.
fn is_shown(item: &[u8]) -> bool {
    item.starts_with(b"\x0a\x06\x0a\x04show")
}

fn cut(body: &[u8], sizes: &[usize]) -> Vec<Vec<u8>> {
    let (mut chunks, mut rest) = (Vec::new(), body);
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (head, tail) = rest.split_at((*size).min(rest.len()));
        chunks.push(head.to_vec());
        rest = tail;
    }
    chunks
}

proptest! {
    #[test]
    fn what_comes_out_is_what_is_shown(
        items in vec(any_item(), 0..12),
        hold_limit in prop_oneof![Just(0), 0_usize..2_000, Just(1 << 20)],
        sizes in vec(prop_oneof![0_usize..5, 1_usize..6_000], 1..6).prop_filter("some", |sizes| sizes.iter().any(|size| *size > 0)),
    ) {
        let body = list_of(&items);
        let ran = run(objects(hold_limit), cut(&body, &sizes).iter().map(Vec::as_slice));
        ran.answer.unwrap();
        prop_assert_eq!(ran.subjects.len(), items.len());
        let read = read(&ran.out);
        let shown: Vec<_> = items.iter().filter(|item| is_shown(item)).cloned().collect();
        prop_assert_eq!(&read.meta, &list_meta(false));
        prop_assert_eq!(&read.items, &shown);
        // Never two in a row, and for no more than was hidden.
        prop_assert!(read.filler.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let hidden: usize = items.iter().filter(|item| !is_shown(item)).map(|item| write(&[Written::Bytes(2, item.clone())]).len()).sum();
        prop_assert!(read.filler.iter().map(|(_, size)| size).sum::<usize>() <= hidden);
        let held: usize = shown.iter().map(|item| item.len() + 4).sum::<usize>() + 40;
        prop_assert!(read.filler.is_empty() || held > hold_limit);
    }
}

// Written by `k8s.io/apimachinery` 0.36.3 with `StreamingCollectionsEncoding`; two Pods, an event of each kind.
const PODS: &str = "6b3873000a0d0a0276311207506f644c69737412a2010a0e0a0012033831321a03616263200712470a120a016112001a0022\
002a0131320038004200121c1a00320042004a0052005800600068008201008a01009a0100c201001a130a001a0022002a0032004a005a0072008801\
0012470a120a016212001a0022002a0132320038004200121c1a00320042004a0052005800600068008201008a01009a0100c201001a130a001a0022\
002a0032004a005a0072008801001a002200";
const PARTIAL: &str = "6b3873000a2b0a0e6d6574612e6b38732e696f2f763112195061727469616c4f626a6563744d657461646174614c6973\
7412260a0e0a0012033831321a03616263200712140a120a016112001a0022002a01313200380042001a002200";
const CORE_EVENTS: &str = "6b3873000a0f0a02763112094576656e744c69737412680a0e0a0012033831321a03616263200712560a110a0165\
12001a0022002a0032003800420012210a03506f64120473686f701a03776562220230662a0276313201333a04737065631a0650756c6c656422002a\
040a00120032003a0040004a005200620072007a001a002200";
const EVENTS: &str = "6b3873000a1d0a106576656e74732e6b38732e696f2f763112094576656e744c69737412680a0e0a0012033831321a0361\
6263200712560a110a016512001a0022002a00320038004200120022002a0032003a0650756c6c656442210a03506f64120473686f701a0377656222\
0230662a0276313201333a047370656352005a0062040a0012006a00720078001a002200";
