//! A value on its way to somebody who compresses what we do not, or does not compress what we do.
//!
//! Both ways the length has to be told before the first byte, and nothing is held: so what is compressed here is not
//! made smaller (blocks that are "stored", RFC 1951, 3.2.4), and what is decompressed has to say itself how long it will
//! be (RFC 1952, ISIZE). What says so wrongly is broken off before it has become longer.

use std::io::Write;

use bytes::{BufMut, Bytes, BytesMut};
use flate2::{Crc, write::GzDecoder};

/// Makes a gzip member of plain bytes.
#[derive(Debug)]
pub(super) struct Compress {
    /// So many bytes are to come in all, and in the block that has begun.
    left: u64,
    block: u16,
    crc: Crc,
}

/// Makes plain bytes of a gzip member, of a length that was told.
#[derive(Debug)]
pub(super) struct Decompress {
    decoder: GzDecoder<Vec<u8>>,
    /// So many bytes are to come out.
    left: u64,
}

/// It is no gzip member, or its length is another than it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

// === impl Compress ===

impl Compress {
    /// How long what comes out is, of so many bytes.
    pub(super) fn length(plain: u64) -> u64 {
        let blocks = plain.div_ceil(u64::from(BLOCK)).max(1);
        HEADER.len() as u64 + blocks * BLOCK_HEADER + plain + TRAILER
    }

    /// Begins with the header; `length` bytes are to be [pushed](Self::push), none of them too.
    pub(super) fn begin(length: u64) -> (Self, Bytes) {
        (Self { left: length, block: 0, crc: Crc::new() }, Bytes::from_static(&HEADER))
    }

    /// Takes the next bytes, no more than are to come, and gives out what comes of them. The last of them, or none where
    /// there are none, ends the member.
    pub(super) fn push(&mut self, mut plain: Bytes, mut out: impl FnMut(Bytes)) {
        self.crc.update(&plain);
        let mut ends = self.left == 0;
        if ends {
            out(block_header(0, true));
        }
        while !plain.is_empty() && self.left > 0 {
            if self.block == 0 {
                self.block = u16::try_from(self.left).unwrap_or(BLOCK);
                out(block_header(self.block, self.left == u64::from(self.block)));
            }
            let some = plain.split_to(plain.len().min(usize::from(self.block)));
            // No more than the block has.
            self.block -= u16::try_from(some.len()).unwrap_or(self.block);
            self.left -= some.len() as u64;
            ends = self.left == 0;
            out(some);
        }
        if ends {
            let mut trailer = BytesMut::with_capacity(8);
            trailer.put_u32_le(self.crc.sum());
            trailer.put_u32_le(self.crc.amount());
            out(trailer.freeze());
        }
    }
}

// === impl Decompress ===

impl Decompress {
    /// `length` bytes are to come out.
    pub(super) fn begin(length: u64) -> Self {
        Self { decoder: GzDecoder::new(Vec::new()), left: length }
    }

    /// Takes the next bytes, at most a [`PIECE`], and gives out what comes of them, which may be nothing.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<Bytes, Broken> {
        self.decoder.write_all(piece).map_err(|_no_gzip| Broken)?;
        self.taken()
    }

    /// All has been pushed: the last bytes.
    pub(super) fn finish(&mut self) -> Result<Bytes, Broken> {
        self.decoder.try_finish().map_err(|_no_gzip| Broken)?;
        let last = self.taken()?;
        if self.left == 0 { Ok(last) } else { Err(Broken) }
    }

    fn taken(&mut self) -> Result<Bytes, Broken> {
        let plain = std::mem::take(self.decoder.get_mut());
        self.left = self.left.checked_sub(plain.len() as u64).ok_or(Broken)?;
        Ok(plain.into())
    }
}

/// How long a gzip member says that it is when decompressed, by its last four bytes. None where it has no such length
/// as Redis can hold.
pub(super) fn plain_length(last_bytes: &[u8]) -> Option<u64> {
    let bytes: [u8; 4] = last_bytes.try_into().ok()?;
    Some(u64::from(u32::from_le_bytes(bytes))).filter(|length| *length <= LONGEST)
}

fn block_header(length: u16, is_last: bool) -> Bytes {
    let mut header = BytesMut::with_capacity(5);
    header.put_u8(u8::from(is_last));
    header.put_u16_le(length);
    header.put_u16_le(!length);
    header.freeze()
}

/// gzip, deflate, no flags, no time, no level, no system (RFC 1952, 2.3).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
const BLOCK_HEADER: u64 = 5;
const TRAILER: u64 = 8;
/// The most that a stored block has.
const BLOCK: u16 = u16::MAX;

/// So much is decompressed at a time: deflate expands a byte to 1,032 at most, so what comes of it is half a mebibyte.
pub(super) const PIECE: usize = 512;

