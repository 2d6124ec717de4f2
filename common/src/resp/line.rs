//! What both scanners read of a line: its number.

use std::ops::Range;

/// Where something stands in the bytes that it came with. Half the size of a range, since a hostile client has us hold
/// thousands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    length: u32,
}

// === impl Span ===

impl Span {
    /// What is not within the first 4 GiB is nowhere.
    pub(super) fn new(start: usize, length: usize) -> Self {
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Self { start: number(start), length: number(length) }
    }

    pub(super) fn of(self, bytes: &[u8]) -> &[u8] {
        let start = self.start as usize;
        let range: Range<usize> = start..start.saturating_add(self.length as usize);
        bytes.get(range).unwrap_or_default()
    }
}

/// A number as Redis reads it (`string2ll`, util.c): no sign but one minus, no leading zero, no space.
pub(super) fn number(digits: &[u8]) -> Option<i64> {
    let (first, rest) = digits.strip_prefix(b"-").unwrap_or(digits).split_first()?;
    let canonical = matches!(first, b'1'..=b'9') && rest.iter().all(u8::is_ascii_digit);
    if !canonical && digits != b"0" {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_redis_reads_them() {
        for (text, value) in [("0", 0), ("7", 7), ("-1", -1), ("9223372036854775807", i64::MAX)] {
            assert_eq!(number(text.as_bytes()), Some(value), "{text}");
        }
        assert_eq!(number(b"-9223372036854775808"), Some(i64::MIN));
        for bad in ["", "-", "-0", "00", "01", "+1", " 1", "1 ", "1x", "0x1", "9223372036854775808", "--1"] {
            assert_eq!(number(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(number(&[b'1'; 100_000]), None);
    }

    #[test]
    fn a_span_beyond_its_bytes_is_empty() {
        assert_eq!(Span::new(1, 2).of(b"abcd"), b"bc");
        assert_eq!(Span::new(3, 2).of(b"abcd"), b"");
        assert_eq!(Span::new(usize::MAX, usize::MAX).of(b"abcd"), b"");
    }
}
