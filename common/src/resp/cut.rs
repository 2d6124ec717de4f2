//! Chunks as a socket may bring them, for the tests of both scanners.

/// The bytes in chunks of these lengths, and the rest.
pub(super) fn cut<'b>(bytes: &'b [u8], cuts: &[usize]) -> Vec<&'b [u8]> {
    let mut chunks = Vec::new();
    let mut rest = bytes;
    for cut in cuts {
        let (chunk, behind) = rest.split_at((*cut).min(rest.len()));
        chunks.push(chunk);
        rest = behind;
    }
    chunks.push(rest);
    chunks
}
