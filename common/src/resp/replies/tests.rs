use bytes::BytesMut;
use proptest::prelude::*;
use redis_protocol::resp3::{
    decode::complete::decode_range,
    encode::complete::extend_encode,
    types::{BytesFrame, VerbatimStringFormat},
};

use super::*;
use crate::resp::cut::cut;

/// What a frame was, put together.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    bytes: Vec<u8>,
    role: Role,
    marker: Marker,
    length: Option<u64>,
    nil: bool,
    kind: Option<Vec<u8>>,
    channel: Option<Vec<u8>>,
    whole: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    frames: Vec<Said>,
    error: Option<ReplyError>,
    left: usize,
}

fn hear<'c>(limits: Limits, chunks: impl IntoIterator<Item = &'c [u8]>) -> Heard {
    let mut scanner = ReplyScanner::new(limits);
    let mut input = BytesMut::new();
    let mut heard = Heard::default();
    for chunk in chunks {
        input.extend_from_slice(chunk);
        loop {
            let part = match scanner.next(&mut input) {
                Ok(Some(ReplyEvent::Reply(reply))) => {
                    heard.frames.push(Said {
                        bytes: Vec::new(),
                        role: reply.role(),
                        marker: reply.marker(),
                        length: reply.length(),
                        nil: reply.is_nil(),
                        kind: reply.kind().map(<[u8]>::to_vec),
                        channel: reply.channel().map(<[u8]>::to_vec),
                        whole: false,
                    });
                    reply.into_part()
                }
                Ok(Some(ReplyEvent::Part(part))) => part,
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(scanner.next(&mut input), Err(error));
                    return Heard { error: Some(error), ..heard };
                }
            };
            let said = heard.frames.last_mut().unwrap();
            assert!(!said.whole);
            assert!(!part.bytes().is_empty());
            said.bytes.extend_from_slice(part.bytes());
            said.whole = part.is_last();
            assert_eq!(scanner.is_between(), part.is_last());
        }
        assert!(input.len() <= 3 * limits.hold + 50, "{} bytes are left", input.len());
        assert!(scanner.depth() <= limits.depth);
    }
    heard.left = input.len();
    heard
}

fn of(bytes: &[u8]) -> Heard {
    hear(Limits::default(), [bytes])
}

fn malformed(bytes: &[u8]) -> bool {
    matches!(of(bytes).error, Some(ReplyError::Malformed(_)))
}

#[test]
fn every_type_of_both_protocols_has_an_end() {
    for (frame, marker, length) in [
        ("+OK\r\n", Marker::Simple, None),
        ("+a\rb\nc\r\n", Marker::Simple, None),
        ("-ERR no\r\n", Marker::Error, None),
        (":-12\r\n", Marker::Integer, None),
        ("$5\r\na\r\nbc\r\n", Marker::Bulk, Some(5)),
        ("$0\r\n\r\n", Marker::Bulk, Some(0)),
        ("$-1\r\n", Marker::Bulk, None),
        ("*-1\r\n", Marker::Array, None),
        ("*0\r\n", Marker::Array, Some(0)),
        ("*2\r\n*2\r\n:1\r\n$-1\r\n*0\r\n", Marker::Array, Some(2)),
        ("_\r\n", Marker::Null, None),
        ("#t\r\n", Marker::Boolean, None),
        (",-inf\r\n", Marker::Double, None),
        ("(3492890328409238509324850943850943825024385\r\n", Marker::BigNumber, None),
        ("!5\r\nERR x\r\n", Marker::BulkError, Some(5)),
        ("=7\r\ntxt:a\r\n\r\n", Marker::Verbatim, Some(7)),
        ("%2\r\n+a\r\n*1\r\n_\r\n:1\r\n%0\r\n", Marker::Map, Some(2)),
        ("~1\r\n~2\r\n:1\r\n:2\r\n", Marker::Set, Some(1)),
        (">2\r\n+invalidate\r\n*1\r\n$1\r\na\r\n", Marker::Push, Some(2)),
        ("|1\r\n+ttl\r\n:1\r\n", Marker::Attribute, Some(1)),
        ("*2\r\n|1\r\n+ttl\r\n:1\r\n:7\r\n:8\r\n", Marker::Array, Some(2)),
        ("*1\r\n|0\r\n|1\r\n+a\r\n|1\r\n+b\r\n+c\r\n+d\r\n:7\r\n", Marker::Array, Some(1)),
    ] {
        let twice = format!("{frame}{frame}+OK\r\n");
        for heard in [of(twice.as_bytes()), hear(Limits::default(), twice.as_bytes().chunks(1))] {
            let [first, second, ok] = &heard.frames[..] else { panic!("{frame:?}: {heard:?}") };
            assert_eq!((&first.bytes[..], &second.bytes[..]), (frame.as_bytes(), frame.as_bytes()));
            assert_eq!((first.marker, first.length, first.whole), (marker, length, true), "{frame:?}");
            assert_eq!((&ok.bytes[..], heard.left), (&b"+OK\r\n"[..], 0));
        }
    }
}

