//! The metadata of a list itself (`metav1.ListMeta`), without what would count what is hidden.

use crate::executors::kube::filter::{
    json_walk::{Member, ObjectWalk},
    scan::ScanError,
};

/// Appends the metadata of a list to `out` as they stand, less `remainingItemCount`. They may be `null`.
///
/// # Errors
/// When they are no object.
pub(super) fn without_remaining(metadata: &[u8], out: &mut Vec<u8>) -> Result<(), ScanError> {
    if metadata == b"null" {
        out.extend_from_slice(metadata);
        return Ok(());
    }
    // What is behind the last member, and so the text of the next one together with the comma before it.
    let mut behind = metadata.strip_prefix(b"{").ok_or(ScanError::Malformed("a list's metadata are no object"))?;
    out.push(b'{');
    let mut walk = ObjectWalk::default();
    let mut input = metadata;
    let (mut remaining, mut left_out, mut passed) = (false, false, false);
    loop {
        match walk.next(&mut input)?.ok_or(ScanError::Truncated)? {
            Member::Key(key) => remaining = key.as_deref() == Some("remainingItemCount"),
            Member::Value { end: false, .. } => {}
            Member::Value { end: true, .. } if remaining => {
                behind = input;
                left_out = true;
            }
            Member::Value { end: true, .. } => {
                let text = behind.get(..behind.len() - input.len()).unwrap_or_default();
                // Nothing is before it any more that a comma would separate it from.
                let orphaned = left_out && !passed;
                let comma = text.iter().position(|byte| orphaned && *byte == b',').map_or(0, |at| at + 1);
                out.extend_from_slice(text.get(comma..).unwrap_or_default());
                behind = input;
                passed = true;
            }
            Member::End => {
                out.extend_from_slice(behind);
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(metadata: &str) -> Result<String, ScanError> {
        let mut out = Vec::new();
        without_remaining(metadata.as_bytes(), &mut out).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn the_count_of_what_remains_is_cut_out_of_the_text() {
        for (text, expected) in [
            (
                r#"{"resourceVersion":"1","continue":"c","remainingItemCount":5}"#,
                r#"{"resourceVersion":"1","continue":"c"}"#,
            ),
            (r#"{"remainingItemCount":5,"continue":"a,b"}"#, r#"{"continue":"a,b"}"#),
            (
                r#"{"continue":"c","remainingItemCount":5,"resourceVersion":"1"}"#,
                r#"{"continue":"c","resourceVersion":"1"}"#,
            ),
            (r#"{ "remainingItemCount" : 5 , "a" : [1,2] , "b":{} }"#, r#"{ "a" : [1,2] , "b":{} }"#),
            (r#"{"remainingItemCount":5}"#, "{}"),
            (r#"{"rem\u0061iningItemCount":5,"remainingItemCount":6}"#, "{}"),
            (r#"{"remainingItemCount":null,"a":1,"remainingItemCount":6,"b":2}"#, r#"{"a":1,"b":2}"#),
        ] {
            assert_eq!(cut(text).unwrap(), expected);
        }
    }

    #[test]
    fn an_escaped_spelling_is_no_way_around_it() {
        let escaped: String = "remainingItemCount".chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
        assert_eq!(cut(&format!(r#"{{"{escaped}":5}}"#)).unwrap(), "{}");
    }

    #[test]
    fn all_else_stays_as_it_is() {
        for text in
            ["null", "{}", "{ }", r#"{"a": "remainingItemCount"}"#, r#"{"a":{"remainingItemCount":1}, "b" :1 }"#]
        {
            assert_eq!(cut(text).unwrap(), text);
        }
        for bad in ["[]", "\"x\"", "1", r#"{"a":1,}"#] {
            assert!(matches!(cut(bad), Err(ScanError::Malformed(_))), "{bad}");
        }
    }
}
