//! Replies of a Redis, as far as a benchmark meets them: small, and from servers that it started itself.

use anyhow::{Context, Result, bail};

/// A reply or a push, with all that is in it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reply {
    /// A string of either kind.
    Text(Vec<u8>),
    Error(String),
    Integer(i64),
    Nil,
    /// An array, a set, a push, or a map's keys and values.
    Many(Vec<Reply>),
}

// === impl Reply ===

impl Reply {
    /// The first reply in some bytes and the bytes that it takes, once it is there as a whole.
    pub(super) fn parse(input: &[u8]) -> Result<Option<(Self, usize)>> {
        let mut rest = input;
        Ok(reply(&mut rest, DEEPEST)?.map(|reply| (reply, input.len() - rest.len())))
    }

    /// The texts and integers of an array or a push, as text.
    pub(crate) fn words(&self) -> Vec<String> {
        let Self::Many(replies) = self else { return Vec::new() };
        let word = |reply: &Self| match reply {
            Self::Text(text) => String::from_utf8_lossy(text).into_owned(),
            Self::Error(text) => text.clone(),
            Self::Integer(number) => number.to_string(),
            Self::Nil | Self::Many(_) => String::new(),
        };
        replies.iter().map(word).collect()
    }
}

fn reply(rest: &mut &[u8], depth: usize) -> Result<Option<Reply>> {
    let Some(line) = line(rest) else { return Ok(None) };
    let (kind, text) = line.split_first().context("an empty line where a reply begins")?;
    let said = || String::from_utf8_lossy(text).into_owned();
    let number = || said().parse::<i64>().with_context(|| format!("not a number: {:?}", said()));
    let some = match kind {
        b'+' | b'#' | b',' | b'(' => Reply::Text(text.to_owned()),
        b'-' => Reply::Error(said()),
        b':' => Reply::Integer(number()?),
        b'_' => Reply::Nil,
        b'$' | b'=' => match usize::try_from(number()?) {
            Err(_) => Reply::Nil,
            Ok(length) => {
                let Some((text, behind)) = rest.split_at_checked(length) else { return Ok(None) };
                let Some((end, behind)) = behind.split_at_checked(2) else { return Ok(None) };
                if end != b"\r\n" {
                    bail!("a string that is longer than it says");
                }
                *rest = behind;
                Reply::Text(text.to_owned())
            }
        },
        b'*' | b'~' | b'>' | b'%' => match usize::try_from(number()?) {
            Err(_) => Reply::Nil,
            Ok(_) if depth == 0 => bail!("replies within replies, more than {DEEPEST} deep"),
            Ok(length) => {
                let length = if *kind == b'%' { length.saturating_mul(2) } else { length };
                let mut replies = Vec::new();
                for _ in 0..length {
                    let Some(one) = reply(rest, depth - 1)? else { return Ok(None) };
                    replies.push(one);
                }
                Reply::Many(replies)
            }
        },
        _ => bail!("not the beginning of a reply: {:?}", String::from_utf8_lossy(line)),
    };
    Ok(Some(some))
}

/// Takes a line with its end, and returns it without.
fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.windows(2).position(|window| window == b"\r\n")?;
    let (line, behind) = rest.split_at_checked(end)?;
    *rest = behind.get(2..)?;
    Some(line)
}

/// HELLO's reply has lists within a map within itself.
const DEEPEST: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_found_once_it_is_whole_and_not_before() {
        let text = |text: &str| Reply::Text(text.as_bytes().to_owned());
        for (input, expected) in [
            ("+OK\r\n", text("OK")),
            ("-ERR no\r\n", Reply::Error("ERR no".to_owned())),
            (":-7\r\n", Reply::Integer(-7)),
            ("$-1\r\n", Reply::Nil),
            ("_\r\n", Reply::Nil),
            ("$4\r\na\r\nb\r\n", text("a\r\nb")),
            ("%1\r\n$1\r\nk\r\n*0\r\n", Reply::Many(vec![text("k"), Reply::Many(Vec::new())])),
            (">2\r\n+message\r\n$0\r\n\r\n", Reply::Many(vec![text("message"), text("")])),
        ] {
            let whole = [input.as_bytes(), b"+next\r\n"].concat();
            assert_eq!(Reply::parse(&whole).unwrap(), Some((expected, input.len())), "{input:?}");
            for cut in 0..input.len() {
                assert_eq!(Reply::parse(&whole[..cut]).unwrap(), None, "{input:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn what_no_redis_says_is_an_error() {
        for bad in ["\r\n", "HTTP/1.1 400\r\n", ":x\r\n", "$1\r\nab\r\n", &"*1\r\n".repeat(20)] {
            assert!(Reply::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_words_of_a_push_are_told() {
        let (push, _) = Reply::parse(b">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n").unwrap().unwrap();
        assert_eq!(push.words(), ["subscribe", "c", "1"]);
        assert!(Reply::Nil.words().is_empty());
    }
}
