//! What is said to Redis and to the scanners: right, nearly right, and cut anywhere.

use common::resp::frames;

/// Vigna's splitmix64.
pub(super) struct Random {
    pub(super) seed: u64,
    state: u64,
}

// === impl Random ===

impl Random {
    pub(super) fn seeded() -> Self {
        let seed = std::env::var(SEED).map_or_else(|_| u64::from(std::process::id()), |seed| seed.parse().unwrap());
        Self { seed, state: seed }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    pub(super) fn one_of<'t>(&mut self, things: &[&'t str]) -> &'t str {
        things[self.below(things.len())]
    }

    /// What a client says: commands that are right, and others.
    pub(super) fn stream(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..=self.below(8) {
            match self.below(8) {
                0..4 => bytes.extend(self.command()),
                4 => bytes.extend(self.line()),
                5 => bytes.extend((0..self.below(12)).flat_map(|_| self.one_of(TOKENS).bytes()).collect::<Vec<_>>()),
                6 => bytes.extend((0..self.below(20)).map(|_| self.next() as u8).collect::<Vec<_>>()),
                _ => bytes.extend(self.one_of(&["\r\n", "*0\r\n", "*-7\r\n", " \t\r\n", "\n"]).bytes()),
            }
        }
        if self.below(3) == 0 && !bytes.is_empty() {
            let at = self.below(bytes.len());
            bytes[at] = self.one_of(TOKENS).as_bytes()[0];
        }
        bytes
    }

    pub(super) fn command(&mut self) -> Vec<u8> {
        let word = self.one_of(&["PING", "get", "MGET", "Exists", "SUBSCRIBE", "subscribe", "nonsense", ""]);
        let mut words = vec![word.as_bytes().to_vec()];
        for _ in 0..self.below(5) {
            // Not for long: a key that is cut could not be compared.
            let length = if self.below(20) == 0 { self.below(4_000) } else { self.below(9) };
            words.push((0..length).map(|_| self.next() as u8).collect());
        }
        frames::command(&words.iter().map(Vec::as_slice).collect::<Vec<_>>()).to_vec()
    }

    pub(super) fn line(&mut self) -> Vec<u8> {
        let mut line = self.one_of(&["PING", "SUBSCRIBE", "mget", "'get'", "\"\\x50ING\"", "x"]).to_owned();
        for _ in 0..self.below(10) {
            line.push_str(self.one_of(&[
                " ", "a", "\"", "'", "\\", "\\x4", "41", "\t", "b", "\\n", "\u{b}", "\r", "\\'", "\" ", " 'c'", "ä",
            ]));
        }
        line.push_str(self.one_of(&["\r\n", "\n", "\r\r\n"]));
        line.into_bytes()
    }

    pub(super) fn chunks<'b>(&mut self, bytes: &'b [u8]) -> Vec<&'b [u8]> {
        let most = if bytes.len() > 10_000 { bytes.len() } else { [bytes.len(), 1, 7, 40][self.below(4)] };
        let mut chunks = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (chunk, behind) = rest.split_at((1 + self.below(most)).min(rest.len()));
            chunks.push(chunk);
            rest = behind;
        }
        chunks
    }
}

const TOKENS: &[&str] = &[
    "*",
    "$",
    "1",
    "2",
    "3",
    "\r",
    "\n",
    "\r\n",
    "-",
    "0",
    "\0",
    "+",
    ":",
    "GET",
    "*1\r\n",
    "*2\r\n",
    "$3\r\n",
    "$0\r\n",
    "PING",
    "$4\r\nPING\r\n",
    "\"",
    "'",
    " ",
    "\r\n\r\n",
    "~",
    "$1\r\na\r\n",
];

/// Sets the seed.
pub(super) const SEED: &str = "ARGOCD_AGENT_TEST_SEED";
