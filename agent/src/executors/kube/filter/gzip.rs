//! Compression on the way past the filter: an answer that came compressed leaves compressed.

use std::io::Write;

use bytes::Bytes;
use flate2::{
    Compression,
    write::{GzDecoder, GzEncoder},
};

use super::scan::ScanError;

/// Decompresses what the API server compressed, piece by piece.
#[derive(Debug)]
pub(super) struct Gunzip {
    decoder: GzDecoder<Vec<u8>>,
    /// Compressed bytes that wait.
    rest: Bytes,
}

/// Compresses what is shown of it.
#[derive(Debug)]
pub(super) struct Gzip(GzEncoder<Vec<u8>>);

// === impl Gunzip ===

impl Gunzip {
    pub(super) fn new() -> Self {
        Self { decoder: GzDecoder::new(Vec::new()), rest: Bytes::new() }
    }

    /// Takes the next chunk. Called only when [`next`](Self::next) has nothing more.
    pub(super) fn push(&mut self, chunk: Bytes) {
        self.rest = chunk;
    }

    /// The next piece, no larger than what [`PIECE`] bytes can expand to.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, ScanError> {
        while !self.rest.is_empty() {
            let piece = self.rest.split_to(PIECE.min(self.rest.len()));
            self.decoder.write_all(&piece).map_err(ScanError::Compressed)?;
            let plain = std::mem::take(self.decoder.get_mut());
            if !plain.is_empty() {
                return Ok(Some(plain.into()));
            }
        }
        Ok(None)
    }

    /// What is left when all has come.
    ///
    /// # Errors
    /// When the end is missing or its checksum is wrong.
    pub(super) fn finish(&mut self) -> Result<Bytes, ScanError> {
        self.decoder.try_finish().map_err(ScanError::Compressed)?;
        Ok(std::mem::take(self.decoder.get_mut()).into())
    }
}

// === impl Gzip ===

impl Gzip {
    pub(super) fn new() -> Self {
        Self(GzEncoder::new(Vec::new(), Compression::new(LEVEL)))
    }

    /// Compresses a piece. What comes out may be empty.
    pub(super) fn push(&mut self, piece: &[u8]) -> Bytes {
        self.0.write_all(piece).expect("writing to memory does not fail");
        std::mem::take(self.0.get_mut()).into()
    }

    /// The last bytes.
    pub(super) fn finish(&mut self) -> Bytes {
        self.0.try_finish().expect("writing to memory does not fail");
        std::mem::take(self.0.get_mut()).into()
    }
}

/// Deflate expands a byte to 1,032 at most, so this many are no more than 4 MiB.
const PIECE: usize = 4 << 10;
/// As kube-apiserver (`defaultGzipContentEncodingLevel`, `endpoints/handlers/responsewriters/writers.go`).
const LEVEL: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn compress(plain: &[u8]) -> Vec<u8> {
        let mut gzip = Gzip::new();
        let mut compressed = gzip.push(plain).to_vec();
        compressed.extend_from_slice(&gzip.finish());
        compressed
    }

    #[test]
    fn what_was_compressed_comes_back_whatever_the_chunks() {
        let plain: Vec<u8> = (0..300_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let compressed = Bytes::from(compress(&plain));
        for size in [1_000, 4_096, 100_000, compressed.len()] {
            let mut gunzip = Gunzip::new();
            let mut read = Vec::new();
            for start in (0..compressed.len()).step_by(size) {
                gunzip.push(compressed.slice(start..compressed.len().min(start + size)));
                while let Some(piece) = gunzip.next().unwrap() {
                    read.extend_from_slice(&piece);
                }
            }
            read.extend_from_slice(&gunzip.finish().unwrap());
            assert!(read == plain);
        }
    }

    #[test]
    fn what_expands_a_thousandfold_comes_in_pieces() {
        let mut gunzip = Gunzip::new();
        gunzip.push(compress(&vec![0; 50 << 20]).into());
        let mut total = 0;
        while let Some(piece) = gunzip.next().unwrap() {
            assert!(piece.len() <= 5 << 20);
            total += piece.len();
        }
        assert_eq!(total + gunzip.finish().unwrap().len(), 50 << 20);
    }

    #[test]
    fn what_is_cut_short_or_no_gzip_is_an_error() {
        let compressed = compress(b"some text");
        let mut gunzip = Gunzip::new();
        gunzip.push(Bytes::from(compressed).slice(..12));
        while gunzip.next().unwrap().is_some() {}
        assert!(matches!(gunzip.finish(), Err(ScanError::Compressed(_))));

        let mut gunzip = Gunzip::new();
        gunzip.push(Bytes::from_static(b"{\"kind\":\"PodList\"}"));
        assert!(matches!(gunzip.next(), Err(ScanError::Compressed(_))));
    }
}
