//! Chunks in any encoding that protobuf allows, split anywhere, beside what prost makes of them whole.

use bytes::BufMut;
use proptest::prelude::*;
use prost::{
    Message,
    encoding::{encode_key, encode_varint},
};

use super::*;
use crate::{
    proto::Chunk,
    tunnel::{
        credit::cost,
        frame::{self, FIN},
        limits::CHUNK,
    },
};

/// What a direction carries: bytes, what they cost, and after how many of them it ended.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    data: Vec<u8>,
    cost: u64,
    ends: Vec<usize>,
}

/// A field as it may stand in a message.
#[derive(Debug, Clone)]
enum Part {
    Data(Vec<u8>),
    Fin(u64),
    Bytes(u32, Vec<u8>),
    Number(u32, u64),
    Fixed32(u32, u32),
    Fixed64(u32, u64),
}

/// What comes of `bytes`, in pieces that end where `splits` say, over and over.
fn cut(bytes: &[u8], splits: &[usize]) -> Result<(Said, bool), BadMessage> {
    let (mut cutter, mut said) = (Cutter::default(), Said::default());
    let mut rest = Bytes::copy_from_slice(bytes);
    let mut splits = splits.iter().cycle();
    while !rest.is_empty() {
        let length = splits.next().copied().unwrap_or(rest.len()).clamp(1, rest.len());
        let mut piece = rest.split_to(length);
        while let Some(Piece { data, cost, fin }) = cutter.cut(&mut piece)? {
            assert!(cost >= data.len() as u64);
            said.data.extend(data);
            said.cost += cost;
            if fin {
                said.ends.push(said.data.len());
            }
        }
        assert!(piece.is_empty());
    }
    Ok((said, cutter.is_between()))
}

/// What prost says of whole messages, and what they should cost.
fn whole(messages: &[Vec<u8>]) -> Said {
    let mut said = Said::default();
    for message in messages {
        let chunk = Chunk::decode(message.as_slice()).unwrap();
        said.data.extend(&chunk.data);
        said.cost += if chunk.fin && chunk.data.is_empty() { 0 } else { cost(chunk.data.len()) };
        if chunk.fin {
            said.ends.push(said.data.len());
        }
    }
    said
}

fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages {
        bytes.put_u8(0);
        bytes.put_u32(u32::try_from(message.len()).unwrap());
        bytes.extend(message);
    }
    bytes
}

fn message(parts: &[Part]) -> Vec<u8> {
    let mut message = Vec::new();
    for part in parts {
        match part {
            Part::Data(data) => field(DATA, data, &mut message),
            Part::Fin(fin) => number(FINISHED, *fin, &mut message),
            Part::Bytes(at, bytes) => field(*at, bytes, &mut message),
            Part::Number(at, value) => number(*at, *value, &mut message),
            Part::Fixed32(at, value) => {
                encode_key(*at, WireType::ThirtyTwoBit, &mut message);
                message.put_u32_le(*value);
            }
            Part::Fixed64(at, value) => {
                encode_key(*at, WireType::SixtyFourBit, &mut message);
                message.put_u64_le(*value);
            }
        }
    }
    message
}

fn field(at: u32, bytes: &[u8], message: &mut Vec<u8>) {
    encode_key(at, WireType::LengthDelimited, message);
    encode_varint(bytes.len() as u64, message);
    message.extend(bytes);
}

fn number(at: u32, value: u64, message: &mut Vec<u8>) {
    encode_key(at, WireType::Varint, message);
    encode_varint(value, message);
}

/// Fields of a message, of which none says data twice.
fn parts() -> impl Strategy<Value = Vec<Part>> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..300);
    let unknown = || 3_u32..1 << 29;
    let other = prop_oneof![
        any::<u64>().prop_map(Part::Fin),
        (0_u64..2).prop_map(Part::Fin),
        (unknown(), bytes()).prop_map(|(at, bytes)| Part::Bytes(at, bytes)),
        (unknown(), any::<u64>()).prop_map(|(at, value)| Part::Number(at, value)),
        (unknown(), any::<u32>()).prop_map(|(at, value)| Part::Fixed32(at, value)),
        (unknown(), any::<u64>()).prop_map(|(at, value)| Part::Fixed64(at, value)),
    ];
    let data = proptest::option::weighted(0.8, bytes());
    (proptest::collection::vec(other, 0..4), data, any::<prop::sample::Index>()).prop_map(|(mut parts, data, at)| {
        if let Some(data) = data {
            parts.insert(at.index(parts.len() + 1), Part::Data(data));
        }
        parts
    })
}