#[test]
fn nil_and_errors_are_known_in_both_protocols() {
    for (frame, nil) in
        [("$-1\r\n", true), ("*-1\r\n", true), ("_\r\n", true), ("$0\r\n\r\n", false), ("*0\r\n", false)]
    {
        assert_eq!(of(frame.as_bytes()).frames[0].nil, nil, "{frame:?}");
    }
    let mut input = BytesMut::from("-NOAUTH Authentication required.\r\n!3\r\nERR\r\n+ERR\r\n");
    let mut scanner = ReplyScanner::new(Limits::default());
    for refused in [true, true, false] {
        let Ok(Some(ReplyEvent::Reply(reply))) = scanner.next(&mut input) else { panic!("no reply") };
        assert_eq!(reply.is_error(), refused);
        assert!(reply.is_whole());
    }
}

#[test]
fn pushes_and_attributes_are_no_replies() {
    let heard = of(b"|1\r\n+ttl\r\n:3600\r\n>3\r\n+message\r\n+c\r\n+hello\r\n$1\r\nx\r\n");
    assert_eq!(
        heard.frames.iter().map(|said| said.role).collect::<Vec<_>>(),
        [Role::Attribute, Role::Push, Role::Answer]
    );
}

#[test]
fn a_message_says_what_it_is_and_of_which_channel() {
    let channel = "app|managed-resources|a_b|1.8.3";
    let subscribed = format!("3\r\n$9\r\nsubscribe\r\n${}\r\n{channel}\r\n:1\r\n", channel.len());
    let message = format!("3\r\n$7\r\nmessage\r\n${}\r\n{channel}\r\n$0\r\n\r\n", channel.len());
    for marker in ['*', '>'] {
        let bytes = format!("{marker}{subscribed}{marker}{message}");
        for heard in [of(bytes.as_bytes()), hear(Limits::default(), bytes.as_bytes().chunks(1))] {
            let kinds = heard.frames.iter().map(|said| said.kind.as_deref().unwrap()).collect::<Vec<_>>();
            assert_eq!(kinds, [&b"subscribe"[..], b"message"]);
            assert!(heard.frames.iter().all(|said| said.channel.as_deref() == Some(channel.as_bytes())));
        }
    }
    // Unsubscribed from nothing.
    let heard = of(b"*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n*2\r\n:1\r\n$1\r\na\r\n*1\r\n*1\r\n$1\r\na\r\n");
    assert_eq!(heard.frames[0].kind.as_deref(), Some(&b"unsubscribe"[..]));
    assert_eq!(heard.frames[0].channel, None);
    assert!(heard.frames[1..].iter().all(|said| said.kind.is_none() && said.channel.is_none()));
}

#[test]
fn a_huge_value_streams() {
    let mut scanner = ReplyScanner::new(Limits::default());
    let mut input = BytesMut::from("$33554432\r\n");
    let Ok(Some(ReplyEvent::Reply(reply))) = scanner.next(&mut input) else { panic!("no reply") };
    assert_eq!((reply.length(), reply.is_whole(), input.len()), (Some(32 << 20), false, 0));
    for _ in 0..32 {
        input.extend_from_slice(&vec![b'x'; 1 << 20]);
        let Ok(Some(ReplyEvent::Part(part))) = scanner.next(&mut input) else { panic!("no part") };
        assert_eq!((part.bytes().len(), part.is_last(), input.len()), (1 << 20, false, 0));
    }
    input.extend_from_slice(b"\r");
    assert_eq!(scanner.next(&mut input), Ok(None));
    input.extend_from_slice(b"\n");
    let Ok(Some(ReplyEvent::Part(part))) = scanner.next(&mut input) else { panic!("no part") };
    assert!(part.is_last());
}

