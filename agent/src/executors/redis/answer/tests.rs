use std::io::{Read, Write};

use bytes::BytesMut;
use common::resp::{ReplyScanner, replies::Limits};
use flate2::{Compression, bufread::GzDecoder, write::GzEncoder};
use proptest::prelude::*;
use tokio::io::AsyncReadExt;

use super::*;

/// What comes of an answer that comes in pieces of `size` bytes: what was given out, and why that was all.
fn given(form: Form, said: &[u8], size: usize) -> (Vec<u8>, Result<Option<Failure>, Wrong>) {
    let mut given = Vec::new();
    let told = tell(form, said, size, &mut given);
    (given, told)
}

fn tell(form: Form, said: &[u8], size: usize, given: &mut Vec<u8>) -> Result<Option<Failure>, Wrong> {
    let mut answer = Answer::new(form);
    let mut scanner = ReplyScanner::new(Limits::default());
    let mut came = BytesMut::new();
    for piece in said.chunks(size) {
        came.extend_from_slice(piece);
        while let Some(event) = scanner.next(&mut came).unwrap() {
            let mut out = Output::default();
            let heard = answer.hear(event, &mut out);
            let mut goes_on = heard.map(|()| true);
            while goes_on == Ok(true) {
                goes_on = answer.give(&mut out);
            }
            drain(&mut out, given);
            goes_on?;
        }
    }
    assert!(answer.is_over());
    Ok(answer.failure().cloned())
}

