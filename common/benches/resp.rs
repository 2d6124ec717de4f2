//! What finding commands and replies costs by itself, beside Redis's own work of about a microsecond for each.

use bytes::BytesMut;
use common::resp::{CommandEvent, CommandScanner, ReplyEvent, ReplyScanner, commands, replies};
use divan::{
    Bencher,
    counter::{BytesCount, ItemsCount},
};

fn main() {
    divan::main();
}

/// What Argo CD's clients say, a hundred at once, as a pipeline sends them.
#[divan::bench(args = ["GET", "SET 2.7 KB", "PUBLISH"])]
fn command(bencher: Bencher<'_, '_>, what: &str) {
    let key = "app|managed-resources|in-cluster_shop|1.8.3.gz";
    let value = "x".repeat(2700);
    let command = match what {
        "GET" => array(&["GET", key]),
        "PUBLISH" => array(&["PUBLISH", key, "1"]),
        _ => array(&["SET", key, &value, "EX", "3600"]),
    };
    let run = |mut input: BytesMut| {
        let mut scanner = CommandScanner::new(commands::Limits::default());
        let mut found = 0;
        while let Some(event) = scanner.next(&mut input).expect("commands") {
            found += usize::from(match event {
                CommandEvent::Command(command) => command.is_whole(),
                CommandEvent::Part(part) => part.is_last(),
                CommandEvent::Nothing(_) => false,
            });
        }
        assert_eq!(found, AT_ONCE);
        scanner
    };
    measure(bencher, &command.repeat(AT_ONCE), AT_ONCE, run);
}

/// What Redis says, a hundred at once.
#[divan::bench(args = ["OK", "2.7 KB", "message", "100 integers"])]
fn reply(bencher: Bencher<'_, '_>, what: &str) {
    let reply = match what {
        "OK" => "+OK\r\n".to_owned(),
        "message" => array(&["message", "app|managed-resources|in-cluster_shop", "1"]).replacen('*', ">", 1),
        "100 integers" => format!("*100\r\n{}", ":12345\r\n".repeat(100)),
        _ => format!("$2700\r\n{}\r\n", "x".repeat(2700)),
    };
    let run = |mut input: BytesMut| {
        let mut scanner = ReplyScanner::new(replies::Limits::default());
        let mut found = 0;
        while let Some(event) = scanner.next(&mut input).expect("replies") {
            found += usize::from(match event {
                ReplyEvent::Reply(reply) => reply.is_whole(),
                ReplyEvent::Part(part) => part.is_last(),
            });
        }
        assert_eq!(found, AT_ONCE);
        scanner
    };
    measure(bencher, &reply.repeat(AT_ONCE), AT_ONCE, run);
}

/// A value of 32 MiB, as it is read: 16 KiB at a time.
#[divan::bench]
fn large_reply(bencher: Bencher<'_, '_>) {
    let size = 32 << 20;
    let piece = vec![b'x'; 16 << 10];
    let head = format!("${size}\r\n");
    bencher.counter(BytesCount::new(size as u64)).bench(|| {
        let mut scanner = ReplyScanner::new(replies::Limits::default());
        let (mut input, mut passed) = (BytesMut::from(head.as_bytes()), 0);
        let ends = size / piece.len();
        for number in 0..=ends {
            input.extend_from_slice(if number == ends { b"\r\n" } else { &piece });
            while let Some(event) = scanner.next(&mut input).expect("a reply") {
                passed += match event {
                    ReplyEvent::Reply(reply) => reply.part().bytes().len(),
                    ReplyEvent::Part(part) => part.bytes().len(),
                };
            }
        }
        assert_eq!(passed, head.len() + size + 2);
    });
}

fn measure<T>(bencher: Bencher<'_, '_>, said: &str, count: usize, run: impl Fn(BytesMut) -> T + Sync) {
    let bencher = bencher.counter(ItemsCount::new(count)).counter(BytesCount::new(said.len()));
    bencher.with_inputs(|| BytesMut::from(said.as_bytes())).bench_values(run);
}

fn array(words: &[&str]) -> String {
    let words = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
    [format!("*{}\r\n", words.len())].into_iter().chain(words).collect()
}

const AT_ONCE: usize = 100;
