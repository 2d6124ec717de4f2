//! Watch events in protobuf: frames with their length before them.

use agent::executors::kube::fuzz::{self, EventType, Items, Passed};

use super::{
    envelope,
    message::{Message, fields, only},
    object, write,
};
use crate::{
    case::{Case, Content},
    fate::Fate,
};

/// Has a watch filtered.
pub fn protobuf_watch(input: &[u8]) {
    let Some(mut case) = Case::of(input) else { return };
    let (answer, right) = match &mut case.content {
        Content::Raw(answer) => (answer.to_vec(), false),
        Content::Choices(source) => (write::events(source, case.items), true),
    };
    let passed = fuzz::protobuf_watch(case.items, case.limits, &case.chunks(&answer), |event, subject| {
        Fate::of_subject(subject).in_watch(event)
    });
    judge(&case, &answer, right, &passed);
}

/// Panics unless these are the events that had to come out. Whether all of them had to is `right`.
fn judge(case: &Case<'_>, answer: &[u8], right: bool, passed: &Passed) {
    let mut shown = Vec::new();
    let whole = read(answer, case.items, &mut shown).is_some();
    let came = passed.output.iter().map(|event| {
        let mut rest = Message::new(event);
        let event = frame(&mut rest).and_then(split).filter(|_| rest.rest.is_empty());
        assert!(event.is_some(), "no event came out of {answer:x?}: {:x?}", rest.rest);
        event
    });
    let came = came.flatten().collect::<Vec<_>>();
    match &passed.result {
        Ok(()) => {
            assert!(whole, "passed what cannot be read: {answer:x?}");
            assert_eq!(came, shown, "not what is to be shown of {answer:x?}");
        }
        Err(error) => {
            assert!(shown.starts_with(&came), "{error}: {came:x?} does not begin {shown:x?} of {answer:x?}");
            assert!(!(right && whole && case.roomy), "{error} in {answer:x?}");
        }
    }
}

/// What is to be shown of a watch, as far as it can be read.
fn read<'m>(answer: &'m [u8], items: Items, shown: &mut Vec<(EventType, &'m [u8])>) -> Option<()> {
    let mut rest = Message::new(answer);
    while !rest.rest.is_empty() {
        let (kind, object) = split(frame(&mut rest)?)?;
        let kind = match kind {
            EventType::Bookmark | EventType::Error => Some(kind),
            _ => object::fate(envelope::object(object)?, items)?.in_watch(kind),
        };
        shown.extend(kind.map(|kind| (kind, object)));
    }
    Some(())
}

/// The next frame, without its length.
fn frame<'m>(rest: &mut Message<'m>) -> Option<&'m [u8]> {
    let length = rest.take(4)?.first_chunk().copied().map(u32::from_be_bytes)?;
    rest.take(usize::try_from(length).ok()?)
}

/// Type and object of an event.
fn split(event: &[u8]) -> Option<(EventType, &[u8])> {
    let event = fields(event)?;
    let kind = match only(&event, 1)?? {
        b"ADDED" => EventType::Added,
        b"MODIFIED" => EventType::Modified,
        b"DELETED" => EventType::Deleted,
        b"BOOKMARK" => EventType::Bookmark,
        b"ERROR" => EventType::Error,
        _ => return None,
    };
    let object = only(&fields(only(&event, 2)??)?, 1)??;
    envelope::open(object)?;
    Some((kind, object))
}

#[cfg(test)]
mod tests {
    use super::{super::message::bytes_field, *};

    fn event(kind: &str, fate: &str) -> Vec<u8> {
        let label = [bytes_field(1, b"m"), bytes_field(2, fate.as_bytes())].concat();
        let object = envelope::wrap("Pod", &bytes_field(1, &bytes_field(11, &label)));
        let event = [bytes_field(1, kind.as_bytes()), bytes_field(2, &bytes_field(1, &object))].concat();
        [u32::try_from(event.len()).unwrap().to_be_bytes().to_vec(), event].concat()
    }

    fn judged(output: &[Vec<u8>], result: Result<(), &str>) {
        let answer = [event("MODIFIED", "1"), event("MODIFIED", "0"), event("MODIFIED", "A")].concat();
        let output = output.iter().map(|event| event.clone().into()).collect();
        let passed = Passed { output, result: result.map_err(str::to_owned) };
        judge(&Case::of(b"@ ").unwrap(), &answer, true, &passed);
    }

    #[test]
    fn what_is_shown_is_all_that_may_come_out() {
        judged(&[event("MODIFIED", "1"), event("ADDED", "A")], Ok(()));
    }

    #[test]
    #[should_panic(expected = "not what is to be shown")]
    fn a_hidden_event_must_not_come_out() {
        judged(&[event("MODIFIED", "1"), event("MODIFIED", "0"), event("ADDED", "A")], Ok(()));
    }

    #[test]
    #[should_panic(expected = "not what is to be shown")]
    fn what_becomes_managed_must_be_new() {
        judged(&[event("MODIFIED", "1"), event("MODIFIED", "A")], Ok(()));
    }

    #[test]
    #[should_panic(expected = "does not begin")]
    fn no_hidden_event_must_come_out_before_an_error() {
        judged(&[event("MODIFIED", "1"), event("MODIFIED", "0")], Err("broken"));
    }

    #[test]
    #[should_panic(expected = "no event came out")]
    fn what_comes_out_must_be_an_event() {
        judged(&[event("MODIFIED", "1")[..20].to_vec()], Ok(()));
    }
}
