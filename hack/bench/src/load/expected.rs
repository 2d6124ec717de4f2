//! What an answer must be, checked while it streams: a contestant that drops or changes a byte is out.

use anyhow::{Context, Result, bail};
use bytes::Bytes;

/// The body that every contestant must deliver. Made from an answer of the API server itself.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    kind: Kind,
    body: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Object,
    List,
}

/// One answer, as far as it has been read.
#[derive(Debug)]
pub(crate) struct Check<'a> {
    rest: &'a [u8],
    /// A list's beginning, until its items begin.
    head: Option<Vec<u8>>,
}

// === impl Expected ===

impl Expected {
    /// An object: every byte counts.
    pub(crate) fn object(body: Bytes) -> Self {
        Self { kind: Kind::Object, body }
    }

    /// A list: every byte counts from its items on. What is before them holds the resource version of the moment, and
    /// that moves on by itself.
    pub(crate) fn list(mut body: Bytes) -> Result<Self> {
        let start = items(&body).context("a list without items")?;
        Ok(Self { kind: Kind::List, body: body.split_off(start) })
    }

    pub(crate) fn check(&self) -> Check<'_> {
        let head = (self.kind == Kind::List).then(Vec::new);
        Check { rest: &self.body, head }
    }
}

// === impl Check ===

impl Check<'_> {
    /// Takes the next bytes of the answer.
    pub(crate) fn feed(&mut self, data: &[u8]) -> Result<()> {
        let Some(head) = &mut self.head else { return self.compare(data) };
        head.extend_from_slice(data);
        let Some(start) = items(head) else {
            if head.len() > LONGEST_HEAD {
                bail!("no items in the first {LONGEST_HEAD} bytes of a list");
            }
            return Ok(());
        };
        let items = head.split_off(start);
        self.head = None;
        self.compare(&items)
    }

    fn compare(&mut self, data: &[u8]) -> Result<()> {
        self.rest = self.rest.strip_prefix(data).context("the body is not the API server's")?;
        Ok(())
    }

    /// Takes the end of the answer.
    pub(crate) fn finish(self) -> Result<()> {
        if self.head.is_some() || !self.rest.is_empty() {
            bail!("the body ended {} bytes too early", self.rest.len());
        }
        Ok(())
    }
}

fn items(body: &[u8]) -> Option<usize> {
    body.windows(ITEMS.len()).position(|window| window == ITEMS)
}

const ITEMS: &[u8] = br#""items":["#;

/// A list's beginning holds its kind, version and resource version: some 100 bytes.
const LONGEST_HEAD: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &[u8] = br#"{"kind":"ConfigMapList","metadata":{"resourceVersion":"99"},"items":[{"a":1}]}"#;

    fn read(expected: &Expected, chunks: &[&[u8]]) -> Result<()> {
        let mut check = expected.check();
        for chunk in chunks {
            check.feed(chunk)?;
        }
        check.finish()
    }

    #[test]
    fn a_list_is_the_same_at_another_resource_version_and_in_other_chunks() {
        let expected = Expected::list(Bytes::from_static(LIST)).unwrap();
        let later = br#"{"kind":"ConfigMapList","metadata":{"resourceVersion":"100"},"items":[{"a":1}]}"#;
        read(&expected, &[later]).unwrap();
        for cut in 0..later.len() {
            let (one, two) = later.split_at(cut);
            read(&expected, &[one, two]).unwrap();
        }
    }

    #[test]
    fn a_changed_missing_or_added_byte_is_noticed() {
        let list = Expected::list(Bytes::from_static(LIST)).unwrap();
        read(&list, &[br#"{"items":[{"a":2}]}"#]).unwrap_err();
        read(&list, &[br#"{"items":[{"a":1}]"#]).unwrap_err();
        read(&list, &[br#"{"items":[{"a":1}]} "#]).unwrap_err();
        read(&list, &[&[b'x'; LONGEST_HEAD + 1]]).unwrap_err();
        read(&list, &[]).unwrap_err();
        let object = Expected::object(Bytes::from_static(b"{}"));
        read(&object, &[b"{", b"}"]).unwrap();
        read(&object, &[b"{"]).unwrap_err();
    }
}
