//! What it costs to write a pipe's chunks as gRPC messages, and to read them: all that the tunnel does to bytes but for
//! HTTP/2 and TLS. A mebibyte in chunks of the sizes that occur.

use bytes::Bytes;
use common::tunnel::{
    cutter::Cutter,
    frame,
    limits::{self, FRAME},
};
use divan::{
    Bencher,
    counter::{BytesCount, ItemsCount},
};

fn main() {
    divan::main();
}

#[divan::bench(args = SIZES)]
fn write(bencher: Bencher<'_, '_>, size: usize) {
    let data = vec![b'x'; size];
    assert!(written(&data).iter().map(Bytes::len).sum::<usize>() > TOTAL / size * size);
    let bencher = bencher.counter(BytesCount::new(TOTAL)).counter(ItemsCount::new(TOTAL / size));
    bencher.bench(|| written(&data));
}

#[divan::bench(args = SIZES)]
fn read(bencher: Bencher<'_, '_>, size: usize) {
    let frames = carried(&written(&vec![b'x'; size]));
    assert_eq!(read_all(frames.clone()), TOTAL / size * size);
    let bencher = bencher.counter(BytesCount::new(TOTAL)).counter(ItemsCount::new(TOTAL / size));
    bencher.with_inputs(|| frames.clone()).bench_values(read_all);
}

/// Chunks with this data each.
fn written(data: &[u8]) -> Vec<Bytes> {
    let chunks = (0..TOTAL / data.len()).map(|_| {
        let mut chunk = frame::begin(data.len());
        chunk.extend_from_slice(data);
        chunk.freeze()
    });
    chunks.collect()
}

/// The data of HTTP/2's frames.
fn carried(chunks: &[Bytes]) -> Vec<Bytes> {
    chunks.concat().chunks(FRAME as usize).map(Bytes::copy_from_slice).collect()
}

/// How many bytes arrived.
fn read_all(frames: Vec<Bytes>) -> usize {
    let (mut cutter, mut length) = (Cutter::default(), 0);
    for mut frame in frames {
        while let Some(piece) = cutter.cut(&mut frame).expect("chunks can be read") {
            length += piece.data.len();
        }
    }
    length
}

/// A line of a log, a small object, what TLS delivers, and as much as a chunk holds.
const SIZES: [usize; 4] = [128, 1 << 10, 16 << 10, limits::CHUNK];

const TOTAL: usize = 1 << 20;
