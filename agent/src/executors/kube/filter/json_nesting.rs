//! Where a JSON text stands: how many objects and arrays are open, and whether it is within a string.
//!
//! Of a long list all bytes but the metadata are only passed over, so this is where its time goes. They are looked at
//! eight at once, each byte of a word a lane, and byte by byte only where the value may end.

/// Where a value stands that has begun.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Nesting {
    /// Objects and arrays that are open. Two counts would not tell more about input that is valid JSON.
    depth: u64,
    /// Within a string.
    text: bool,
    /// Behind a backslash.
    escape: bool,
    /// A backslash has been met outside of any string. It may have hidden what is no part of the value.
    stray: bool,
}

// === impl Nesting ===

impl Nesting {
    /// Goes on until nothing is open any more: `Some(n)` when that is behind the chunk's first `n` bytes.
    pub(super) fn end(&mut self, chunk: &[u8]) -> Option<usize> {
        let mut rest = chunk;
        loop {
            self.pass_words(&mut rest);
            for _ in 0..LANES {
                let (&byte, tail) = rest.split_first()?;
                rest = tail;
                self.pass(byte);
                if self.depth == 0 && !self.text {
                    return Some(chunk.len() - rest.len());
                }
            }
        }
    }

    /// Whether what was passed can be JSON, as far as that can be seen here.
    pub(super) fn is_sound(self) -> bool {
        !self.stray
    }

    /// Goes on by one byte.
    fn pass(&mut self, byte: u8) {
        match byte {
            _ if self.escape => self.escape = false,
            b'\\' => {
                self.escape = true;
                self.stray |= !self.text;
            }
            b'"' => self.text = !self.text,
            _ if self.text => {}
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }

    /// Goes on by whole words, up to one in which the value may end.
    fn pass_words(&mut self, rest: &mut &[u8]) {
        // A copy, so that it stays in registers.
        let mut here = *self;
        while let Some((bytes, tail)) = rest.split_first_chunk() {
            let word = u64::from_le_bytes(*bytes);
            let quotes = lanes_of(word, b'"');
            let escapes = lanes_of(word, b'\\');
            if here.text && !here.escape && quotes | escapes == 0 {
                *rest = tail;
                continue;
            }
            let (escaped, escape) =
                if here.escape || escapes != 0 { escaped(escapes, here.escape) } else { (0, false) };
            // Each lane's sum of the quotes up to it: an odd one is within a string, or not if the word began in one.
            let began = if here.text { EVERY_LANE } else { 0 };
            let text = ((quotes & !escaped).wrapping_mul(EVERY_LANE) & EVERY_LANE) ^ began;
            // `[` and `]` are `{` and `}` but for this bit. Control characters become others, but neither of these.
            let folded = word | (EVERY_LANE * 0x20);
            let inert = text | escaped;
            let stray = escapes & !inert != 0;
            let closed = count(lanes_of(folded, b'}') & !inert);
            if closed >= here.depth {
                break;
            }
            let opened = count(lanes_of(folded, b'{') & !inert);
            here.depth = here.depth.saturating_add(opened).saturating_sub(closed);
            here.text = text >> LAST_LANE != 0;
            here.escape = escape;
            here.stray |= stray;
            *rest = tail;
        }
        *self = here;
    }
}

/// A one in each lane that holds `byte`.
fn lanes_of(word: u64, byte: u8) -> u64 {
    let differing = word ^ (EVERY_LANE * u64::from(byte));
    // The sum sets a lane's topmost bit if any of the seven below is set, and never carries into the next lane.
    !(((differing & LOW_BITS) + LOW_BITS) | differing | LOW_BITS) >> 7
}

/// The lanes behind a backslash that is not behind one itself, and whether the next word begins so.
fn escaped(mut backslashes: u64, mut escape: bool) -> (u64, bool) {
    let mut escaped = u64::from(escape);
    backslashes &= !escaped;
    escape = false;
    while backslashes != 0 {
        let first = backslashes & backslashes.wrapping_neg();
        escape = first >> LAST_LANE != 0;
        escaped |= first << 8;
        backslashes &= !(first | first << 8);
    }
    (escaped, escape)
}

/// How many lanes hold a one.
fn count(lanes: u64) -> u64 {
    lanes.wrapping_mul(EVERY_LANE) >> LAST_LANE
}

const LANES: usize = 8;
const EVERY_LANE: u64 = u64::from_le_bytes([1; LANES]);
const LOW_BITS: u64 = EVERY_LANE * 0x7f;
/// How far the last lane is from the lowest bit.
const LAST_LANE: u32 = 56;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same, byte by byte.
    fn plainly(nesting: &mut Nesting, chunk: &[u8]) -> Option<usize> {
        chunk.iter().position(|byte| {
            nesting.pass(*byte);
            nesting.depth == 0 && !nesting.text
        })
    }

    #[test]
    fn every_byte_has_its_lane() {
        for byte in 0..=u8::MAX {
            for other in 0..=u8::MAX {
                let word = u64::from_le_bytes([byte, other, byte, other, other, other, byte, byte]);
                let expected = if byte == other { EVERY_LANE } else { 0x0101_0000_0001_0001 };
                assert_eq!(lanes_of(word, byte), expected, "{byte} {other}");
            }
        }
    }

    proptest! {
        #[test]
        fn words_tell_what_bytes_tell(
            depth in 0_u64..12,
            text: bool,
            input in "(x{0,90}|[\\[\\]{}\"\\\\a\u{2}\u{1b}\u{1d}é]{1,30}|(\\\\\\\\|\\\\\"){1,9}|\\{\"k\":\"v\"\\}){0,9}",
        ) {
            let mut quick = Nesting { depth, text, ..Nesting::default() };
            let mut plain = quick;
            let end = quick.end(input.as_bytes());
            prop_assert_eq!(end, plainly(&mut plain, input.as_bytes()).map(|at| at + 1));
            prop_assert_eq!(quick, plain);
        }
    }
}
