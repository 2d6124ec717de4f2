//! Random bytes and commands under random cuts, against what `redis-protocol` reads and writes.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use redis_protocol::resp2::{
    decode::decode,
    encode::extend_encode,
    types::{BytesFrame, OwnedFrame},
};

use super::{Heard, Limits, frames, hear, of};
use crate::resp::cut::cut;

/// Bytes that are often commands.
fn tokens() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        4 => (0..12_usize).prop_map(|count| format!("*{count}\r\n").into_bytes()),
        8 => "[a-zA-Z\\PC\r\n]{0,12}".prop_map(|text| format!("${}\r\n{text}\r\n", text.len()).into_bytes()),
        6 => proptest::sample::select(vec!["get", "MGET", "exists", "Subscribe", "set", "client", "getrange", "x"])
            .prop_map(|word| format!("${}\r\n{word}\r\n", word.len()).into_bytes()),
        2 => proptest::sample::select(vec![
            "*", "$", "\r\n", "\r", "\n", "\0", " ", "\"", "'", "\\x4", "mget a 'b c'\r\n", "get k\n", "*-1\r\n",
            "*1\r\n", "$-1\r\n", "$3\rXget..", "+OK\r\n",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(token, 0..24).prop_map(|tokens| tokens.concat())
}

/// Whole commands only: where the last one is cut short, how far it came out depends on how it came in.
fn whole(mut heard: Heard) -> Heard {
    heard.commands.retain(|said| said.whole);
    heard.left.clear();
    heard
}

proptest! {
    #[test]
    fn where_it_is_cut_does_not_matter(
        bytes in tokens(), cuts in proptest::collection::vec(0_usize..40, 0..12), hold in 0_usize..80, key in 1_usize..12,
    ) {
        let limits = Limits { hold, key, ..Limits::default() };
        let at_once = hear(limits, [&bytes[..]]);
        let came: Vec<u8> = at_once.commands.iter().flat_map(|said| said.bytes.clone()).collect();
        let nothing: usize = at_once.nothing.iter().map(Vec::len).sum();
        if at_once.error.is_none() {
            prop_assert_eq!(came.len() + nothing + at_once.left.len(), bytes.len());
        }
        let at_once = whole(at_once);
        prop_assert_eq!(&whole(hear(limits, cut(&bytes, &cuts))), &at_once);
        prop_assert_eq!(&whole(hear(limits, bytes.chunks(1))), &at_once);
    }

    #[test]
    fn all_comes_out_as_it_went_in(
        commands in proptest::collection::vec(proptest::collection::vec("[a-z\r\n*$ ]{0,9}", 1..7), 1..6),
        cuts in proptest::collection::vec(0_usize..40, 0..12),
    ) {
        let mut bytes = Vec::new();
        for words in &commands {
            let words = words.iter().map(String::as_bytes).collect::<Vec<_>>();
            bytes.extend(frames::command(&words));
        }
        let heard = hear(Limits::default(), cut(&bytes, &cuts));
        prop_assert!(heard.left.is_empty());
        let came: Vec<u8> = heard.commands.iter().flat_map(|said| said.bytes.clone()).collect();
        prop_assert_eq!(came, bytes);
        prop_assert_eq!(heard.commands.len(), commands.len());
    }

    #[test]
    fn redis_protocol_finds_the_same_commands(bytes in tokens()) {
        let mut rest = &bytes[..];
        let limits = Limits::default();
        for said in hear(limits, [&bytes[..]]).commands.iter().filter(|said| said.whole) {
            let at = rest.windows(said.bytes.len()).position(|window| window == said.bytes).unwrap();
            rest = rest.get(at..).unwrap();
            // What it does not accept, or reads otherwise, is Redis's to judge.
            if let Ok(Some((OwnedFrame::Array(elements), length))) = decode(rest)
                && elements.iter().all(|element| matches!(element, OwnedFrame::BulkString(_)))
                && said.bytes.ends_with(b"\r\n")
            {
                prop_assert_eq!(length, said.bytes.len());
                prop_assert_eq!(elements.len(), said.count as usize);
                for (element, (text, _)) in elements.iter().zip(&said.arguments) {
                    prop_assert_eq!(element, &OwnedFrame::BulkString(text.clone()));
                }
            }
            rest = rest.get(said.bytes.len()..).unwrap();
        }
    }

    #[test]
    fn what_redis_protocol_writes_is_understood(
        words in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..30), 0..9),
    ) {
        let mut words: Vec<Bytes> = words.into_iter().map(Bytes::from).collect();
        words.insert(0, Bytes::from_static(b"SUBSCRIBE"));
        let frame = BytesFrame::Array(words.iter().cloned().map(BytesFrame::BulkString).collect());
        let mut bytes = BytesMut::new();
        extend_encode(&mut bytes, &frame, false).unwrap();
        let heard = of(&bytes);
        prop_assert_eq!(heard.commands.len(), 1);
        let came: Vec<Bytes> = heard.commands[0].arguments.iter().map(|(text, _)| text.clone().into()).collect();
        prop_assert_eq!(came, words);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        of(&bytes);
        hear(Limits { hold: 0, key: 0, ..Limits::default() }, bytes.chunks(3));
    }
}
