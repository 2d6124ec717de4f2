//! Lists in protobuf.
//!
//! What comes out is taken apart as what went in, and is to have the same parts but for what is hidden. Filler, which
//! stands for hidden items where the list's length was said before they came, must be zeros, and be there only where it
//! must.

use agent::executors::kube::fuzz::{self, Items, Passed};

use super::{
    envelope,
    message::{Message, Value, all, fields},
    object, write,
};
use crate::{
    case::{Case, Content},
    fate::Fate,
};

/// Has a list filtered.
pub fn protobuf_list(input: &[u8]) {
    let Some(mut case) = Case::of(input) else { return };
    let (answer, right) = match &mut case.content {
        Content::Raw(answer) => (answer.to_vec(), false),
        Content::Choices(source) => (write::list(source, case.items), true),
    };
    let passed = fuzz::protobuf_list(case.items, case.limits, &case.chunks(&answer), |subject| {
        Fate::of_subject(subject).in_list()
    });
    judge(&case, &answer, right, &passed);
}

/// Panics unless that is what had to come out. Whether it had to come out to the end is `right`.
fn judge(case: &Case<'_>, answer: &[u8], right: bool, passed: &Passed) {
    let output = passed.output.concat();
    let expected = Parts::of(answer, Some(case.items));
    let came = Parts::of(&output, None);
    let (visible, filler) = (came.visible(), came.parts.contains(&Part::Filler));
    let shown = expected.visible();
    match &passed.result {
        Ok(()) => {
            assert!(expected.whole, "passed what cannot be read: {answer:x?}");
            assert!(came.whole, "what came out is not whole: {output:x?} of {answer:x?}");
            assert_eq!(visible, shown, "not what is to be shown of {answer:x?}");
            let hidden = expected.parts.contains(&Part::Hidden);
            assert!(
                !filler || hidden && output.len() > case.limits.hold,
                "needless filler: {output:x?} of {answer:x?}"
            );
            if right && !hidden && !expected.counts {
                assert_eq!(output, answer, "changed what is shown as it is");
            }
        }
        Err(error) => {
            let end = came.open.is_empty() || came.open_filler() || {
                let next = shown.get(visible.len());
                next.is_some_and(|next| matches!(next, Part::Item(item) if item.starts_with(came.open)))
            };
            assert!(
                shown.starts_with(&visible) && end,
                "{error}: {output:x?} does not begin {shown:x?} of {answer:x?}"
            );
            assert!(!(right && expected.whole && case.roomy), "{error} in {answer:x?}");
        }
    }
}