fn drain(out: &mut Output, into: &mut Vec<u8>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (mut near, mut far) = tokio::io::duplex(1 << 26);
        out.write_to(&mut near).await.unwrap();
        drop(near);
        far.read_to_end(into).await.unwrap();
    });
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn bulk(bytes: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// What Redis says to the four commands.
fn transaction(value: &[u8]) -> Vec<u8> {
    let end = &value[value.len().saturating_sub(4)..];
    [b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n".to_vec(), bulk(end), bulk(value)].concat()
}

/// The string in an answer.
fn string(answer: &[u8]) -> &[u8] {
    let begin = answer.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let length = std::str::from_utf8(&answer[1..begin - 2]).unwrap().parse::<usize>().unwrap();
    assert_eq!(answer.len(), begin + length + 2);
    &answer[begin..begin + length]
}

#[test]
fn what_needs_no_conversion_is_handed_on_byte_for_byte() {
    let long = bulk(&vec![b'x'; 100_000]);
    for (form, said) in [
        (Form::Value, b"$3\r\na\nb\r\n".as_slice()),
        (Form::Value, b"$-1\r\n"),
        (Form::Value, b"$0\r\n\r\n"),
        (Form::Value, &long),
        (Form::Number, b":-2\r\n"),
        (Form::Compressed, b"$-1\r\n"),
    ] {
        for size in [1, 2, 7, 4_096, said.len()] {
            assert_eq!(given(form, said, size), (said.to_vec(), Ok(None)), "{form:?}");
        }
    }
}

#[test]
fn what_redis_refuses_is_told_in_its_words() {
    let noperm = b"-NOPERM this user has no permissions\r\n".as_slice();
    let told = b"-ERR Redis refused the command: NOPERM this user has no permissions\r\n".to_vec();
    let failure = || Ok(Some(Failure::Refused("NOPERM this user has no permissions".into())));
    for form in [Form::Value, Form::Number, Form::Compressed, Form::CompressedLength, Form::PlainLength] {
        for size in [1, 5, noperm.len()] {
            assert_eq!(given(form, noperm, size), (told.clone(), failure()), "{form:?}");
        }
    }
    // In a transaction the first reason counts, whatever follows from it.
    let value = bulk(&[b'x'; 100_000]);
    for said in [
        [noperm, b"$4\r\nwxyz\r\n", &value, b"-ERR EXEC without MULTI\r\n"].concat(),
        [b"+OK\r\n".as_slice(), noperm, b"+QUEUED\r\n", b"-EXECABORT no\r\n"].concat(),
        [b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n".as_slice(), noperm, noperm].concat(),
        [b"+OK\r\n+QUEUED\r\n+QUEUED\r\n".as_slice(), noperm].concat(),
    ] {
        for size in [1, 30, said.len()] {
            assert_eq!(given(Form::Decompressed, &said, size), (told.clone(), failure()));
        }
    }
}

#[test]
fn what_is_no_answer_to_the_command_is_not_handed_on() {
    for (form, said) in [
        (Form::Value, b":1\r\n".as_slice()),
        (Form::Value, b"+OK\r\n"),
        (Form::Value, b"*1\r\n$1\r\nx\r\n"),
        (Form::Value, b">2\r\n+invalidate\r\n*0\r\n"),
        (Form::Number, b"$1\r\n1\r\n"),
        (Form::Compressed, b":1\r\n"),
        (Form::Decompressed, b"+OK\r\n+QUEUED\r\n+QUEUED\r\n:1\r\n"),
        (Form::Decompressed, b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*1\r\n$0\r\n\r\n"),
    ] {
        for size in [1, said.len()] {
            assert_eq!(given(form, said, size), (vec![], Err(Wrong::Kind)), "{}", said.escape_ascii());
        }
    }
}

#[test]
fn lengths_are_those_of_the_form_that_was_asked_for() {
    for (form, said, told) in [
        (Form::CompressedLength, b":0\r\n".as_slice(), b":0\r\n".as_slice()),
        (Form::CompressedLength, b":100\r\n", b":123\r\n"),
        (Form::PlainLength, b"$0\r\n\r\n", b":0\r\n"),
        (Form::PlainLength, b"$4\r\n\r\n\0\0\r\n", b":2573\r\n"),
    ] {
        for size in [1, 3, said.len()] {
            assert_eq!(given(form, said, size), (told.to_vec(), Ok(None)));
        }
    }
    for said in [b"$3\r\nabc\r\n".as_slice(), b"$4\r\n\xff\xff\xff\xff\r\n"] {
        let told = b"-ERR the value cannot be measured\r\n".to_vec();
        assert_eq!(given(Form::PlainLength, said, 3), (told, Ok(Some(Failure::Conversion("measured")))));
    }
}

#[test]
fn what_is_not_there_is_not_there_in_any_form() {
    let said = b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$0\r\n\r\n$-1\r\n";
    for size in 1..said.len() {
        assert_eq!(given(Form::Decompressed, said, size), (b"$-1\r\n".to_vec(), Ok(None)), "{size}");
    }
}

#[test]
fn what_cannot_be_decompressed_is_told_as_long_as_nothing_has_gone_out() {
    let told = b"-ERR the value cannot be decompressed\r\n".to_vec();
    let failure = || Ok(Some(Failure::Conversion("decompressed")));
    for value in [b"{\"nodes\":[]}".as_slice(), b"", b"abc", &[0xff; 5_000], &gzip(b"text")[..20]] {
        for size in [1, 100, 100_000] {
            assert_eq!(given(Form::Decompressed, &transaction(value), size), (told.clone(), failure()));
        }
    }
    // It says that it is shorter than it is.
    let mut small = gzip(b"some text");
    let place = small.len() - 4;
    small[place] = 1;
    assert_eq!(given(Form::Decompressed, &transaction(&small), 100_000), (told, failure()));
}

#[test]
fn what_turns_out_wrong_later_is_cut() {
    let plain = (0..200_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>();
    let value = gzip(&plain);
    for (place, size) in [(value.len() - 5, 1_000), (value.len() - 4, 100_000), (value.len() / 2, 7_000)] {
        let mut wrong = value.clone();
        wrong[place] ^= 0x55;
        let (given, told) = given(Form::Decompressed, &transaction(&wrong), size);
        assert_eq!(told, Err(Wrong::Value));
        assert!(given.len() < plain.len() + 100);
    }
}

proptest! {
    #[test]
    fn values_are_converted_whatever_the_cuts(
        plain in proptest::collection::vec(any::<u8>(), 1..3_000), times in 1_usize..60, size in 1_usize..70_000,
    ) {
        let plain = plain.repeat(times);
        let (given_out, told) = given(Form::Compressed, &bulk(&plain), size.max(plain.len() / 500));
        prop_assert_eq!(told, Ok(None));
        let mut read = Vec::new();
        GzDecoder::new(string(&given_out)).read_to_end(&mut read).unwrap();
        prop_assert!(read == plain);

        let said = transaction(&gzip(&plain));
        let (given_out, told) = given(Form::Decompressed, &said, size.max(said.len() / 500));
        prop_assert_eq!(told, Ok(None));
        prop_assert!(string(&given_out) == plain);
    }
}
