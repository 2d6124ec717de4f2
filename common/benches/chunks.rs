//! What it costs to write a pipe's chunks as gRPC messages, and to read them: all that the tunnel does to bytes but for
//! HTTP/2 and TLS. A mebibyte in chunks of the sizes that occur.

use std::convert::Infallible;

use bytes::Bytes;
use common::{
    proto::Chunk,
    tunnel::{codec::TunnelCodec, limits},
};
use divan::{
    Bencher,
    counter::{BytesCount, ItemsCount},
};
use futures_util::{FutureExt, StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tonic::{
    Status, Streaming,
    codec::{Codec, EncodeBody},
};

fn main() {
    divan::main();
}

#[divan::bench(args = SIZES)]
fn write(bencher: Bencher<'_, '_>, size: usize) {
    let chunks = chunks(size);
    let written = written(chunks.clone()).iter().map(Bytes::len).sum::<usize>();
    assert!(written > TOTAL, "{written} bytes");
    let bencher = bencher.counter(BytesCount::new(TOTAL)).counter(ItemsCount::new(TOTAL / size));
    bencher.with_inputs(|| chunks.clone()).bench_values(self::written);
}

#[divan::bench(args = SIZES)]
fn read(bencher: Bencher<'_, '_>, size: usize) {
    let frames = written(chunks(size));
    assert_eq!(read_all(frames.clone()), TOTAL);
    let bencher = bencher.counter(BytesCount::new(TOTAL)).counter(ItemsCount::new(TOTAL / size));
    bencher.with_inputs(|| frames.clone()).bench_values(read_all);
}

fn chunks(size: usize) -> Vec<Chunk> {
    let data = Bytes::from(vec![b'x'; size]);
    (0..TOTAL / size).map(|_| Chunk { data: data.clone(), fin: false }).collect()
}

/// The data of HTTP/2's frames.
fn written(chunks: Vec<Chunk>) -> Vec<Bytes> {
    let encoder = TunnelCodec::<Chunk, Chunk>::default().encoder();
    let mut body = Box::pin(EncodeBody::new_client(encoder, stream::iter(chunks.into_iter().map(Ok)), None, None));
    let mut frames = Vec::new();
    while let Some(frame) = body.frame().now_or_never().expect(THERE) {
        frames.extend(frame.expect("chunks can be written").into_data());
    }
    frames
}

/// How many bytes arrived.
fn read_all(frames: Vec<Bytes>) -> usize {
    let decoder = TunnelCodec::<Chunk, Chunk>::default().decoder();
    let frames = frames.into_iter().map(|data| Ok::<_, Infallible>(Frame::data(data)));
    let body =
        StreamBody::new(stream::iter(frames).map(|frame| frame.map_err(|never| Status::unknown(never.to_string()))));
    let mut chunks = Streaming::new_request(decoder, body, None, Some(limits::MESSAGE));
    let mut length = 0;
    while let Some(chunk) = chunks.next().now_or_never().expect(THERE) {
        length += chunk.expect("chunks can be read").data.len();
    }
    length
}

/// A line of a log, a small object, what TLS delivers, and as much as a chunk holds.
const SIZES: [usize; 4] = [128, 1 << 10, 16 << 10, limits::CHUNK];

const TOTAL: usize = 1 << 20;

/// No runtime: that would be measured, too.
const THERE: &str = "all is there, so nothing is waited for";
