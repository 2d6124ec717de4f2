//! What an answer must be, checked while it streams: a contestant that drops or changes a byte is out.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use serde_json::Value;

use super::{
    connection::Encoding,
    items::{marked, split},
    protobuf,
};

/// The body that every contestant must deliver. Made from an answer of the API server itself.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    kind: Kind,
    body: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Object,
    /// An object that its sender has read and written anew.
    Rewritten,
    /// A list. `left` is how much there is from its first item on by its own account, where it gives one.
    List {
        encoding: Encoding,
        left: Option<u64>,
    },
}

/// One answer, as far as it has been read.
#[derive(Debug)]
pub(crate) struct Check<'a> {
    kind: Kind,
    rest: &'a [u8],
    /// What cannot be compared yet: a list's beginning, until its items begin; all of what was written anew.
    head: Option<Vec<u8>>,
}

/// Where the items of a list begin.
#[derive(Debug, PartialEq)]
pub(super) struct Items {
    pub(super) at: usize,
    pub(super) left: Option<u64>,
}

// === impl Expected ===

impl Expected {
    /// An object in JSON: every byte counts.
    pub(crate) fn object(body: Bytes) -> Self {
        Self { kind: Kind::Object, body }
    }

    /// The same object from one that writes it anew: in any order of its fields, but no field may be another.
    pub(crate) fn rewritten(&self) -> Self {
        Self { kind: Kind::Rewritten, body: self.body.clone() }
    }

    /// A list: every byte counts from its items on, and in protobuf also how long it says that it is. What else is
    /// before them holds the resource version of the moment, and that moves on by itself.
    pub(crate) fn list(mut body: Bytes, encoding: Encoding) -> Result<Self> {
        let Items { at, left } = items(&body, encoding)?.context("a list without items")?;
        Ok(Self { kind: Kind::List { encoding, left }, body: body.split_off(at) })
    }

    /// A list that shows of the API server's own list what is marked, item by item and byte by byte, and nothing else.
    /// What stands between items is the answer's own, and the same in every answer.
    pub(crate) fn shown(whole: &Bytes, answer: Bytes, encoding: Encoding) -> Result<Self> {
        let mut wanted = split(whole, encoding)?;
        wanted.retain(|item| marked(item));
        if wanted.is_empty() || split(&answer, encoding)? != wanted {
            bail!("the list does not show what is managed, and nothing else");
        }
        Self::list(answer, encoding)
    }

    /// What to ask for.
    pub(crate) fn encoding(&self) -> Encoding {
        match self.kind {
            Kind::Object | Kind::Rewritten => Encoding::Json,
            Kind::List { encoding, .. } => encoding,
        }
    }

    pub(crate) fn check(&self) -> Check<'_> {
        let head = (self.kind != Kind::Object).then(Vec::new);
        Check { kind: self.kind, rest: &self.body, head }
    }
}

// === impl Check ===

impl Check<'_> {
    /// Takes the next bytes of the answer.
    pub(crate) fn feed(&mut self, data: &[u8]) -> Result<()> {
        let Some(head) = &mut self.head else { return self.compare(data) };
        head.extend_from_slice(data);
        let Kind::List { encoding, left } = self.kind else {
            if head.len() > 2 * self.rest.len() + LONGEST_HEAD {
                bail!(
                    "the body is {} bytes long and goes on, where the API server's has {}",
                    head.len(),
                    self.rest.len()
                );
            }
            return Ok(());
        };
        let Some(found) = items(head, encoding)? else {
            if head.len() > LONGEST_HEAD {
                bail!("no items in the first {LONGEST_HEAD} bytes of a list");
            }
            return Ok(());
        };
        if found.left != left {
            bail!("the list says that {:?} bytes of it follow, where the API server's says {left:?}", found.left);
        }
        let items = head.split_off(found.at);
        self.head = None;
        self.compare(&items)
    }

    fn compare(&mut self, data: &[u8]) -> Result<()> {
        self.rest = self.rest.strip_prefix(data).context("the body is not the API server's")?;
        Ok(())
    }

    /// Takes the end of the answer.
    pub(crate) fn finish(self) -> Result<()> {
        if let (Kind::Rewritten, Some(body)) = (self.kind, &self.head) {
            let said = serde_json::from_slice::<Value>(body).context("the body is no JSON")?;
            let wanted = serde_json::from_slice::<Value>(self.rest).context("the API server's body is no JSON")?;
            if said != wanted {
                bail!("the body does not say what the API server's does");
            }
            return Ok(());
        }
        if self.head.is_some() || !self.rest.is_empty() {
            bail!("the body ended {} bytes too early", self.rest.len());
        }
        Ok(())
    }
}