/// Redis's `proto-max-bulk-len`, as it is unless configured: a client expects nothing longer.
const LONGEST: u64 = 512 << 20;

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::{
        Compression,
        bufread::{GzDecoder as Reader, MultiGzDecoder},
        write::GzEncoder,
    };
    use proptest::prelude::*;

    use super::*;

    fn cut(bytes: &[u8], size: usize) -> impl Iterator<Item = Bytes> {
        bytes.chunks(size.max(1)).map(Bytes::copy_from_slice)
    }

    fn compressed(plain: &[u8], size: usize) -> Vec<u8> {
        let (mut compress, header) = Compress::begin(plain.len() as u64);
        let mut all = header.to_vec();
        let mut out = |bytes: Bytes| all.extend_from_slice(&bytes);
        if plain.is_empty() {
            compress.push(Bytes::new(), &mut out);
        }
        for piece in cut(plain, size) {
            compress.push(piece, &mut out);
        }
        all
    }

    fn decompressed(compressed: &[u8], length: u64, size: usize) -> Result<Vec<u8>, Broken> {
        let mut decompress = Decompress::begin(length);
        let mut all = Vec::new();
        for piece in cut(compressed, size.min(PIECE)) {
            let plain = decompress.push(&piece)?;
            assert!(plain.len() <= 600 << 10);
            all.extend_from_slice(&plain);
        }
        all.extend_from_slice(&decompress.finish()?);
        Ok(all)
    }

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_is_compressed_is_as_long_as_was_told_and_any_reader_reads_it() {
        for length in [0, 1, 65_534, 65_535, 65_536, 131_070, 131_071, 300_000] {
            let plain = (0..length).map(|number: u32| (number / 3) as u8).collect::<Vec<_>>();
            let compressed = compressed(&plain, 10_000);
            assert_eq!(compressed.len() as u64, Compress::length(u64::from(length)));
            let mut read = Vec::new();
            Reader::new(compressed.as_slice()).read_to_end(&mut read).unwrap();
            assert!(read == plain, "{length}");
            let told = plain_length(&compressed[compressed.len() - 4..]);
            assert_eq!(told, Some(u64::from(length)));
        }
    }

    #[test]
    fn a_length_that_is_not_kept_is_broken_off_before_more_comes_out() {
        let zeros = gzip(&vec![0; 50 << 20]);
        assert_eq!(decompressed(&zeros, 1 << 20, 1_000), Err(Broken));
        let small = gzip(b"some text");
        assert_eq!(decompressed(&small, 9, 3), Ok(b"some text".to_vec()));
        assert_eq!(decompressed(&small, 8, 3), Err(Broken));
        assert_eq!(decompressed(&small, 10, 3), Err(Broken));
        // The length of the last member is not that of all.
        let two = [gzip(b"some "), gzip(b"text")].concat();
        let mut read = Vec::new();
        MultiGzDecoder::new(two.as_slice()).read_to_end(&mut read).unwrap();
        assert_eq!(read, b"some text");
        assert_eq!(decompressed(&two, 4, 3), Err(Broken));
        assert_eq!(decompressed(&two, 5, 3), Err(Broken));
    }

    #[test]
    fn what_is_no_gzip_is_broken() {
        assert_eq!(decompressed(b"{\"nodes\":[]}", 12, 5), Err(Broken));
        assert_eq!(decompressed(b"", 0, 5), Err(Broken));
        let whole = gzip(b"some text");
        assert_eq!(decompressed(&whole[..whole.len() - 1], 9, 5), Err(Broken));
        let mut wrong = whole.clone();
        let place = wrong.len() - 6;
        wrong[place] ^= 1;
        assert_eq!(decompressed(&wrong, 9, 5), Err(Broken));
        assert_eq!(decompressed(&[&whole[..], b"more"].concat(), 9, 5), Err(Broken));
    }

    #[test]
    fn no_more_is_announced_than_redis_would_hold() {
        assert_eq!(plain_length(&[0, 0, 0, 0x20]), Some(512 << 20));
        assert_eq!(plain_length(&[1, 0, 0, 0x20]), None);
        assert_eq!(plain_length(&[0xff; 4]), None);
        assert_eq!(plain_length(&[0; 3]), None);
    }

    proptest! {
        #[test]
        fn what_was_converted_comes_back_whatever_the_cuts(
            plain in proptest::collection::vec(any::<u8>(), 0..2_000), times in 1_usize..80,
            cut in 1_usize..70_000, other in 1_usize..70_000,
        ) {
            let plain = plain.repeat(times);
            let there = compressed(&plain, cut);
            prop_assert_eq!(there.len() as u64, Compress::length(plain.len() as u64));
            let back = decompressed(&there, plain.len() as u64, other).map_err(|_| TestCaseError::fail("broken"))?;
            prop_assert!(back == plain);
            let back = decompressed(&gzip(&plain), plain.len() as u64, cut);
            prop_assert!(back.is_ok_and(|back| back == plain));
        }
    }
}