proptest! {
    #[test]
    fn whatever_protobuf_allows_comes_out_the_same_however_it_is_split(
        messages in proptest::collection::vec(parts().prop_map(|parts| message(&parts)), 0..6),
        splits in proptest::collection::vec(1_usize..400, 1..20),
    ) {
        prop_assert_eq!(cut(&framed(&messages), &splits), Ok((whole(&messages), true)));
        prop_assert_eq!(cut(&framed(&messages), &[1]), Ok((whole(&messages), true)));
    }

    #[test]
    fn what_is_no_chunk_is_found_out_wherever_it_is_split_and_never_passed_where_prost_would_not(
        bytes in proptest::collection::vec(prop_oneof![0_u8..20, any::<u8>()], 0..40),
        splits in proptest::collection::vec(1_usize..10, 1..10),
    ) {
        let messages = [bytes];
        let came = cut(&framed(&messages), &splits);
        prop_assert_eq!(&came, &cut(&framed(&messages), &[]));
        match (came, Chunk::decode(messages[0].as_slice())) {
            (Ok(came), Ok(_)) => prop_assert_eq!(came, (whole(&messages), true)),
            (Ok(came), Err(error)) => prop_assert!(false, "{:?} of what is {}", came, error),
            // What prost takes and this does not: a second `data`, and groups.
            (Err(BadMessage::Twice), Ok(_)) => {}
            (Err(BadMessage::Key(key)), Ok(_)) => prop_assert!(key & 7 == 3, "{}", key),
            (Err(error), Ok(chunk)) => prop_assert!(false, "{} in what is {:?}", error, chunk),
            (Err(_), Err(_)) => {}
        }
    }
}

#[test]
fn chunks_that_we_write_come_out_as_they_went_in_and_cost_what_was_paid() {
    for length in [1, 127, 128, 16_384, CHUNK] {
        let mut bytes = frame::begin(length);
        bytes.extend_from_slice(&vec![b'x'; length]);
        bytes.extend_from_slice(&FIN);
        for splits in [&[][..], &[1], &[5], &[7, 100, 3], &[32 << 10]] {
            let (said, between) = cut(&bytes, splits).unwrap();
            assert_eq!((said.data.len(), said.cost, said.ends, between), (length, cost(length), vec![length], true));
        }
    }
}

#[test]
fn data_is_passed_on_as_it_lies_and_before_the_rest_has_come() {
    let mut bytes = frame::begin(10);
    bytes.extend_from_slice(b"0123456789");
    let mut bytes = bytes.freeze();
    let lies_at = bytes.as_ptr().wrapping_add(7);
    let (mut first, mut cutter) = (bytes.split_to(9), Cutter::default());
    let piece = cutter.cut(&mut first).unwrap().unwrap();
    assert_eq!((&piece.data[..], piece.cost, piece.data.as_ptr()), (&b"01"[..], 2 + CHUNK_COST, lies_at));
    assert_eq!(cutter.cut(&mut first), Ok(None));
    assert!(!cutter.is_between());
    let rest = cutter.cut(&mut bytes).unwrap().unwrap();
    assert_eq!((&rest.data[..], rest.cost), (&b"23456789"[..], 8));
    assert_eq!((cutter.cut(&mut bytes), cutter.is_between()), (Ok(None), true));
}

#[test]
fn an_empty_chunk_costs_what_every_chunk_costs_and_an_end_nothing() {
    let empty = framed(&[vec![], message(&[Part::Data(vec![])]), message(&[Part::Fin(0)])]);
    assert_eq!(cut(&empty, &[]), Ok((Said { cost: 3 * CHUNK_COST, ..Said::default() }, true)));
    let ends = framed(&[message(&[Part::Fin(1)]), message(&[Part::Data(vec![]), Part::Fin(9)])]);
    assert_eq!(cut(&ends, &[]), Ok((Said { ends: vec![0, 0], ..Said::default() }, true)));
}

#[test]
fn what_is_no_chunk_is_named() {
    let bad = |messages: &[u8]| cut(messages, &[]).unwrap_err();
    assert_eq!(bad(&[1, 0, 0, 0, 0]), BadMessage::Flag(1));
    assert_eq!(bad(b"<html>"), BadMessage::Flag(b'<'));
    assert_eq!(bad(&[0, 0, 2, 0, 1]), BadMessage::Long(MESSAGE + 1));
    assert_eq!(bad(&[0, 0xff, 0xff, 0xff, 0xff]), BadMessage::Long(u32::MAX as usize));
    let one = |message: &[u8]| bad(&framed(&[message.to_vec()]));
    assert_eq!(one(&[0x0a, 5, b'x']), BadMessage::Short);
    assert_eq!(one(&[0x0a]), BadMessage::Short);
    assert_eq!(one(&[0x80]), BadMessage::Short);
    assert_eq!(one(&[0x1d, 0, 0, 0]), BadMessage::Short);
    assert_eq!(one(&[0xff; 20]), BadMessage::Number);
    assert_eq!(one(&[0x0a, 1, b'x', 0x0a, 1, b'y']), BadMessage::Twice);
    assert_eq!(one(&[0, 0]), BadMessage::Key(0), "no field has number 0");
    assert_eq!(one(&[8, 1]), BadMessage::Key(8), "data is no number");
    assert_eq!(one(&[0x12, 1, 1]), BadMessage::Key(0x12), "the end is one");
    assert_eq!(one(&[0x1b, 0x1c]), BadMessage::Key(0x1b), "a group");
    let (_said, between) = cut(&[0, 0, 0, 0, 9, 0x0a, 7, 1], &[]).unwrap();
    assert!(!between, "the rest is missing");
}
