//! What is no list that can be filtered: nothing of it comes out that was not decided on.

use proptest::{collection::vec, prelude::*};

use super::{super::super::super::wire::tests::varint, *};

fn refused(body: &[u8]) -> ScanError {
    let ran = run(objects(1 << 20), [body]);
    assert_eq!(ran.out, b"", "what is found to be wrong in time is not begun");
    ran.answer.unwrap_err()
}

#[test]
fn what_is_no_list_of_the_api_server_is_malformed() {
    let meta = || Written::Bytes(1, list_meta(true));
    let one = || Written::Bytes(2, item(true, 3));
    let kind = |kind: &str| Written::Bytes(1, write(&[text(1, "meta.k8s.io/v1"), text(2, kind)]));
    let raw = |fields: &[Written]| Written::Bytes(2, write(fields));
    let with_kind = |fields: &[Written]| [MAGIC.to_vec(), write(&[kind("PodList")]), write(fields)].concat();
    let twice = Written::Bytes(2, write(&[Written::Bytes(1, vec![]), Written::Bytes(1, vec![])]));
    for bad in [
        list(&[meta(), meta()]),
        list(&[meta(), one(), meta()]),
        list(&[one(), meta()]),
        list(&[meta(), text(3, "x")]),
        list(&[meta(), text(15, "")]),
        list(&[meta(), Written::Varint(2, 1)]),
        list(&[meta(), Written::Group(2, vec![one()])]),
        list(&[meta(), Written::Fixed64(9, [0; 8])]),
        list(&[meta(), Written::Fixed32(9, [0; 4])]),
        list(&[meta(), twice]),
        list(&[Written::Bytes(1, write(&[Written::Group(4, vec![])]))]),
        // The second item says that it is longer than the list; the head of the third is.
        in_envelope([write(&[meta(), one()]), vec![0x12, 4, 0x0a, 0, 0x12]].concat()),
        in_envelope([write(&[meta(), one()]), vec![0x12]].concat()),
        in_envelope([write(&[meta(), one()]), vec![0x12, 0x80]].concat()),
        in_envelope([vec![0x12], varint(1 << 62)].concat()),
        in_envelope([vec![0x12], varint(u64::MAX)].concat()),
        with_kind(&[raw(&[]), raw(&[one()])]),
        with_kind(&[raw(&[one()]), kind("PodList")]),
        with_kind(&[raw(&[one()]), text(3, "gzip")]),
        with_kind(&[raw(&[one()]), text(4, "application/json")]),
        with_kind(&[raw(&[one()]), text(3, ""), text(3, "")]),
        with_kind(&[raw(&[one()]), text(5, "")]),
        with_kind(&[Written::Varint(2, 0)]),
        [MAGIC.to_vec(), write(&[kind("Table"), raw(&[one()])])].concat(),
        [MAGIC.to_vec(), write(&[raw(&[one()])])].concat(),
        [list_of(&[]), vec![0]].concat(),
        b"{\"kind\":\"PodList\"}".to_vec(),
    ] {
        let error = refused(&bad);
        assert!(matches!(error, ScanError::Malformed(_)), "{bad:x?}: {error:?}");
    }
    for none in [list(&[meta(), text(2, "")]), list(&[meta(), Written::Bytes(2, write(&[text(2, "spec")]))])] {
        assert!(matches!(refused(&none), ScanError::NoMetadata), "{none:x?}");
    }
    let lies = list(&[meta(), Written::Bytes(2, vec![0x0a, 9, 0x0a, 0])]);
    assert!(matches!(refused(&lies), ScanError::Truncated));
    let long = write(&[text(3, &"x".repeat(META_LIMIT))]);
    assert!(matches!(refused(&list(&[Written::Bytes(1, long)])), ScanError::TooLarge { .. }));
}

