//! The first word of a command: what kind of command it is to somebody in between.

/// Commands that are told apart. All others are [`Other`](Self::Other): they go to Redis and have one reply.
///
/// Where Redis would take a word for a command, this does too; the reverse does not hold. Redis compares names as C
/// strings once their hashes fall into one bucket (`dictSdsKeyCaseCompare`, server.c): 1 in some 150 words such as
/// `multi\0 17` runs MULTI. So a word ends at its first NUL here. That Redis may answer such a word with an error is what
/// its reply then says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Word {
    /// GET.
    Get,
    /// MGET.
    Mget,
    /// EXISTS.
    Exists,
    /// TTL.
    Ttl,
    /// PTTL.
    Pttl,
    /// STRLEN.
    Strlen,
    /// GETRANGE, or SUBSTR, its old name.
    Getrange,
    /// A command that writes or deletes the key which is its first argument.
    Write,
    /// SUBSCRIBE.
    Subscribe,
    /// UNSUBSCRIBE.
    Unsubscribe,
    /// PSUBSCRIBE.
    Psubscribe,
    /// PUNSUBSCRIBE.
    Punsubscribe,
    /// SSUBSCRIBE.
    Ssubscribe,
    /// SUNSUBSCRIBE.
    Sunsubscribe,
    /// PUBLISH, or SPUBLISH.
    Publish,
    /// MULTI.
    Multi,
    /// EXEC.
    Exec,
    /// DISCARD.
    Discard,
    /// WATCH.
    Watch,
    /// HELLO: the protocol may be another behind its reply.
    Hello,
    /// AUTH.
    Auth,
    /// SELECT.
    Select,
    /// PING: its reply has another form while a RESP2 client subscribes.
    Ping,
    /// CLIENT, of whose subcommands REPLY matters ([`Command::silences`](super::Command::silences)).
    Client,
    /// RESET: RESP2, no subscriptions, no transaction, no login behind its reply.
    Reset,
    /// QUIT: Redis closes behind its reply.
    Quit,
    /// MONITOR: lines follow that answer no command.
    Monitor,
    /// SYNC, PSYNC and REPLCONF: what Redis sends from then on is no RESP, and REPLCONF ACK has no reply at all.
    Replicate,
    /// A command whose reply may wait for another client: BLPOP and its like, and XREAD, which may block.
    Block,
    /// Any other.
    Other,
}

/// How many of a command's arguments matter, counted behind its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// So many of the first.
    First(u32),
    /// All, however many.
    All,
}

// === impl Word ===

impl Word {
    /// Reads the word as it came.
    pub(super) fn of(text: &[u8]) -> Self {
        let text = until_nul(text);
        if text.len() > LONGEST {
            return Self::Other;
        }
        let mut lower = [0; LONGEST];
        let mut end = 0;
        for (to, from) in lower.iter_mut().zip(text) {
            *to = from.to_ascii_lowercase();
            end += 1;
        }
        Self::named(lower.get(..end).unwrap_or_default())
    }

    fn named(lower: &[u8]) -> Self {
        match lower {
            b"get" => Self::Get,
            b"mget" => Self::Mget,
            b"exists" => Self::Exists,
            b"ttl" => Self::Ttl,
            b"pttl" => Self::Pttl,
            b"strlen" => Self::Strlen,
            b"getrange" | b"substr" => Self::Getrange,
            b"set" | b"setex" | b"psetex" | b"setnx" | b"getset" | b"getdel" | b"getex" | b"append" | b"setrange"
            | b"del" | b"unlink" | b"expire" | b"pexpire" | b"expireat" | b"pexpireat" | b"persist" | b"rename"
            | b"renamenx" | b"mset" | b"msetnx" | b"copy" | b"move" | b"restore" | b"incr" | b"decr" | b"incrby"
            | b"decrby" | b"incrbyfloat" | b"setbit" => Self::Write,
            b"subscribe" => Self::Subscribe,
            b"unsubscribe" => Self::Unsubscribe,
            b"psubscribe" => Self::Psubscribe,
            b"punsubscribe" => Self::Punsubscribe,
            b"ssubscribe" => Self::Ssubscribe,
            b"sunsubscribe" => Self::Sunsubscribe,
            b"publish" | b"spublish" => Self::Publish,
            b"multi" => Self::Multi,
            b"exec" => Self::Exec,
            b"discard" => Self::Discard,
            b"watch" => Self::Watch,
            b"hello" => Self::Hello,
            b"auth" => Self::Auth,
            b"select" => Self::Select,
            b"ping" => Self::Ping,
            b"client" => Self::Client,
            b"reset" => Self::Reset,
            b"quit" => Self::Quit,
            b"monitor" => Self::Monitor,
            b"sync" | b"psync" | b"replconf" => Self::Replicate,
            b"blpop" | b"brpop" | b"blmove" | b"brpoplpush" | b"blmpop" | b"bzpopmin" | b"bzpopmax" | b"bzmpop"
            | b"xread" | b"xreadgroup" | b"wait" | b"waitaof" => Self::Block,
            _ => Self::Other,
        }
    }

    /// What is to be known of a command before its first byte is handed on.
    pub(super) fn wanted(self) -> Wanted {
        match self {
            Self::Mget
            | Self::Exists
            | Self::Watch
            | Self::Subscribe
            | Self::Unsubscribe
            | Self::Psubscribe
            | Self::Punsubscribe
            | Self::Ssubscribe
            | Self::Sunsubscribe => Wanted::All,
            Self::Getrange => Wanted::First(3),
            Self::Client => Wanted::First(2),
            Self::Get | Self::Ttl | Self::Pttl | Self::Strlen | Self::Write => Wanted::First(1),
            Self::Publish | Self::Hello | Self::Select => Wanted::First(1),
            Self::Multi | Self::Exec | Self::Discard | Self::Auth | Self::Ping | Self::Reset => Wanted::First(0),
            Self::Quit | Self::Monitor | Self::Replicate | Self::Block | Self::Other => Wanted::First(0),
        }
    }
}

// === impl Wanted ===

impl Wanted {
    /// Whether the argument with this number, counted from 0 behind the word, is to be known.
    pub(super) fn includes(self, number: u32) -> bool {
        match self {
            Self::First(count) => number < count,
            Self::All => true,
        }
    }
}

/// A text as C code that Redis runs sees it.
pub(super) fn until_nul(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// The longest of the names above, `punsubscribe` and `sunsubscribe`, with room.
const LONGEST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_known_in_any_case() {
        for (text, word) in [
            ("get", Word::Get),
            ("GET", Word::Get),
            ("gEt", Word::Get),
            ("SUBSTR", Word::Getrange),
            ("Punsubscribe", Word::Punsubscribe),
            ("getx", Word::Other),
            ("ge", Word::Other),
            ("", Word::Other),
            ("set ", Word::Other),
            ("punsubscribepunsubscribe", Word::Other),
        ] {
            assert_eq!(Word::of(text.as_bytes()), word, "{text:?}");
        }
        assert_eq!(Word::of(&[0xff; 5_000]), Word::Other);
    }

    #[test]
    fn a_word_ends_where_redis_may_see_its_end() {
        assert_eq!(Word::of(b"MULTI\0 17"), Word::Multi);
        assert_eq!(Word::of(&[b"client\0".as_slice(), &[b'x'; 5_000]].concat()), Word::Client);
        assert_eq!(Word::of(b"\0get"), Word::Other);
    }

    #[test]
    fn no_name_is_longer_than_what_is_compared() {
        assert_eq!(Word::of(b"punsubscribe"), Word::Punsubscribe);
        assert!("punsubscribe".len() <= LONGEST);
    }
}
