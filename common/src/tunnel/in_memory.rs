//! Pipes without the gRPC connection between their ends. For tests; public behind the feature `test-util`.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::StreamExt;
use http_body_util::StreamBody;
use hyper::body::Frame;
use tonic::{
    Status, Streaming,
    codec::{DecodeBuf, Decoder},
};

use super::stream::Outgoing;
use crate::proto::Chunk;

/// What one end says, as it comes to the other.
///
/// # Panics
/// When a chunk is longer than gRPC can say.
#[must_use]
pub fn carried(outgoing: Outgoing) -> Streaming<Chunk> {
    let frames = outgoing.map(|chunk| {
        let mut message = BytesMut::new();
        message.put_u8(0);
        message.put_u32(u32::try_from(chunk.data.len()).expect("a chunk is short") + 1);
        message.put_u8(chunk.fin.into());
        message.put(chunk.data);
        Ok::<Frame<Bytes>, io::Error>(Frame::data(message.freeze()))
    });
    let body = StreamBody::new(frames.map(|frame| frame.map_err(|error| Status::unknown(error.to_string()))));
    Streaming::new_request(Chunks, body, None, None)
}

struct Chunks;

impl Decoder for Chunks {
    type Item = Chunk;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Chunk>, Status> {
        let fin = message.get_u8() == 1;
        Ok(Some(Chunk { fin, data: message.copy_to_bytes(message.remaining()) }))
    }
}
