//! Lists and tables in JSON.

use agent::executors::kube::fuzz::{self, Items, Passed, Rows};
use serde_json::Value;

use super::{
    object, row,
    text::{Member, Text, squeeze},
    write,
};
use crate::{
    case::{Case, Content},
    fate::Fate,
};

/// Has a list or table filtered.
pub fn json_list(input: &[u8]) {
    let Some(mut case) = Case::of(input) else { return };
    let (answer, right) = match &mut case.content {
        Content::Raw(answer) => (answer.to_vec(), false),
        Content::Choices(source) => {
            let table = source.one_in(2);
            (write::list(source, case.items, table), true)
        }
    };
    let passed = fuzz::json_list(case.items, case.rows, case.limits, &case.chunks(&answer), |subject| {
        Fate::of_subject(subject).in_list()
    });
    judge(&case, &answer, right, &passed);
}

/// Panics unless that is what had to come out. Whether it had to come out to the end is `right`.
fn judge(case: &Case<'_>, answer: &[u8], right: bool, passed: &Passed) {
    let output = passed.output.concat();
    let mut reading =
        Reading { case, text: Text::new(answer), shown: Vec::new(), hidden: 0, table: None, changed: false };
    let whole = reading.read().is_some();
    let (shown, came) = (squeeze(&reading.shown), squeeze(&output));
    match &passed.result {
        Ok(()) => {
            assert!(whole, "passed what cannot be read: {}", lossy(answer));
            assert_eq!(lossy(&came), lossy(&shown), "not what is to be shown of {}", lossy(answer));
            same_values(answer, &output, reading.table.as_deref(), case);
            if reading.hidden == 0 && !reading.changed && squeeze(answer) == answer.trim_ascii_end() {
                assert_eq!(lossy(&output), lossy(answer), "changed what is shown as it is");
            }
        }
        Err(error) => {
            assert!(shown.starts_with(&came), "{error}: {} is no beginning of {}", lossy(&came), lossy(&shown));
            assert!(!(right && whole && case.roomy), "{error} in {}", lossy(answer));
        }
    }
}

/// A list as a plain decoder reads it, as far as that goes.
struct Reading<'a> {
    case: &'a Case<'a>,
    text: Text<'a>,
    /// What is to come out, or may if the list is not whole.
    shown: Vec<u8>,
    hidden: usize,
    /// The version of the objects in the rows, if it is a table.
    table: Option<String>,
    /// Whether anything is left out or written anew but for items.
    changed: bool,
}

// === impl Reading ===

impl Reading<'_> {
    fn read(&mut self) -> Option<()> {
        let (mut kind, mut api_version) = (String::new(), String::new());
        let mut found = false;
        self.token(b'{')?;
        if self.token(b'}').is_none() {
            loop {
                let Some(key) = self.text.string() else { return self.open_end() };
                self.shown.extend_from_slice(key);
                self.token(b':')?;
                let key = Member { key, value: b"" };
                let table = object::is_table(&kind, &api_version);
                if key.is("items") || key.is("rows") {
                    if found || table != key.is("rows") {
                        return None;
                    }
                    found = true;
                    // Of a version that no server has, the one that is passes.
                    let version = if api_version.ends_with("/v1beta1") { "v1beta1" } else { "v1" };
                    self.table = table.then(|| format!("meta.k8s.io/{version}"));
                    self.items()?;
                } else {
                    self.other(key, &mut kind, &mut api_version)?;
                }
                if self.token(b'}').is_some() {
                    break;
                }
                self.token(b',')?;
            }
        }
        self.text.space();
        (found && self.text.rest.is_empty()).then_some(())
    }

    fn other(&mut self, key: Member<'_>, kind: &mut String, api_version: &mut String) -> Option<()> {
        if key.is("metadata") {
            let value = self.text.value()?;
            let kept = row::without(value, "remainingItemCount")?;
            self.changed |= squeeze(value) != squeeze(&kept);
            self.shown.extend(kept);
            return Some(());
        }
        if !["kind", "apiVersion", "columnDefinitions"].iter().any(|known| key.is(known)) {
            return None;
        }
        let Some(value) = self.text.value() else { return self.open_end() };
        self.shown.extend_from_slice(value);
        if key.is("kind") {
            *kind = object::text(value)?;
        } else if key.is("apiVersion") {
            *api_version = object::text(value)?;
        }
        Some(())
    }

    /// The items, or the rows of a table.
    fn items(&mut self) -> Option<()> {
        let table = self.table.clone();
        self.text.space();
        if self.text.rest.starts_with(b"null") {
            self.shown.extend_from_slice(b"null");
            return (self.text.value()? == b"null").then_some(());
        }
        self.token(b'[')?;
        let mut first = true;
        if self.text.token(b']').is_none() {
            loop {
                let item = self.text.value()?;
                let fate = if table.is_some() { row::fate } else { object::fate }(item, self.case.items)?;
                if fate.in_list() {
                    if !std::mem::take(&mut first) {
                        self.shown.push(b',');
                    }
                    let item = match &table {
                        Some(api_version) => row::shown(item, self.case.rows, api_version)?,
                        None => item.to_vec(),
                    };
                    self.changed |= table.is_some() && !matches!(self.case.rows, Rows::AsTheyCame);
                    self.shown.extend(item);
                } else {
                    self.hidden += 1;
                }
                if self.text.token(b']').is_some() {
                    break;
                }
                self.text.token(b',')?;
            }
        }
        self.shown.push(b']');
        Some(())
    }

    fn token(&mut self, token: u8) -> Option<()> {
        self.text.token(token)?;
        self.shown.push(token);
        Some(())
    }

    /// What is not over when the input is, and no secret, may come out as far as it has come.
    fn open_end(&mut self) -> Option<()> {
        self.shown.extend_from_slice(self.text.rest);
        None
    }
}

