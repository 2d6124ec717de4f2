//! Commands on one line, as a human types them into telnet.

/// The words of a line, put together and each with its length, or nothing where quotes do not balance: as Redis does
/// (`sdssplitargs`, sds.c). `line` has neither its line feed nor a NUL.
pub(super) fn split(line: &[u8]) -> Option<Words> {
    let mut words = Words::default();
    let mut rest = behind_spaces(line);
    while !rest.is_empty() {
        let start = words.text.len();
        rest = behind_spaces(word(rest, &mut words.text)?);
        words.lengths.push(words.text.len() - start);
    }
    Some(words)
}

/// The words of a line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    /// All words, one behind the other.
    pub(super) text: Vec<u8>,
    /// How long each is.
    pub(super) lengths: Vec<usize>,
}

/// Appends one word; what is behind it comes back.
fn word<'l>(mut rest: &'l [u8], word: &mut Vec<u8>) -> Option<&'l [u8]> {
    while let Some((byte, tail)) = rest.split_first() {
        match byte {
            // A word without quotes ends at these and at no other space.
            b' ' | b'\n' | b'\r' | b'\t' => return Some(tail),
            b'"' => return behind_quote(double_quoted(tail, word)?),
            b'\'' => return behind_quote(single_quoted(tail, word)?),
            byte => word.push(*byte),
        }
        rest = tail;
    }
    Some(rest)
}

/// A closing quote ends its word: a space or nothing follows.
fn behind_quote(rest: &[u8]) -> Option<&[u8]> {
    rest.first().is_none_or(|byte| is_space(*byte)).then_some(rest)
}

fn double_quoted<'l>(mut rest: &'l [u8], word: &mut Vec<u8>) -> Option<&'l [u8]> {
    loop {
        rest = match rest {
            [b'\\', b'x', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                word.push(hex(*high) << 4 | hex(*low));
                tail
            }
            [b'\\', escaped, tail @ ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                tail
            }
            [b'"', tail @ ..] => return Some(tail),
            [byte, tail @ ..] => {
                word.push(*byte);
                tail
            }
            [] => return None,
        };
    }
}

fn single_quoted<'l>(mut rest: &'l [u8], word: &mut Vec<u8>) -> Option<&'l [u8]> {
    loop {
        rest = match rest {
            [b'\\', b'\'', tail @ ..] => {
                word.push(b'\'');
                tail
            }
            [b'\'', tail @ ..] => return Some(tail),
            [byte, tail @ ..] => {
                word.push(*byte);
                tail
            }
            [] => return None,
        };
    }
}

fn behind_spaces(rest: &[u8]) -> &[u8] {
    let spaces = rest.iter().take_while(|byte| is_space(**byte)).count();
    rest.get(spaces..).unwrap_or_default()
}

/// The value of a hexadecimal digit.
fn hex(digit: u8) -> u8 {
    if digit.is_ascii_digit() { digit & 0xf } else { (digit & 0xf) + 9 }
}

/// C's `isspace`, which has the vertical tab that Rust's `is_ascii_whitespace` has not.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
        let words = split(line)?;
        let mut rest = words.text.as_slice();
        let mut one = |length: usize| {
            let (word, tail) = rest.split_at(length);
            rest = tail;
            word.to_vec()
        };
        Some(words.lengths.iter().map(|length| one(*length)).collect())
    }

    // Each line was said to Redis 7.0.15 first.
    #[test]
    fn lines_are_split_as_redis_splits_them() {
        let good: &[(&[u8], &[&[u8]])] = &[
            (b"", &[]),
            (b" \t\x0b\x0c\r ", &[]),
            (b"GET key", &[b"GET", b"key"]),
            (b"  a\tb  ", &[b"a", b"b"]),
            (br#"ECHO "a\x41\n\q""#, &[b"ECHO", b"aA\nq"]),
            (br"ECHO 'a\'b\n'", &[b"ECHO", br"a'b\n"]),
            (br#"ECHO a"b c""#, &[b"ECHO", b"ab c"]),
            (br#"ECHO "\xZZ\"\\""#, &[b"ECHO", br#"xZZ"\"#]),
            (br#""" a"#, &[b"", b"a"]),
            (b"ECHO \x0b\x0ca\x0b", &[b"ECHO", b"a\x0b"]),
            (b"a\rb", &[b"a", b"b"]),
            (b"\xff\xfe x", &[b"\xff\xfe", b"x"]),
        ];
        for (line, expected) in good {
            assert_eq!(words(line).unwrap(), *expected, "{line:?}");
        }
        for bad in ["\"a\"b", "\"abc", "'abc", "''''", "\"a\\\"", "'a\\'", "a\"", "\"\\"] {
            assert_eq!(words(bad.as_bytes()), None, "{bad}");
        }
    }
}
