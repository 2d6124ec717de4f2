//! The namespaces whose Applications are Argo CD's: the agent's own, and those that it is told of.

/// A set of namespaces, some by name, some by pattern. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Namespaces {
    names: Vec<String>,
    /// With `*` for any text and `?` for any character, as `application.namespaces` of Argo CD has them.
    patterns: Vec<String>,
}

// === impl Namespaces ===

impl Namespaces {
    /// The agent's namespace and further ones.
    pub(crate) fn new(own: &str, further: &[String]) -> Self {
        let (patterns, mut names): (Vec<_>, Vec<_>) =
            further.iter().map(|entry| entry.trim().to_owned()).partition(|entry| entry.contains(['*', '?']));
        names.insert(0, own.to_owned());
        names.retain(|name| !name.is_empty());
        names.dedup();
        Self { names, patterns }
    }

    /// Whether a namespace is one of them.
    pub(crate) fn contains(&self, namespace: &str) -> bool {
        self.names.iter().any(|name| name == namespace)
            || self.patterns.iter().any(|pattern| matches(pattern.as_bytes(), namespace.as_bytes()))
    }

    /// The namespaces, where they can be told one by one.
    pub(crate) fn names(&self) -> Option<&[String]> {
        self.patterns.is_empty().then_some(&self.names)
    }
}

/// Without backtracking over more than the last asterisk, so that no pattern takes long.
fn matches(mut pattern: &[u8], mut text: &[u8]) -> bool {
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), text.split_first()) {
            (Some((b'*', rest)), _) => {
                retry = Some((rest, text));
                pattern = rest;
            }
            (Some((expected, pattern_rest)), Some((byte, text_rest))) if *expected == b'?' || expected == byte => {
                pattern = pattern_rest;
                text = text_rest;
            }
            (None, None) => return true,
            _ => {
                let Some((after, [_, shorter @ ..])) = retry else { return false };
                retry = Some((after, shorter));
                pattern = after;
                text = shorter;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_patterns_are_told_apart() {
        let namespaces = Namespaces::new("argocd", &["team-a".to_owned(), " team-b".to_owned()]);
        assert_eq!(namespaces.names().unwrap(), ["argocd", "team-a", "team-b"]);
        assert!(namespaces.contains("argocd") && namespaces.contains("team-b"));
        assert!(!namespaces.contains("team"));

        let namespaces = Namespaces::new("argocd", &["team-*".to_owned()]);
        assert_eq!(namespaces.names(), None);
        assert!(namespaces.contains("argocd") && namespaces.contains("team-z") && !namespaces.contains("prod"));
    }

    #[test]
    fn patterns_match_as_shells_do() {
        let matches = |pattern: &str, text: &str| matches(pattern.as_bytes(), text.as_bytes());
        for (pattern, text) in
            [("*", ""), ("*", "a"), ("a*c", "abbc"), ("*-x-*", "a-x-b"), ("a?c", "abc"), ("**a", "a")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("?", ""), ("a*c", "abbd"), ("*-x-*", "a-xb"), ("a", "aa"), ("*a", "ab")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
        assert!(!matches(&"*a".repeat(200), &"a".repeat(100)));
    }
}