#[test]
fn a_huge_value_streams_within_an_array() {
    let value = vec![b'x'; 1 << 20];
    let bytes = [&b"*2\r\n$1048576\r\n"[..], &value, b"\r\n$1048576\r\n", &value, b"\r\n"].concat();
    // What is left is checked there.
    let heard = hear(Limits::default(), bytes.chunks(10_000));
    assert_eq!((heard.frames.len(), heard.left), (1, 0));
    assert!(heard.frames[0].bytes == bytes && heard.frames[0].whole && heard.frames[0].kind.is_none());
}

#[test]
fn a_line_of_any_length_streams() {
    let long = "x\r".repeat(1_000_000);
    for bytes in [format!("+{long}\r\n"), format!("*2\r\n+{long}\r\n-{long}\r\n")] {
        let heard = hear(Limits::default(), bytes.as_bytes().chunks(4_999));
        assert_eq!((heard.frames.len(), heard.error), (1, None));
        assert_eq!((&heard.frames[0].bytes[..], heard.frames[0].kind.as_deref()), (bytes.as_bytes(), None));
        assert!(heard.frames[0].whole);
    }
}

#[test]
fn depth_costs_what_comes_back_to_its_level() {
    // What a script that nests tables says: each level's last element is the next.
    let bytes = ["*1\r\n".repeat(1_000_000), ":1\r\n+OK\r\n".to_owned()].concat();
    let heard = hear(Limits::default(), bytes.as_bytes().chunks(4_099));
    assert_eq!((heard.frames.len(), heard.error), (2, None));
    let bytes = "*2\r\n".repeat(DEPTH);
    assert_eq!(of(bytes.as_bytes()).error, None);
    let bytes = "*2\r\n".repeat(DEPTH + 1);
    assert_eq!(of(bytes.as_bytes()).error, Some(ReplyError::TooDeep { limit: DEPTH }));
}

#[test]
fn what_redis_never_says_is_malformed() {
    for bad in [
        "x\r\n",
        "\r\n",
        "HTTP/1.1 400\r\n",
        "$?\r\n",
        "*?\r\n",
        "$-2\r\n",
        "%-1\r\n",
        "$01\r\n",
        "$\r\n",
        "$1\r\nabc",
        "$9223372036854775808\r\n",
        "%9223372036854775807\r\n:1\r\n",
        "*1\r\n>1\r\n:1\r\n",
        "*1\r\n\r\n",
        ".\r\n",
        ";1\r\n",
    ] {
        let bad = if bad.starts_with("%9") { bad.replace('7', "8") } else { bad.to_owned() };
        assert!(malformed(bad.as_bytes()), "{bad:?}: {:?}", of(bad.as_bytes()));
    }
    assert!(malformed(&[b"$".as_slice(), &[b'1'; 5_000]].concat()));
    // As many as can be counted.
    assert_eq!(of(b"*9223372036854775807\r\n:1\r\n").error, None);
    assert_eq!(of(b"%9223372036854775807\r\n:1\r\n").error, None);
}

