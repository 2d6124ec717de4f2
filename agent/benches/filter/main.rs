//! What the managed filter costs by itself: lists of a thousand Pods, in each of the three forms in which they come.
//!
//! Nobody is asked what an object is; that all, half or none of it passes is known by its number. Bytes per second are of
//! what arrives.

mod pods;

use agent::executors::kube::bench::{Form, list};
use divan::{Bencher, counter::BytesCount};

fn main() {
    divan::main();
}

#[divan::bench(args = SHOWN)]
fn json(bencher: Bencher<'_, '_>, shown: Shown) {
    filter(bencher, Form::Json, shown);
}

#[divan::bench(args = SHOWN)]
fn table(bencher: Bencher<'_, '_>, shown: Shown) {
    filter(bencher, Form::Table, shown);
}

#[divan::bench(args = SHOWN)]
fn protobuf(bencher: Bencher<'_, '_>, shown: Shown) {
    filter(bencher, Form::Protobuf, shown);
}

fn filter(bencher: Bencher<'_, '_>, form: Form, shown: Shown) {
    let pods = pods::list(form, PODS);
    let mut rest = pods.clone();
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        chunks.push(rest.split_to(rest.len().min(CHUNK)));
    }
    let run = |chunks: Vec<_>| list(form, chunks, |number| shown.shows(number));
    // What is measured must be right.
    let passed = run(chunks.clone()).expect("the list can be read");
    match shown {
        Shown::All => assert_eq!(passed, pods.len(), "all is shown as it came"),
        // A list in protobuf keeps its length, which it says before its items come: filler stands for what is hidden.
        Shown::Half | Shown::None if form == Form::Protobuf => assert!(passed <= pods.len(), "{passed} bytes"),
        Shown::Half => assert!((pods.len() * 2 / 5..pods.len() * 3 / 5).contains(&passed), "{passed} bytes"),
        Shown::None => assert!(passed < 1000, "{passed} bytes"),
    }
    bencher.counter(BytesCount::new(pods.len())).with_inputs(|| chunks.clone()).bench_values(run);
}

/// How much of a list is managed.
#[derive(Debug, Clone, Copy)]
enum Shown {
    All,
    Half,
    None,
}

// === impl Shown ===

impl Shown {
    fn shows(self, number: usize) -> bool {
        match self {
            Self::All => true,
            Self::Half => number.is_multiple_of(2),
            Self::None => false,
        }
    }
}

const SHOWN: [Shown; 3] = [Shown::All, Shown::Half, Shown::None];

const PODS: usize = 1000;

/// As TLS delivers.
const CHUNK: usize = 16 << 10;
