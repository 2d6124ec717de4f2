//! Watch events in JSON, tables included.

use agent::executors::kube::fuzz::{self, EventType, Passed, Rows};

use super::{
    list::lossy,
    object, row,
    text::{Text, members, only, squeeze},
    write,
};
use crate::{
    case::{Case, Content},
    fate::Fate,
};

/// Has a watch filtered.
pub fn json_watch(input: &[u8]) {
    let Some(mut case) = Case::of(input) else { return };
    let (answer, right) = match &mut case.content {
        Content::Raw(answer) => (answer.to_vec(), false),
        Content::Choices(source) => {
            let table = source.one_in(2);
            (write::events(source, case.items, table), true)
        }
    };
    let passed = fuzz::json_watch(case.items, case.rows, case.limits, &case.chunks(&answer), |event, subject| {
        Fate::of_subject(subject).in_watch(event)
    });
    judge(&case, &answer, right, &passed);
}

/// Panics unless these are the events that had to come out. Whether all of them had to is `right`.
fn judge(case: &Case<'_>, answer: &[u8], right: bool, passed: &Passed) {
    let mut reading = Reading { case, text: Text::new(answer), shown: Vec::new(), columns: false };
    let whole = reading.read().is_some();
    let came = passed.output.iter().map(|event| Event::shown(event)).collect::<Vec<_>>();
    let mut columns = 0;
    for (came, shown) in came.iter().zip(&reading.shown) {
        assert!(came.same(shown, case.rows), "{came:?} is not {shown:?} of {}", lossy(answer));
        columns += usize::from(came.columns.is_some());
    }
    assert!(columns <= 1, "columns come once: {came:?}");
    match &passed.result {
        Ok(()) => {
            assert!(whole, "passed what cannot be read: {}", lossy(answer));
            assert_eq!(came.len(), reading.shown.len(), "events are missing: {}", lossy(answer));
            // A server says them first, so whatever is shown has them.
            let wanted = right && reading.columns && came.iter().any(|event| event.table && event.reads());
            assert!(!wanted || columns == 1, "no columns: {came:?}");
        }
        Err(error) => {
            assert!(came.len() <= reading.shown.len(), "{error}: too many events of {}", lossy(answer));
            assert!(!(right && whole && case.roomy), "{error} in {}", lossy(answer));
        }
    }
}

/// An event, but for how it is written.
#[derive(Debug)]
struct Event {
    kind: EventType,
    /// The object without white space, and a table's without its columns.
    object: String,
    table: bool,
    /// A table's columns, if it says any.
    columns: Option<String>,
}

/// A watch as a plain decoder reads it, as far as that goes.
struct Reading<'a> {
    case: &'a Case<'a>,
    text: Text<'a>,
    shown: Vec<Event>,
    /// Whether any event said columns, a hidden one included: they are not lost with it.
    columns: bool,
}

// === impl Reading ===

impl Reading<'_> {
    fn read(&mut self) -> Option<()> {
        loop {
            self.text.space();
            if self.text.rest.is_empty() {
                return Some(());
            }
            let (kind, object) = split(self.text.value()?)?;
            if matches!(kind, EventType::Bookmark | EventType::Error) {
                self.shown.push(Event::new(kind, object)?);
                continue;
            }
            let members = members(object)?;
            let text = |key| object::text(only(&members, key)?);
            let table = match (text("kind"), text("apiVersion")) {
                (Some(kind), Some(api_version)) => object::is_table(&kind, &api_version).then_some(api_version),
                _ => None,
            };
            let (fate, object) = match table {
                None => (object::fate(object, self.case.items)?, object.to_vec()),
                Some(api_version) => {
                    let mut rows = Text::new(only(&members, "rows")?);
                    rows.token(b'[')?;
                    let row = rows.value()?;
                    rows.token(b']')?;
                    let shown = [b"[", row::shown(row, self.case.rows, &api_version)?.as_slice(), b"]"].concat();
                    (row::fate(row, self.case.items)?, row::replaced(object, "rows", &shown)?)
                }
            };
            let event = Event::new(kind, &object)?;
            self.columns |= event.columns.is_some();
            if let Some(kind) = fate.in_watch(kind) {
                self.shown.push(Event { kind, ..event });
            }
        }
    }
}