/// The same once more, by serde's values. That two readings of ours agree would not prove much.
fn same_values(answer: &[u8], output: &[u8], table: Option<&str>, case: &Case<'_>) {
    let Ok(mut expected) = serde_json::from_slice::<Value>(answer) else { return };
    if let Some(metadata) = expected.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("remainingItemCount");
    }
    if let Some(items) = expected.get_mut(if table.is_some() { "rows" } else { "items" }).and_then(Value::as_array_mut)
    {
        items.retain(|item| fate(if table.is_some() { item.get("object") } else { Some(item) }, case).in_list());
        for item in items {
            let (Some(object), Some(api_version)) = (item.get_mut("object"), table) else { continue };
            match case.rows {
                Rows::AsTheyCame => {}
                Rows::Nothing => *object = Value::Null,
                Rows::Metadata => {
                    let metadata = object.get("metadata").cloned();
                    *object = serde_json::json!({
                        "kind": "PartialObjectMetadata", "apiVersion": api_version, "metadata": metadata,
                    });
                }
            }
        }
    }
    let output = serde_json::from_slice::<Value>(output);
    assert!(output.as_ref().is_ok_and(|output| *output == expected), "{output:?} is not {expected}");
}

fn fate(object: Option<&Value>, case: &Case<'_>) -> Fate {
    let about = |key: &str| {
        let reference = object?.get(key).filter(|reference| reference.is_object())?;
        Some(reference.get("uid").and_then(Value::as_str).unwrap_or_default())
    };
    let about = match case.items {
        Items::Objects => None,
        Items::CoreEvents => about("involvedObject"),
        Items::Events => about("regarding"),
    };
    let label = object.and_then(|object| object.pointer("/metadata/labels/m")).and_then(Value::as_str);
    Fate::of(label, about)
}

pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = concat!(
        r#"{"kind":"PodList","metadata":{"remainingItemCount":3},"items":["#,
        r#"{"metadata":{"labels":{"m":"1"}}},{"metadata":{"labels":{"m":"0"}}},{"metadata":{"labels":{"m":"A"}}}]}"#
    );

    fn judged(output: &str, result: Result<(), &str>) {
        let case = Case::of(b"@ ").unwrap();
        let passed = Passed { output: vec![output.as_bytes().to_vec().into()], result: result.map_err(str::to_owned) };
        judge(&case, ANSWER.as_bytes(), true, &passed);
    }

    fn filtered() -> String {
        ANSWER.replace(r#"{"metadata":{"labels":{"m":"0"}}},"#, "").replace(r#""remainingItemCount":3"#, "")
    }

    #[test]
    fn what_is_shown_is_all_that_may_come_out() {
        judged(&filtered(), Ok(()));
    }

    #[test]
    #[should_panic(expected = "not what is to be shown")]
    fn a_hidden_item_must_not_come_out() {
        judged(&ANSWER.replace(r#""remainingItemCount":3"#, ""), Ok(()));
    }

    #[test]
    #[should_panic(expected = "not what is to be shown")]
    fn a_shown_item_must_come_out() {
        judged(&filtered().replace(r#",{"metadata":{"labels":{"m":"A"}}}"#, ""), Ok(()));
    }

    #[test]
    #[should_panic(expected = "not what is to be shown")]
    fn a_count_of_what_remains_must_not_come_out() {
        judged(&ANSWER.replace(r#"{"metadata":{"labels":{"m":"0"}}},"#, ""), Ok(()));
    }

    #[test]
    #[should_panic(expected = "is no beginning of")]
    fn a_hidden_item_must_not_come_out_before_an_error() {
        let leak = ANSWER.replace(r#""remainingItemCount":3"#, "");
        judged(leak.get(..110).unwrap(), Err("broken"));
    }

    #[test]
    #[should_panic(expected = "broken in")]
    fn an_answer_that_is_right_must_not_break() {
        judged("", Err("broken"));
    }
}
