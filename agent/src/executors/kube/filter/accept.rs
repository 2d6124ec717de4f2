//! Which encodings of a list or a watch the filter can read, of those that a client takes.
//!
//! The API server must never be asked for what the filter could not take apart again, and is asked for as much of each
//! object as it takes to decide. Where nothing is left that both can read, the API server itself says so.

use std::borrow::Cow;

use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT, CONTENT_TYPE},
};

use super::{
    super::query,
    item::{ItemKind, RowObject},
};

/// What to ask the API server for, instead of what the client asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked<'q> {
    /// The one `Accept` header to send, instead of all that came. `None`: what came is right as it is.
    pub(crate) accept: Option<HeaderValue>,
    /// The query to send.
    pub(crate) query: Cow<'q, str>,
    /// What is to become of the objects in the rows of a table. More may be asked for than the client wants.
    pub(crate) rows: RowObject,
}

/// The encodings of lists and watches that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// JSON: an object, or events one after the other.
    Json,
    /// Kubernetes protobuf: an envelope, or events with their lengths before them.
    Protobuf,
}

/// One media range of an `Accept` header, taken apart as `ParseAccept` of `github.com/munnerz/goautoneg` does.
#[derive(Debug)]
struct MediaRange<'h> {
    text: &'h [u8],
    media: Media,
    /// Its parameters as they stand, with the semicolon before them.
    parameters: &'h [u8],
    /// What the answer is to be converted to (`as=`).
    convert: Option<&'h [u8]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Media {
    Json,
    Protobuf,
    /// `*/*` or `application/*`.
    Any,
}

/// What to ask for instead, given the headers and the query of a list or a watch of such objects.
pub(crate) fn ask<'q>(headers: &HeaderMap, query: &'q str, items: ItemKind) -> Asked<'q> {
    let as_it_came = |accept| Asked { accept, query: Cow::Borrowed(query), rows: RowObject::AsItCame };
    let mut values = headers.get_all(ACCEPT).iter();
    let first = values.next().map(HeaderValue::as_bytes).unwrap_or_default();
    // The API server reads the first header only (`req.Header.Get` in `negotiate.go`), but several are one list.
    let came = values.fold(Cow::Borrowed(first), |list, value| [&list, value.as_bytes()].join(&b',').into());
    if came.is_empty() {
        // `NegotiateMediaTypeOptions`: JSON.
        return as_it_came(None);
    }
    let ranges: Vec<MediaRange<'_>> = came
        .split(|byte| *byte == b',')
        .filter_map(MediaRange::parse)
        .filter(|range| range.is_readable() && range.shows_enough(items))
        .collect();
    let mut kept: Vec<Cow<'_, [u8]>> = Vec::with_capacity(ranges.len());
    for range in &ranges {
        let text = range.asked();
        // What a wildcard comes to is often what stands before it: `application/json, */*`.
        if range.media != Media::Any || kept.last() != Some(&text) {
            kept.push(text);
        }
    }
    let kept = kept.join(&b',');
    let accept = if kept.is_empty() {
        Some(HeaderValue::from_static(UNREADABLE))
    } else if kept == *came && came.len() == first.len() {
        None
    } else {
        // It is made of what was a header's value, so it is one.
        Some(HeaderValue::from_bytes(&kept).unwrap_or(HeaderValue::from_static(UNREADABLE)))
    };
    if !ranges.iter().any(MediaRange::is_table) {
        return as_it_came(accept);
    }
    let (query, rows) = include_object(query, items);
    Asked { accept, query, rows }
}

/// What these headers of an answer announce. `None` for what the filter cannot read.
pub(crate) fn encoding(headers: &HeaderMap, watch: bool) -> Option<Encoding> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let mut parts = value.to_str().ok()?.split(';').map(str::trim);
    let encoding = match parts.next()?.to_ascii_lowercase().as_str() {
        "application/json" => Encoding::Json,
        "application/vnd.kubernetes.protobuf" => Encoding::Protobuf,
        _ => return None,
    };
    let stream = parts
        .filter_map(|part| part.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("stream"))
        .map(|(_, value)| value.trim().trim_matches('"'));
    let right = match (encoding, stream) {
        (_, Some("watch")) => watch,
        (Encoding::Json, None) => true,
        // Events of a watch would be announced as such (`serveWatchHandler`).
        (Encoding::Protobuf, None) => !watch,
        (_, Some(_)) => false,
    };
    right.then_some(encoding)
}

// === impl MediaRange ===

