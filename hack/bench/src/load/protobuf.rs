//! Where the items begin in a list in Kubernetes protobuf, and which they are.
//!
//! Four magic bytes, then a `runtime.Unknown` whose field 2 is the list; of the list, field 1 is the metadata and every
//! field 2 is an item.

use anyhow::{Context, Result, bail};

use super::expected::Items;

/// The first item's place, once all before it is there, and how many bytes there are from it until the list's end.
pub(super) fn items(body: &[u8]) -> Result<Option<Items>> {
    let Some(mut rest) = body.get(MAGIC.len()..) else { return Ok(None) };
    if !body.starts_with(MAGIC) {
        bail!("the answer is no Kubernetes protobuf");
    }
    // Bytes of the list from here on, once it has begun.
    let mut list = None;
    loop {
        let here = rest;
        let Some((tag, length)) = tag(&mut rest).zip(varint(&mut rest)) else { return Ok(None) };
        match (list, tag) {
            (None, WITHIN) => list = Some(length),
            (Some(left), WITHIN) => return Ok(Some(Items { at: body.len() - here.len(), left: Some(left) })),
            (_, ABOUT) => {
                let Some(behind) = usize::try_from(length).ok().and_then(|length| rest.get(length..)) else {
                    return Ok(None);
                };
                rest = behind;
                list = list.map(|left| left.saturating_sub((here.len() - rest.len()) as u64));
            }
            _ => bail!("a field of tag {tag} before the items of a list"),
        }
    }
}

/// The items themselves. Fields that are none, which stand for what is hidden, are passed over.
pub(super) fn each(body: &[u8]) -> Result<Vec<&[u8]>> {
    let Items { at, left } = items(body)?.context("a list without items")?;
    let left = left.and_then(|left| usize::try_from(left).ok()).context("a list without a length")?;
    let mut rest = body.get(at..).and_then(|rest| rest.get(..left)).context("a list that is shorter than it says")?;
    let mut each = Vec::new();
    while !rest.is_empty() {
        let (tag, length) = varint(&mut rest).zip(varint(&mut rest)).context("a field of a list")?;
        let length = usize::try_from(length).context("the length of a field")?;
        let (content, behind) = rest.split_at_checked(length).context("a field that is longer than its list")?;
        rest = behind;
        match tag & 7 {
            2 if tag == u64::from(WITHIN) => each.push(content),
            2 => {}
            kind => bail!("a field of wire type {kind} in a list"),
        }
    }
    Ok(each)
}

fn tag(input: &mut &[u8]) -> Option<u8> {
    let (&tag, rest) = input.split_first()?;
    *input = rest;
    Some(tag)
}

fn varint(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let (&byte, rest) = input.split_first()?;
        *input = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

const MAGIC: &[u8] = b"k8s\0";

/// Field 1: the type in the envelope, the metadata in the list.
const ABOUT: u8 = 0x0a;

/// Field 2: the list in the envelope, an item in the list.
const WITHIN: u8 = 0x12;
