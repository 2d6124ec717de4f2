//! Percent-escapes and query parameters, read as Go's `net/url` reads them for kube-apiserver.
//!
//! What is read here decides what a client may see, so it must never differ from what the API server reads out of the
//! same bytes: a parameter that only one of the two honours would be a way around the filter.

/// Where a percent-escape stands: in a query a plus sign is a blank, in a path it is itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Component {
    /// A segment of the path.
    Path,
    /// A key or a value of the query.
    Query,
}

/// Undoes percent-encoding, as `unescape` of `net/url/url.go` does. `None` where an escape is not one.
pub(crate) fn unescape(text: &str, component: Component) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            b'+' if component == Component::Query => b' ',
            other => other,
        });
    }
    Some(decoded)
}

/// The first value of a parameter, which is the one that counts for every scalar list option
/// (`Convert_Slice_string_To_string` and `…_To_bool` of `apimachinery/pkg/runtime/conversion.go`).
///
/// As in `parseQuery` of `net/url/url.go`, a pair that has a semicolon or a bad escape is as if it were not there.
pub(crate) fn first(query: &str, key: &str) -> Option<Vec<u8>> {
    query.split('&').filter(|pair| !pair.contains(';')).find_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if unescape(name, Component::Query)? == key.as_bytes() { unescape(value, Component::Query) } else { None }
    })
}

/// Whether a parameter is there and true: everything but `0` and `false` is, a missing value included
/// (`Convert_Slice_string_To_bool`, `apimachinery/pkg/runtime/conversion.go`). What this and Go might read differently
/// (`falſe`) counts as true.
pub(crate) fn is_true(query: &str, key: &str) -> bool {
    first(query, key).is_some_and(|value| value != b"0" && !value.eq_ignore_ascii_case(b"false"))
}

/// Whether Go would read any parameter at all: above its limit it reads none, silently.
pub(crate) fn has_too_many_parameters(query: &str) -> bool {
    query.bytes().filter(|byte| *byte == b'&').count() >= MAX_PARAMETERS
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// `defaultMaxParams` of `net/url/url.go`. More pairs than this make Go's `URL.Query()` empty, so that a selector which
/// we honoured would not be one for the API server.
const MAX_PARAMETERS: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read_as_go_reads_them() {
        let path = |text| unescape(text, Component::Path).map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(path("read%20er+x:y").as_deref(), Some("read er+x:y"));
        assert_eq!(path("%C3%a4").as_deref(), Some("ä"));
        assert_eq!(unescape("a+b%2b", Component::Query).as_deref(), Some(&b"a b+"[..]));
        for bad in ["%", "%2", "a%zz", "%%20", "%+1", "%2ä"] {
            assert_eq!(unescape(bad, Component::Path), None, "{bad}");
        }
    }

    #[test]
    fn the_first_readable_value_of_a_parameter_counts() {
        let watch = |query| first(query, "watch").map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(watch("watch=0&watch=1").as_deref(), Some("0"));
        assert_eq!(watch("a=1&w%61tch=%74rue").as_deref(), Some("true"));
        assert_eq!(watch("&&watch").as_deref(), Some(""));
        assert_eq!(watch("watch=a=b").as_deref(), Some("a=b"));
        // Go drops these two pairs.
        assert_eq!(watch("watch=1;x=2&watch=%zz&watch=3").as_deref(), Some("3"));
        assert_eq!(watch("Watch=1&xwatch=1&=1"), None);
        assert_eq!(watch(""), None);
    }

    #[test]
    fn more_parameters_than_go_reads_are_recognised() {
        assert!(!has_too_many_parameters(&"&".repeat(9_999)));
        assert!(has_too_many_parameters(&"&".repeat(10_000)));
    }
}
