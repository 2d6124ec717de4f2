//! What Redis says to EXEC of a transaction that reads the end of a string and then all of it.

use bytes::Bytes;

/// The beginning of that answer, `*2`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Transaction {
    /// There is no such string.
    Nil,
    /// Redis said no; this is the line.
    Error(Bytes),
    /// It is `length` bytes long, the first of which `begins` may have.
    Value { last_bytes: Bytes, length: u64, begins: Bytes },
}

// === impl Transaction ===

impl Transaction {
    /// Reads the beginning, up to where the long string begins. The scanner hands it on in one piece, since the first
    /// string is short. None where it is something else.
    pub(super) fn read(bytes: &Bytes) -> Option<Self> {
        let (count, rest) = line(bytes)?;
        let (first, rest) = Some(line(&rest)?).filter(|_| count == "*2")?;
        if first.starts_with(b"-") {
            return Some(Self::Error(first));
        }
        let length = usize::try_from(string(&first)?).ok().filter(|length| *length <= 4)?;
        let (last_bytes, rest) = (rest.get(..length)?, rest.get(length..)?);
        let (second, begins) = line(&bytes.slice_ref(rest.strip_prefix(b"\r\n")?))?;
        if second.starts_with(b"-") {
            return Some(Self::Error(second));
        }
        if second == "$-1" {
            return Some(Self::Nil);
        }
        Some(Self::Value { last_bytes: bytes.slice_ref(last_bytes), length: string(&second)?, begins })
    }
}

/// What is behind the first line.
pub(super) fn behind_line(bytes: &Bytes) -> Option<Bytes> {
    line(bytes).map(|(_, rest)| rest)
}

/// The first line without its end, and what is behind it.
fn line(bytes: &Bytes) -> Option<(Bytes, Bytes)> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    Some((bytes.slice(..end), bytes.slice(end + 2..)))
}

/// How long the string is that this line begins.
fn string(line: &[u8]) -> Option<u64> {
    std::str::from_utf8(line.strip_prefix(b"$")?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str) -> Option<Transaction> {
        Transaction::read(&Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn the_end_of_a_string_stands_before_it() {
        let value = |last_bytes: &'static str, length, begins: &'static str| {
            Some(Transaction::Value { last_bytes: last_bytes.into(), length, begins: begins.into() })
        };
        assert_eq!(read("*2\r\n$4\r\nwxyz\r\n$26\r\nabc"), value("wxyz", 26, "abc"));
        assert_eq!(read("*2\r\n$4\r\n\r\n\r\n\r\n$5\r\n"), value("\r\n\r\n", 5, ""));
        assert_eq!(read("*2\r\n$3\r\nxyz\r\n$3\r\nxyz\r\n"), value("xyz", 3, "xyz\r\n"));
        assert_eq!(read("*2\r\n$0\r\n\r\n$0\r\n\r\n"), value("", 0, "\r\n"));
        assert_eq!(read("*2\r\n$0\r\n\r\n$-1\r\n"), Some(Transaction::Nil));
    }

    #[test]
    fn an_error_is_found_in_either_place() {
        let error = Some(Transaction::Error("-WRONGTYPE no".into()));
        assert_eq!(read("*2\r\n-WRONGTYPE no\r\n"), error);
        assert_eq!(read("*2\r\n-WRONGTYPE no\r\n-WRONGTYPE no\r\n"), error);
        assert_eq!(read("*2\r\n$0\r\n\r\n-WRONGTYPE no\r\n"), error);
    }

    #[test]
    fn anything_else_is_none() {
        for text in
            ["", "*2\r\n", "*3\r\n$0\r\n\r\n$-1\r\n", "*2\r\n$5\r\nvwxyz\r\n$5\r\n", "*2\r\n:1\r\n$-1\r\n", "*-1\r\n"]
        {
            assert_eq!(read(text), None, "{text:?}");
        }
        assert_eq!(read("*2\r\n$4\r\nwxyz\r\n"), None);
        assert_eq!(read("*2\r\n$4\r\nwxyz\r\n:5\r\n"), None);
    }
}