/// A list, taken apart as far as that goes.
#[derive(Debug, Default)]
struct Parts<'m> {
    parts: Vec<Part<'m>>,
    /// Whether that is all there is to it.
    whole: bool,
    /// What began behind the last part, and did not end.
    open: &'m [u8],
    /// Whether it says how many items remain.
    counts: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part<'m> {
    /// A field of the envelope that is not the list.
    Envelope(u64, &'m [u8]),
    /// The list's metadata; of an answer, less the count of what remains.
    Metadata(Vec<(u64, Value<'m>)>),
    /// An item, tag and length included.
    Item(&'m [u8]),
    Hidden,
    Filler,
}

// === impl Parts ===

impl<'m> Parts<'m> {
    /// Of an answer, given what its items are; of what came out, where that no longer matters.
    fn of(message: &'m [u8], items: Option<Items>) -> Self {
        let mut this = Self::default();
        this.whole = this.envelope(message, items).is_some();
        this
    }

    fn envelope(&mut self, message: &'m [u8], items: Option<Items>) -> Option<()> {
        let mut envelope = envelope::open(message)?;
        let mut found = false;
        while !envelope.rest.is_empty() {
            let mut list = envelope;
            if list.tag() == Some((2, 2)) {
                let length = usize::try_from(list.varint()?).ok()?;
                let there = list.take(length.min(list.rest.len()))?;
                let first = !std::mem::replace(&mut found, true);
                (first && self.list(there, items).is_some() && there.len() == length).then_some(())?;
                envelope = list;
                continue;
            }
            self.open = envelope.rest;
            match envelope.field()?.into() {
                (1, Value::Bytes(type_meta)) => {
                    let kind = fields(type_meta)?;
                    let text = |number| all(&kind, number).last().unwrap_or_default();
                    (text(2) != b"Table" || !text(1).starts_with(b"meta.k8s.io/")).then_some(())?;
                    self.parts.push(Part::Envelope(1, type_meta));
                }
                // What is encoded once more cannot be looked into.
                (3, Value::Bytes(encoding)) if !encoding.is_empty() => return None,
                (number, Value::Bytes(bytes)) => self.parts.push(Part::Envelope(number, bytes)),
                _ => return None,
            }
            self.open = &[];
        }
        found.then_some(())
    }

    fn list(&mut self, list: &'m [u8], items: Option<Items>) -> Option<()> {
        let mut list = Message::new(list);
        let mut metadata = false;
        while !list.rest.is_empty() {
            self.open = list.rest;
            let (number, value) = list.field()?.into();
            let whole = self.open.get(..self.open.len() - list.rest.len())?;
            let part = match (number, value, items) {
                (1, Value::Bytes(message), _) if !std::mem::replace(&mut metadata, true) => {
                    let mut fields = fields(message)?.into_iter().map(Into::into).collect::<Vec<(u64, _)>>();
                    self.counts |= fields.iter().any(|(number, _)| *number == REMAINING_ITEM_COUNT);
                    // What came out must not have it.
                    fields.retain(|(number, _)| items.is_none() || *number != REMAINING_ITEM_COUNT);
                    Part::Metadata(fields)
                }
                (2, Value::Bytes(item), Some(items)) if !object::fate(item, items)?.in_list() => Part::Hidden,
                (2, Value::Bytes(_), _) => Part::Item(whole),
                (FILLER, Value::Bytes(filler), None) if filler.iter().all(|byte| *byte == 0) => Part::Filler,
                _ => return None,
            };
            self.parts.push(part);
            self.open = &[];
        }
        Some(())
    }

    fn visible(&self) -> Vec<Part<'m>> {
        self.parts.iter().filter(|part| !matches!(part, Part::Hidden | Part::Filler)).cloned().collect()
    }

    /// Whether what did not end is filler.
    fn open_filler(&self) -> bool {
        let mut open = Message::new(self.open);
        open.tag() == Some((FILLER, 2)) && (open.varint().is_none() || open.rest.iter().all(|byte| *byte == 0))
    }
}

/// Of `metav1.ListMeta`.
const REMAINING_ITEM_COUNT: u64 = 4;

/// A field that no list has.
const FILLER: u64 = 15;

#[cfg(test)]
mod tests {
    use super::{
        super::message::{bytes_field, varint},
        *,
    };

    fn item(fate: &str) -> Vec<u8> {
        let label = [bytes_field(1, b"m"), bytes_field(2, fate.as_bytes())].concat();
        bytes_field(2, &bytes_field(1, &bytes_field(11, &label)))
    }

    fn list(fields: &[Vec<u8>]) -> Vec<u8> {
        envelope::wrap("PodList", &[bytes_field(1, b""), fields.concat()].concat())
    }

    /// With limits that are small where a case says so.
    fn judged(how: &[u8], output: &[u8], result: Result<(), &str>) {
        let passed = Passed { output: vec![output.to_vec().into()], result: result.map_err(str::to_owned) };
        judge(&Case::of(how).unwrap(), &list(&[item("1"), item("0"), item("A")]), true, &passed);
    }

    #[test]
    fn what_is_shown_is_all_that_may_come_out() {
        judged(b"@ ", &list(&[item("1"), item("A")]), Ok(()));
    }

    #[test]
    #[should_panic(expected = "not what is to be shown")]
    fn a_hidden_item_must_not_come_out() {
        judged(b"@ ", &list(&[item("1"), item("0"), item("A")]), Ok(()));
    }

    #[test]
    #[should_panic(expected = "not what is to be shown")]
    fn a_count_of_what_remains_must_not_come_out() {
        let counting = [bytes_field(1, &[varint(4 << 3), varint(7)].concat()), item("1"), item("A")].concat();
        judged(b"@ ", &envelope::wrap("PodList", &counting), Ok(()));
    }

    #[test]
    #[should_panic(expected = "is not whole")]
    fn the_length_must_be_right() {
        let mut output = list(&[item("1"), item("A")]);
        output.truncate(output.len() - 6);
        judged(b"@ ", &output, Ok(()));
    }

    #[test]
    #[should_panic(expected = "is not whole")]
    fn filler_must_be_zeros() {
        judged(b"` ", &list(&[item("1"), bytes_field(15, b"leak"), item("A")]), Ok(()));
    }

    #[test]
    #[should_panic(expected = "needless filler")]
    fn filler_must_be_needed() {
        judged(b"@ ", &list(&[item("1"), bytes_field(15, &[0; 9]), item("A")]), Ok(()));
    }

    #[test]
    #[should_panic(expected = "does not begin")]
    fn a_hidden_item_must_not_come_out_before_an_error() {
        let output = list(&[item("1"), item("0"), item("A")]);
        judged(b"@ ", &output[..output.len() - 16], Err("broken"));
    }
}