impl<'h> MediaRange<'h> {
    /// Reads a range. `None` for what is not among the media types that can be read. Case counts, as it does for the
    /// API server.
    fn parse(text: &'h [u8]) -> Option<Self> {
        let text = text.trim_ascii();
        let (name, parameters) = split_before(text, b';');
        let (main, sub) = split_before(name, b'/');
        let media = match (trim(main), trim(sub.get(1..).unwrap_or_default())) {
            (b"application", b"json") => Media::Json,
            (b"application", b"vnd.kubernetes.protobuf") => Media::Protobuf,
            (b"application" | b"*", b"*") | (b"*", b"") => Media::Any,
            _ => return None,
        };
        let mut range = Self { text, media, parameters, convert: None };
        for parameter in parameters.split(|byte| *byte == b';') {
            let (key, value) = split_before(parameter, b'=');
            // No value, or more than one equals sign: as if it were not there. Of several the last one counts.
            if let Some((b'=', value)) = value.split_first()
                && !value.is_empty()
                && !value.contains(&b'=')
                && trim(key) == b"as"
            {
                range.convert = Some(trim(value));
            }
        }
        Some(range)
    }

    /// There is no table in protobuf (`AllowsMediaTypeTransform`, `apiserver/pkg/endpoints/handlers/rest.go`), so
    /// whatever would come is not known.
    fn is_readable(&self) -> bool {
        self.media != Media::Protobuf || !self.is_table()
    }

    /// Metadata alone do not say what an event is about. A table's rows can be had with more.
    fn shows_enough(&self, items: ItemKind) -> bool {
        let metadata_only = matches!(self.convert, Some(b"PartialObjectMetadata" | b"PartialObjectMetadataList"));
        items == ItemKind::Object || !metadata_only
    }

    fn is_table(&self) -> bool {
        self.convert == Some(b"Table")
    }

    /// The range as it came, but for a wildcard: JSON is what the API server takes it for, since that comes first
    /// among its serializers (`newSerializersForScheme`, `apimachinery/pkg/runtime/serializer/codec_factory.go`). For a
    /// kind of its own it takes `application/*` only beside a type by name (`matchesAccept` of go-restful's `route.go`),
    /// which is here no reason to refuse it.
    fn asked(&self) -> Cow<'h, [u8]> {
        if self.media == Media::Any { [b"application/json", self.parameters].concat().into() } else { self.text.into() }
    }
}

/// The query that asks for what is needed of the objects in the rows of a table, and what is to be shown of them.
///
/// The first value counts (`Convert_url_Values_To_v1_TableOptions`), nothing at all means `Metadata` (`asTable` in
/// `apiserver/pkg/endpoints/handlers/response.go`), and what is not a policy is for the API server to refuse.
fn include_object(query: &str, items: ItemKind) -> (Cow<'_, str>, RowObject) {
    let wanted = query::first(query, INCLUDE_OBJECT);
    let (policy, rows) = match (wanted.as_deref().unwrap_or_default(), items) {
        (b"None", ItemKind::Object) => ("Metadata", RowObject::Nothing),
        (b"None", ItemKind::CoreEvent | ItemKind::Event) => ("Object", RowObject::Nothing),
        (b"" | b"Metadata", ItemKind::CoreEvent | ItemKind::Event) => ("Object", RowObject::Metadata),
        _ => return (Cow::Borrowed(query), RowObject::AsItCame),
    };
    let mut pairs: Vec<Cow<'_, str>> = query.split('&').map(Cow::Borrowed).collect();
    match pairs.iter_mut().find(|pair| query::first(pair, INCLUDE_OBJECT).is_some()) {
        Some(pair) => {
            let key = pair.split_once('=').map_or(pair.as_ref(), |(key, _)| key);
            *pair = format!("{key}={policy}").into();
        }
        None if query.is_empty() => pairs = vec![format!("{INCLUDE_OBJECT}={policy}").into()],
        None => pairs.push(format!("{INCLUDE_OBJECT}={policy}").into()),
    }
    let asked = pairs.join("&");
    // One more than Go reads, and it would read none. What is not asked for cannot be decided on, nor shown.
    if query::has_too_many_parameters(&asked) {
        return (Cow::Borrowed(query), RowObject::AsItCame);
    }
    (asked.into(), rows)
}

/// The text up to a byte, and what begins with that byte.
fn split_before(text: &[u8], byte: u8) -> (&[u8], &[u8]) {
    let at = text.iter().position(|other| *other == byte).unwrap_or(text.len());
    text.split_at_checked(at).unwrap_or((text, &[]))
}

/// Blanks are trimmed and nothing else (`stringTrimSpaceCutset` of goautoneg).
fn trim(mut text: &[u8]) -> &[u8] {
    while let Some(rest) = text.strip_prefix(b" ").or_else(|| text.strip_suffix(b" ")) {
        text = rest;
    }
    text
}

const INCLUDE_OBJECT: &str = "includeObject";

/// What nobody serves, so that the answer is the API server's own 406.
const UNREADABLE: &str = "application/vnd.argocd-agent.unreadable";

#[cfg(test)]
mod tests;
