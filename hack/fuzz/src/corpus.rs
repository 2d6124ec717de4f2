//! Runs what is checked in, and variations of it that are the same every time. libFuzzer goes further, but not in every
//! gate.

use std::{fs, path::Path};

use crate::{json_list, json_watch, protobuf_list, protobuf_watch, resp_commands, resp_replies};

type Target = fn(&[u8]);

#[test]
fn json_lists_show_what_is_managed() {
    run("json_list", json_list, TOKENS);
}

#[test]
fn json_watches_show_what_is_managed() {
    run("json_watch", json_watch, TOKENS);
}

#[test]
fn protobuf_lists_show_what_is_managed() {
    run("protobuf_list", protobuf_list, TOKENS);
}

#[test]
fn protobuf_watches_show_what_is_managed() {
    run("protobuf_watch", protobuf_watch, TOKENS);
}

#[test]
fn commands_are_found_as_a_plain_reader_finds_them() {
    run("resp_commands", resp_commands, RESP_TOKENS);
}

#[test]
fn replies_are_found_as_a_plain_reader_finds_them() {
    run("resp_replies", resp_replies, RESP_TOKENS);
}

fn run(name: &str, target: Target, tokens: &[&str]) {
    let mut files = fs::read_dir(root().join(name)).unwrap().map(|file| file.unwrap().path()).collect::<Vec<_>>();
    files.sort();
    let seeds = files.iter().map(|file| fs::read(file).unwrap()).collect::<Vec<_>>();
    assert!(seeds.len() >= 20, "{} seeds", seeds.len());
    for (seed, file) in seeds.iter().zip(&files) {
        attack(target, seed, &file.display().to_string());
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for number in 0..VARIATIONS {
        let mut input = random.one_of(&seeds).clone();
        for _ in 0..=random.below(4) {
            random.vary(&mut input, &seeds, tokens);
        }
        attack(target, &input, &format!("variation {number}"));
    }
}

fn attack(target: Target, input: &[u8], name: &str) {
    // What fails is worth a file in the corpus.
    let failed = std::panic::catch_unwind(|| target(input)).is_err();
    assert!(!failed, "{name}: {:?}", String::from_utf8_lossy(input));
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus"))
}

/// Marsaglia's xorshift: the same numbers every time.
struct Random(u64);

// === impl Random ===

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn one_of<'t, T>(&mut self, things: &'t [T]) -> &'t T {
        &things[self.below(things.len())]
    }

    /// Changes an input in one of the ways that libFuzzer has.
    fn vary(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>], tokens: &[&str]) {
        let at = self.below(input.len() + 1);
        let end = input.len().min(at + self.below(20));
        match self.below(8) {
            0 => input.truncate(at),
            1 => drop(input.drain(at..end)),
            2 => input.insert(at, self.next() as u8),
            3 => input.extend_from_within(at..end),
            4 => drop(input.splice(at..at, self.one_of(tokens).bytes())),
            5 => {
                let other = self.one_of(seeds);
                let from = self.below(other.len());
                drop(input.splice(at.., other[from..].iter().copied()));
            }
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
            }
        }
    }
}

/// What inputs are made of.
const TOKENS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    " ",
    "null",
    "1",
    "\"items\":",
    "\"rows\":",
    "\"metadata\":",
    "\"object\":",
    "\"labels\":{\"m\":\"1\"}",
    "\"kind\":\"Table\"",
    "\"type\":\"ADDED\"",
    "\"m\":\"D\"",
    "k8s\0",
    "\u{a}\u{3}",
    "\u{12}\u{5}",
    "\u{0}\u{0}\u{0}\u{9}",
    "\u{7f}",
    "\u{1a}\u{0}\"\u{0}",
];

const RESP_TOKENS: &[&str] = &[
    "*",
    "$",
    "%",
    "~",
    ">",
    "|",
    "+",
    "-",
    ":",
    "_",
    "=",
    "!",
    "\r\n",
    "\r",
    "\n",
    "\u{0}",
    "1",
    "2",
    "0",
    "-1",
    "\"",
    "'",
    " ",
    "\\x41",
    "*1\r\n",
    "*2\r\n",
    "*3\r\n",
    "*0\r\n",
    "$3\r\nGET\r\n",
    "$4\r\nMGET\r\n",
    "$1\r\na\r\n",
    "$-1\r\n",
    "$7\r\nmessage\r\n",
    "|1\r\n",
    ">2\r\n",
    "%1\r\n",
    "GET a\r\n",
];

/// So many take a debug build a second or two.
const VARIATIONS: usize = 4_000;
