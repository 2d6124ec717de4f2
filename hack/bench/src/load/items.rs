//! A whole list, cut into its items.

use anyhow::{Context, Result};

use super::{connection::Encoding, expected::ITEMS, protobuf};

/// The items of a list, each as it is written.
pub(super) fn split(body: &[u8], encoding: Encoding) -> Result<Vec<&[u8]>> {
    match encoding {
        Encoding::Json => json(body),
        Encoding::Protobuf => protobuf::each(body),
    }
}

/// Whether an item bears the mark by which Argo CD tracks it. Nothing else that is made here says that.
pub(super) fn marked(item: &[u8]) -> bool {
    item.windows(MARK.len()).any(|window| window == MARK)
}

/// A list as the API server writes it, without spaces.
fn json(body: &[u8]) -> Result<Vec<&[u8]>> {
    let at = body.windows(ITEMS.len()).position(|window| window == ITEMS).context("a list without items")?;
    let mut rest = body.get(at + ITEMS.len()..).context("a list without items")?;
    let mut items = Vec::new();
    while rest.first() == Some(&b'{') {
        let end = object_end(rest).context("an item without an end")?;
        let (item, behind) = rest.split_at_checked(end).context("an item without an end")?;
        items.push(item);
        rest = behind.strip_prefix(b",").unwrap_or(behind);
    }
    rest.starts_with(b"]").then_some(items).context("a list that is not as the API server writes it")
}

/// Where the object ends that begins here.
fn object_end(text: &[u8]) -> Option<usize> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' if !in_text => depth += 1,
            b'}' if !in_text => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

const MARK: &[u8] = b"argocd.argoproj.io/tracking-id";

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::load::Expected;

    #[test]
    fn a_list_is_cut_where_its_items_are_and_nowhere_else() {
        let list = br#"{"kind":"L","items":[{"a":"}{\"],"},{"b":{"c":[{}]}}]}"#;
        let items = json(list).unwrap();
        assert_eq!(items, [&br#"{"a":"}{\"],"}"#[..], br#"{"b":{"c":[{}]}}"#]);
        assert_eq!(json(br#"{"items":[]}"#).unwrap().len(), 0);
        for bad in [&br#"{"items":[{"a":1}"#[..], br#"{"items":[{"a":1"#, br#"{"metadata":{}}"#, br#"{"items":[1]}"#] {
            assert!(json(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn what_is_hidden_may_be_filled_in_protobuf() {
        let list = |items: &[u8]| {
            let inner = [&[0x0a, 2, 0x12, 0][..], items].concat();
            [&b"k8s\0\x0a\x00\x12"[..], &[inner.len() as u8], &inner, &[0x1a, 0]].concat()
        };
        // Field 15, four bytes long.
        let filled = list(&[0x12, 1, b'a', 0x7a, 4, 0, 0, 0, 0, 0x12, 2, b'b', b'c']);
        assert_eq!(protobuf::each(&filled).unwrap(), [&b"a"[..], b"bc"]);
        for bad in [&[0x12, 9, b'a'][..], &[0x12, 1, b'a', 0x78, 1]] {
            assert!(protobuf::each(&list(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_list_must_show_all_that_is_marked_and_nothing_else() {
        let item = |name: &str, mark: &str| format!(r#"{{"name":"{name}","m":"{mark}"}}"#);
        let list = |items: &[String]| Bytes::from(format!(r#"{{"items":[{}]}}"#, items.join(",")));
        let tracked = "argocd.argoproj.io/tracking-id";
        let [a, b, c] = [item("a", tracked), item("b", ""), item("c", tracked)];
        let whole = list(&[a.clone(), b.clone(), c.clone()]);
        let shown = |items: &[String]| Expected::shown(&whole, list(items), Encoding::Json);
        shown(&[a.clone(), c.clone()]).unwrap();
        for bad in [vec![a.clone(), b.clone(), c.clone()], vec![a.clone()], vec![c.clone(), a], vec![c.clone(), b, c]] {
            assert!(shown(&bad).is_err(), "{bad:?}");
        }
    }
}
