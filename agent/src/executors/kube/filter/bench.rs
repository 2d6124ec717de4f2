//! The scanners of lists, for micro-benchmarks and nobody else, behind the feature `test-util`. They are driven as the
//! filter drives them, with a decision that costs nothing in place of its own.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};

use super::{
    item::{ItemKind, RowObject},
    list::Scanner,
};

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// JSON.
    Json,
    /// What `kubectl get` asks for: JSON, a row for each object, with its metadata.
    Table,
    /// Kubernetes protobuf.
    Protobuf,
}

/// Filters a list of objects that arrives in these chunks, and returns how many bytes come out. Of each item its number
/// is asked.
///
/// # Errors
/// What is wrong with the list.
pub fn list(
    form: Form,
    chunks: impl IntoIterator<Item = Bytes>,
    mut show: impl FnMut(usize) -> bool,
) -> Result<usize, String> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(form.content_type()));
    let mut scanner = Scanner::new(&headers, ItemKind::Object, RowObject::AsItCame).ok_or("an unknown encoding")?;
    let (mut number, mut passed) = (0, 0);
    for chunk in chunks {
        scanner.push(chunk).map_err(|error| error.to_string())?;
        while scanner.pending().is_some() {
            scanner.decide(show(number));
            number += 1;
        }
        passed += length(&mut scanner);
    }
    scanner.finish().map_err(|error| error.to_string())?;
    Ok(passed + length(&mut scanner))
}

/// Of all that comes out for now.
fn length(scanner: &mut Scanner) -> usize {
    std::iter::from_fn(|| scanner.output()).map(|piece| piece.len()).sum()
}

// === impl Form ===

impl Form {
    fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Table => "application/json;as=Table;g=meta.k8s.io;v=v1",
            Self::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }
}
