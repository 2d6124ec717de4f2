//! Chunks as they go out: gRPC messages laid out where the bytes are gathered, so that nothing has to be copied behind them.

use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use super::limits::CHUNK;

/// An empty chunk that says the end.
pub const FIN: Bytes = Bytes::from_static(&[0, 0, 0, 0, 2, FIN_KEY, 1]);

/// The head of a chunk with `length` bytes of data, and room for them: they are to be appended. One to [`CHUNK`] of them:
/// a chunk without data is written in another way.
///
/// # Panics
/// When that is no length that a chunk has.
#[must_use]
pub fn begin(length: usize) -> BytesMut {
    assert!((1..=CHUNK).contains(&length), "{length} bytes are no chunk's data");
    let field = 1 + encoded_len_varint(length as u64);
    // As much as it needs and no more: then its buffer becomes `Bytes` as it is.
    let mut frame = BytesMut::with_capacity(PREFIX + field + length);
    // Not compressed.
    frame.put_u8(0);
    frame.put_uint((field + length) as u64, PREFIX - 1);
    encode_key(DATA, WireType::LengthDelimited, &mut frame);
    encode_varint(length as u64, &mut frame);
    frame
}

/// What gRPC puts before a message: a flag, and the length in four bytes.
pub(super) const PREFIX: usize = 5;

/// The numbers of the fields of `Chunk`.
pub(super) const DATA: u32 = 1;
pub(super) const FINISHED: u32 = 2;

const FIN_KEY: u8 = (FINISHED as u8) << 3;

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::{proto::Chunk, tunnel::limits::FRAME};

    /// As gRPC has it.
    fn message(chunk: &Chunk) -> Vec<u8> {
        let mut message = vec![0];
        message.put_u32(u32::try_from(chunk.encoded_len()).unwrap());
        chunk.encode(&mut message).unwrap();
        message
    }

    #[test]
    fn a_chunk_is_what_protobuf_and_grpc_make_of_it() {
        for length in [1, 2, 127, 128, 1000, 16_383, 16_384, CHUNK] {
            let data = Bytes::from(vec![b'x'; length]);
            let mut frame = begin(length);
            frame.extend_from_slice(&data);
            assert_eq!(frame, message(&Chunk { data, fin: false }), "{length}");
            assert_eq!(frame.capacity(), frame.len(), "{length}");
        }
        assert_eq!(begin(CHUNK).len() + CHUNK, 2 * FRAME as usize);
        assert_eq!(FIN, message(&Chunk { data: Bytes::new(), fin: true }));
    }
}
