//! Values and members in a text that is there as a whole.

/// What has not been read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'t> {
    pub(super) rest: &'t [u8],
}

/// A member of an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member<'t> {
    /// As it stands there, quotes included.
    pub(super) key: &'t [u8],
    pub(super) value: &'t [u8],
}

// === impl Text ===

impl<'t> Text<'t> {
    pub(super) fn new(text: &'t [u8]) -> Self {
        Self { rest: text }
    }

    /// Takes one byte, if it is the next but for white space.
    pub(super) fn token(&mut self, token: u8) -> Option<()> {
        self.space();
        self.rest = self.rest.strip_prefix(&[token])?;
        Some(())
    }

    pub(super) fn space(&mut self) {
        let end = self.rest.iter().position(|byte| !is_space(*byte)).unwrap_or(self.rest.len());
        self.rest = self.rest.get(end..).unwrap_or_default();
    }

    /// Takes a value. Nothing where there is none, or none that ends.
    pub(super) fn value(&mut self) -> Option<&'t [u8]> {
        self.space();
        match self.rest.first()? {
            b'"' => self.string(),
            b'{' | b'[' => self.container(),
            byte if is_scalar(*byte) => {
                let length = self.rest.iter().position(|byte| !is_scalar(*byte))?;
                self.take(length)
            }
            _ => None,
        }
    }

    pub(super) fn string(&mut self) -> Option<&'t [u8]> {
        self.space();
        if self.rest.first() != Some(&b'"') {
            return None;
        }
        let mut escaped = false;
        let end = self.rest.iter().skip(1).position(|byte| {
            let ends = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            ends
        })?;
        self.take(end + 2)
    }

    fn container(&mut self) -> Option<&'t [u8]> {
        let mut inside = *self;
        let mut depth = 0_usize;
        loop {
            match inside.rest.first()? {
                b'"' => drop(inside.string()?),
                // No JSON has this outside of a string. Which bracket closes which is nobody's guess then, so that both
                // sides must make the same.
                b'\\' => drop(inside.take(2)?),
                byte => {
                    match byte {
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' => depth -= 1,
                        _ => {}
                    }
                    inside.take(1)?;
                }
            }
            if depth == 0 {
                return self.take(self.rest.len() - inside.rest.len());
            }
        }
    }

    fn take(&mut self, length: usize) -> Option<&'t [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }
}

/// The members of an object, if the text is one and nothing else.
pub(super) fn members(text: &[u8]) -> Option<Vec<Member<'_>>> {
    let mut text = Text::new(text);
    let mut members = Vec::new();
    text.token(b'{')?;
    if text.token(b'}').is_none() {
        loop {
            let key = text.string()?;
            text.token(b':')?;
            members.push(Member { key, value: text.value()? });
            if text.token(b'}').is_some() {
                break;
            }
            text.token(b',')?;
        }
    }
    text.space();
    text.rest.is_empty().then_some(members)
}

/// The value of a member, null where it is absent. Nothing if it is there twice.
pub(super) fn only<'t>(members: &[Member<'t>], wanted: &str) -> Option<&'t [u8]> {
    let mut found = members.iter().filter(|member| member.is(wanted));
    let value = found.next().map_or(b"null".as_slice(), |member| member.value);
    found.next().is_none().then_some(value)
}

// === impl Member ===

impl Member<'_> {
    pub(super) fn is(&self, key: &str) -> bool {
        serde_json::from_slice::<String>(self.key).is_ok_and(|this| this == key)
    }
}

/// A text without the white space that means nothing. What begins another text begins it also after this.
pub(super) fn squeeze(text: &[u8]) -> Vec<u8> {
    let (mut quoted, mut escaped) = (false, false);
    let mut squeezed = text.to_vec();
    squeezed.retain(|byte| {
        let keep = quoted || !is_space(*byte);
        if *byte == b'"' && !escaped {
            quoted = !quoted;
        }
        escaped = *byte == b'\\' && !escaped;
        keep
    });
    squeezed
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn is_scalar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_ends() {
        for (text, value) in [
            ("1.5e-3,", "1.5e-3"),
            (r#" "a\"\\" "#, r#""a\"\\""#),
            (r#"{"a":"}","b":[{}]}}"#, r#"{"a":"}","b":[{}]}"#),
            ("[]", "[]"),
            (r#"[\]]"#, r#"[\]]"#),
        ] {
            assert_eq!(Text::new(text.as_bytes()).value().unwrap(), value.as_bytes());
        }
        for bad in ["", "12", "\"a", "\"\\\"", "[[]", ",", "}"] {
            assert_eq!(Text::new(bad.as_bytes()).value(), None, "{bad}");
        }
    }

    #[test]
    fn keys_are_compared_decoded_and_counted() {
        let found = members(br#" { "a" : 1 , "\u0062":{} } "#).unwrap();
        assert_eq!(only(&found, "b").unwrap(), b"{}");
        assert_eq!(only(&found, "c").unwrap(), b"null");
        assert_eq!(only(&members(br#"{"a":1,"\u0061":2}"#).unwrap(), "a"), None);
        for bad in ["{", "{}x", "[]", "{,}", r#"{"a":1,}"#, r#"{"a" 1}"#] {
            assert!(members(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn squeezing_leaves_strings_alone() {
        assert_eq!(squeeze(b" { \"a b\\\" \" :\n[ 1 , \"\\\\\" ] }"), br#"{"a b\" ":[1,"\\"]}"#);
    }
}