/// The beginning of the items, once it is there.
fn items(body: &[u8], encoding: Encoding) -> Result<Option<Items>> {
    match encoding {
        Encoding::Json => {
            let at = body.windows(ITEMS.len()).position(|window| window == ITEMS);
            Ok(at.map(|at| Items { at, left: None }))
        }
        Encoding::Protobuf => protobuf::items(body),
    }
}

/// What stands before the items of a list in JSON.
pub(super) const ITEMS: &[u8] = br#""items":["#;

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
        let expected = Expected::list(Bytes::from_static(LIST), Encoding::Json).unwrap();
        let later = br#"{"kind":"ConfigMapList","metadata":{"resourceVersion":"100"},"items":[{"a":1}]}"#;
        read(&expected, &[later]).unwrap();
        for cut in 0..later.len() {
            let (one, two) = later.split_at(cut);
            read(&expected, &[one, two]).unwrap();
        }
    }

    #[test]
    fn a_changed_missing_or_added_byte_is_noticed() {
        let list = Expected::list(Bytes::from_static(LIST), Encoding::Json).unwrap();
        read(&list, &[br#"{"items":[{"a":2}]}"#]).unwrap_err();
        read(&list, &[br#"{"items":[{"a":1}]"#]).unwrap_err();
        read(&list, &[br#"{"items":[{"a":1}]} "#]).unwrap_err();
        read(&list, &[&[b'x'; LONGEST_HEAD + 1]]).unwrap_err();
        read(&list, &[]).unwrap_err();
        assert_eq!(list.encoding(), Encoding::Json);
        let object = Expected::object(Bytes::from_static(b"{}"));
        read(&object, &[b"{", b"}"]).unwrap();
        read(&object, &[b"{"]).unwrap_err();
    }

    #[test]
    fn what_is_written_anew_must_say_the_same() {
        let expected = Expected::object(Bytes::from_static(br#"{"b":{"c":1},"a":[1,2]}"#)).rewritten();
        assert_eq!(expected.encoding(), Encoding::Json);
        read(&expected, &[br#"{"a":[1,2],"#, b" \"b\": {\"c\":1}}\n"]).unwrap();
        for bad in
            [&br#"{"a":[2,1],"b":{"c":1}}"#[..], br#"{"a":[1,2]}"#, br#"{"a":[1,2],"b":{"c":1},"d":0}"#, b"{", b""]
        {
            read(&expected, &[bad]).unwrap_err();
        }
        read(&expected, &[&[b' '; LONGEST_HEAD + 100]]).unwrap_err();
    }

    #[test]
    fn a_protobuf_list_must_be_as_long_as_it_says() {
        let list = |version: &str, longer: u8| {
            let meta = [&[0x0a, 2 + version.len() as u8, 0x12, version.len() as u8], version.as_bytes()].concat();
            let items = [0x12, 3, b'a', b'b', b'c', 0x12, 1, b'd'];
            let length = (meta.len() + items.len()) as u8 + longer;
            [b"k8s\0\x0a\x02\x0a\x00\x12".as_slice(), &[length], &meta, &items, &[0x1a, 0]].concat()
        };
        let expected = Expected::list(list("99", 0).into(), Encoding::Protobuf).unwrap();
        assert_eq!(expected.encoding(), Encoding::Protobuf);
        let later = list("100", 0);
        for cut in 0..later.len() {
            let (one, two) = later.split_at(cut);
            read(&expected, &[one, two]).unwrap();
            read(&expected, &[one]).unwrap_err();
        }
        read(&expected, &[&list("100", 1)]).unwrap_err();
        read(&expected, &[b"k9s\0"]).unwrap_err();
    }
}