// === impl Event ===

impl Event {
    /// One that came out.
    fn shown(event: &[u8]) -> Self {
        let event = event.strip_suffix(b"\n").unwrap_or(event);
        let read = split(event).and_then(|(kind, object)| Self::new(kind, object));
        assert!(read.is_some(), "no event: {}", lossy(event));
        read.expect("it has just been looked at")
    }

    fn new(kind: EventType, object: &[u8]) -> Option<Self> {
        let members = members(object).unwrap_or_default();
        let text = |key| only(&members, key).and_then(object::text).unwrap_or_default();
        let table = object::is_table(&text("kind"), &text("apiVersion"));
        let columns = only(&members, COLUMNS).filter(|columns| table && *columns != b"null").map(lossy);
        let object = if table { row::without(object, COLUMNS)? } else { object.to_vec() };
        Some(Self { kind, object: lossy(&squeeze(&object)), table, columns })
    }

    fn reads(&self) -> bool {
        !matches!(self.kind, EventType::Bookmark | EventType::Error)
    }

    fn same(&self, other: &Self, rows: Rows) -> bool {
        // The object of a table's bookmark tells of nothing, whatever rows it has.
        let any = !self.reads() && self.table && !matches!(rows, Rows::AsTheyCame);
        self.kind == other.kind && (any || self.object == other.object)
    }
}

/// Type and object of an event.
fn split(event: &[u8]) -> Option<(EventType, &[u8])> {
    let members = members(event)?;
    let kind = match object::text(only(&members, "type")?)?.as_str() {
        "ADDED" => EventType::Added,
        "MODIFIED" => EventType::Modified,
        "DELETED" => EventType::Deleted,
        "BOOKMARK" => EventType::Bookmark,
        "ERROR" => EventType::Error,
        _ => return None,
    };
    let object = only(&members, "object")?;
    let both = members.len() == 2 && members.iter().all(|member| member.is("type") || member.is("object"));
    both.then_some((kind, object))
}

const COLUMNS: &str = "columnDefinitions";

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str = r#"{"type":"ADDED","object":{"metadata":{"labels":{"m":"1"}}}}"#;
    const HIDDEN: &str = r#"{"type":"ADDED","object":{"metadata":{"labels":{"m":"0"}}}}"#;

    fn judged(came: &[&str], output: &[&str], result: Result<(), &str>) {
        let case = Case::of(b"@ ").unwrap();
        let output = output.iter().map(|event| event.as_bytes().to_vec().into()).collect();
        let passed = Passed { output, result: result.map_err(str::to_owned) };
        judge(&case, came.join("\n").as_bytes(), true, &passed);
    }

    #[test]
    fn what_is_shown_is_all_that_may_come_out() {
        judged(&[SHOWN, HIDDEN, SHOWN], &[SHOWN, SHOWN], Ok(()));
    }

    #[test]
    #[should_panic(expected = "is not Event")]
    fn a_hidden_event_must_not_come_out() {
        judged(&[HIDDEN, SHOWN], &[HIDDEN, SHOWN], Ok(()));
    }

    #[test]
    #[should_panic(expected = "events are missing")]
    fn an_event_that_is_shown_must_come_out() {
        judged(&[SHOWN, SHOWN], &[SHOWN], Ok(()));
    }

    #[test]
    #[should_panic(expected = "too many events")]
    fn nothing_more_must_come_out_before_an_error() {
        judged(&[SHOWN, HIDDEN], &[SHOWN, HIDDEN], Err("broken"));
    }

    #[test]
    #[should_panic(expected = "is not Event")]
    fn an_event_must_keep_its_type() {
        judged(&[SHOWN], &[&SHOWN.replace("ADDED", "DELETED")], Ok(()));
    }
}