/// Any frame but a push, which only stands for itself, and maps and sets, which the crate reorders.
fn frame() -> impl Strategy<Value = BytesFrame> {
    let leaf = prop_oneof![
        "[a-z\r ]{0,12}"
            .prop_map(|text| BytesFrame::SimpleString { data: text.replace('\r', "").into(), attributes: None }),
        "[a-z ]{1,12}".prop_map(|text| BytesFrame::SimpleError { data: text.as_str().into(), attributes: None }),
        any::<i64>().prop_map(|data| BytesFrame::Number { data, attributes: None }),
        any::<bool>().prop_map(|data| BytesFrame::Boolean { data, attributes: None }),
        (-1.0e9..1.0e9_f64).prop_map(|data| BytesFrame::Double { data, attributes: None }),
        "[1-9][0-9]{0,40}".prop_map(|text| BytesFrame::BigNumber { data: text.into(), attributes: None }),
        proptest::collection::vec(any::<u8>(), 0..40)
            .prop_map(|data| BytesFrame::BlobString { data: data.into(), attributes: None }),
        "[a-z\r\n]{0,20}".prop_map(|text| BytesFrame::BlobError { data: text.into(), attributes: None }),
        "[a-z\r\n]{0,20}".prop_map(|text| BytesFrame::VerbatimString {
            data: text.into(),
            format: VerbatimStringFormat::Text,
            attributes: None
        }),
        Just(BytesFrame::Null),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5)
                .prop_map(|data| BytesFrame::Array { data, attributes: None }),
            proptest::collection::hash_map("[a-z]{0,5}", inner, 0..4).prop_map(|data| BytesFrame::Map {
                data: data
                    .into_iter()
                    .map(|(key, value)| (BytesFrame::BlobString { data: key.into(), attributes: None }, value))
                    .collect(),
                attributes: None
            }),
        ]
    })
}

fn tokens() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        4 => proptest::sample::select(vec![
            "+OK\r\n", "-ERR\r\n", ":1\r\n", "_\r\n", "#t\r\n", "$-1\r\n", "$3\r\nget\r\n", "$0\r\n\r\n", ">1\r\n",
            "|1\r\n", "%1\r\n", "~2\r\n", "*-1\r\n", "$7\r\nmessage\r\n", "=5\r\ntxt:a\r\n", "!1\r\nx\r\n", "+a simple string of some length\r\n",
            "$13\r\na bulk string\r\n", "(12\r\n",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        3 => (0..5_usize).prop_map(|count| format!("*{count}\r\n").into_bytes()),
        1 => proptest::sample::select(vec!["\r", "\n", "\r\n", "$", "*", "1", "-", "+", "?"])
            .prop_map(|text| text.as_bytes().to_vec()),
    ];
    proptest::collection::vec(token, 0..20).prop_map(|tokens| tokens.concat())
}

fn whole(mut heard: Heard) -> Heard {
    heard.frames.retain(|said| said.whole);
    heard.left = 0;
    heard
}

proptest! {
    #[test]
    fn frames_end_where_redis_protocol_ends_them(
        frames in proptest::collection::vec(frame(), 1..5), cuts in proptest::collection::vec(0_usize..40, 0..12),
    ) {
        let mut bytes = BytesMut::new();
        let mut ends = Vec::new();
        for frame in &frames {
            extend_encode(&mut bytes, frame, false).unwrap();
            ends.push(bytes.len());
        }
        let heard = hear(Limits::default(), cut(&bytes, &cuts));
        prop_assert_eq!(heard.error, None);
        let mut end = 0;
        let came: Vec<usize> = heard.frames.iter().map(|said| { end += said.bytes.len(); end }).collect();
        prop_assert_eq!(came, ends);
        prop_assert_eq!(heard.left, 0);
    }

    #[test]
    fn where_it_is_cut_does_not_matter(
        bytes in tokens(), cuts in proptest::collection::vec(0_usize..30, 0..12), hold in 24_usize..40,
    ) {
        let limits = Limits { hold, depth: 6 };
        let at_once = whole(hear(limits, [&bytes[..]]));
        prop_assert_eq!(&whole(hear(limits, cut(&bytes, &cuts))), &at_once);
        prop_assert_eq!(&whole(hear(limits, bytes.chunks(1))), &at_once);
    }

    #[test]
    fn what_redis_protocol_accepts_too_ends_alike(bytes in tokens()) {
        let mut rest = &bytes[..];
        for said in of(&bytes).frames.iter().filter(|said| said.whole) {
            // It takes an attribute and what is behind it as one, and knows neither of RESP2's nils.
            let known = said.role != Role::Attribute && !said.bytes.contains(&b'|');
            if let Ok(Some((_, length))) = decode_range(rest) && known {
                prop_assert_eq!(length, said.bytes.len());
            }
            rest = rest.get(said.bytes.len()..).unwrap();
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        of(&bytes);
        hear(Limits { hold: 0, depth: 0 }, bytes.chunks(3));
    }
}