#[test]
fn an_item_over_the_limit_is_refused_by_its_length_alone() {
    let kind = write(&[text(1, "v1"), text(2, "PodList")]);
    let announced = |length: u64| {
        let head = write(&[Written::Bytes(1, kind.clone())]);
        [MAGIC.to_vec(), head, vec![0x12], varint(1 << 40), vec![0x12], varint(length)].concat()
    };
    assert!(matches!(refused(&announced((1 << 20) + 1)), ScanError::ItemTooLarge { limit: 0x10_0000 }));
    assert!(matches!(refused(&announced(1 << 20)), ScanError::Truncated));
}

#[test]
fn what_was_wrong_behind_a_decision_is_told_and_nothing_goes_on() {
    let mut list = objects(0);
    list.push(self::list(&[Written::Bytes(2, item(true, 3)), text(3, "x")]).into()).unwrap();
    assert!(matches!(list.push(Bytes::new()), Err(ScanError::Answered)), "an item is pending");
    list.decide(true);
    assert!(list.pending().is_none());
    assert!(matches!(list.finish(), Err(ScanError::Malformed(_))));
    assert!(matches!(list.finish(), Err(ScanError::Answered)));
    assert!(matches!(list.push(list_of(&[item(true, 3)]).into()), Err(ScanError::Answered)));
    list.decide(true);
    assert!(list.pending().is_none());
}

proptest! {
    #[test]
    fn a_list_cut_short_is_an_error_and_says_nothing_more(items in vec(any_item(), 0..6), end: prop::sample::Index) {
        let body = list_of(&items);
        let whole = run(objects(0), [body.as_slice()]).out;
        let end = end.index(body.len() - 4);
        let (held, sent) = (run(objects(1 << 20), [&body[..end]]), run(objects(0), [&body[..end]]));
        prop_assert!(held.answer.is_err() && sent.answer.is_err());
        prop_assert_eq!(held.out, b"");
        prop_assert!(whole.starts_with(&sent.out));
    }

    #[test]
    fn nothing_undecided_comes_out_of_garbage(
        items in vec(any_item(), 0..4),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        near in 0_usize..400,
        hold_limit in prop_oneof![Just(0), Just(1 << 20)],
        size in 1_usize..200,
    ) {
        let mut body = list_of(&items);
        let near = near.clamp(1, body.len());
        for (at, byte) in changes {
            body[at.index(near)] = byte;
        }
        let ran = run(objects(hold_limit), body.chunks(size));
        if ran.answer.is_ok() {
            let approved: Vec<_> = ran.subjects.iter().map(|item| item.meta.name.clone()).filter(|name| name != "hide").collect();
            let names: Vec<_> = read_leniently(&ran.out);
            prop_assert_eq!(names, approved);
        }
        let at_once = run(objects(hold_limit), [body.as_slice()]);
        prop_assert_eq!((ran.answer.is_ok(), &ran.subjects), (at_once.answer.is_ok(), &at_once.subjects));
        prop_assert!(ran.answer.is_err() || ran.out == at_once.out);
    }

    #[test]
    fn no_input_makes_it_panic(bytes in vec(any::<u8>(), 0..80), size in 1_usize..9) {
        let kind = write(&[Written::Bytes(1, write(&[text(2, "PodList")]))]);
        let body = [MAGIC.to_vec(), kind, vec![0x12, 60, 0x12, 20], bytes].concat();
        let (whole, pieces) = (run(objects(0), [body.as_slice()]), run(objects(0), body.chunks(size)));
        prop_assert_eq!(whole.answer.is_ok(), pieces.answer.is_ok());
        prop_assert_eq!(whole.out, pieces.out);
    }
}

/// The names of all items, where they may have become anything.
fn read_leniently(body: &[u8]) -> Vec<String> {
    let envelope = plain(body.strip_prefix(b"k8s\0").unwrap());
    let raw = &envelope.iter().find(|field| field.0 == 2).unwrap().1;
    let items = plain(raw).into_iter().filter(|field| field.0 == 2);
    items.map(|item| SubjectScan::whole(ItemKind::Object, &item.1).unwrap().meta.name).collect()
}
