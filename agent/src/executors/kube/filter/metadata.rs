//! Reads the metadata of an object out of the message that carries it, whatever its encoding.
//!
//! A response is read on a copy as it passes, so that the caller can hand on the very bytes that came. A request body
//! is read as a whole and strictly: whoever wrote it may have meant us to see something else than the API server.

use std::io::{self, Write};

use flate2::write::GzDecoder;
use http::{HeaderMap, header};
use serde::Deserialize;

use super::{
    json::JsonMetadata,
    meta::{ObjectMeta, TypeMeta},
    protobuf::{self, ProtobufMetadata},
    scan::{Found, Progress, ScanError},
};

/// Scans one response that carries one object.
#[derive(Debug)]
pub(crate) struct MetadataScanner(Coding);

#[derive(Debug)]
enum Coding {
    Identity(Format),
    Gzip(Box<GzDecoder<Sink>>),
}

#[derive(Debug)]
enum Format {
    Json(JsonMetadata),
    Protobuf(ProtobufMetadata),
}

/// Takes what is decompressed straight to the scanner, so that none of it need be kept.
#[derive(Debug)]
struct Sink {
    format: Format,
    /// How many more bytes an object may have.
    left: usize,
    answer: Option<Result<Progress, ScanError>>,
}

/// The encodings of an object that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MediaType {
    Json,
    Protobuf,
}

/// A request body in JSON. Serde refuses a member that stands twice.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    api_version: Option<String>,
    kind: Option<String>,
    metadata: Option<ObjectMeta>,
}

// === impl MetadataScanner ===

impl MetadataScanner {
    /// A scanner for what these headers announce. `None` where it is in an encoding that is not read (YAML, CBOR),
    /// compressed otherwise than kube-apiserver does, or a stream of events.
    pub(crate) fn for_response(headers: &HeaderMap) -> Option<Self> {
        let format = match MediaType::parse(headers.get(header::CONTENT_TYPE)?.to_str().ok()?)? {
            MediaType::Json => Format::Json(JsonMetadata::new(METADATA_LIMIT)),
            MediaType::Protobuf => Format::Protobuf(ProtobufMetadata::new(METADATA_LIMIT)),
        };
        let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
        let coding = codings.next().map_or(Some("identity"), |coding| coding.to_str().ok())?;
        if codings.next().is_some() {
            return None;
        }
        match coding.trim() {
            "" | "identity" => Some(Self(Coding::Identity(format))),
            "gzip" => {
                let sink = Sink { format, left: OBJECT_LIMIT, answer: None };
                Some(Self(Coding::Gzip(Box::new(GzDecoder::new(sink)))))
            }
            _ => None,
        }
    }

    /// A scanner for an object that is in either encoding; which one, its first bytes tell.
    pub(super) fn for_object(object: &[u8]) -> Self {
        Self(Coding::Identity(match object.first() {
            Some(b'{') => Format::Json(JsonMetadata::new(METADATA_LIMIT)),
            _ => Format::Protobuf(ProtobufMetadata::new(METADATA_LIMIT)),
        }))
    }

    /// Reads on.
    ///
    /// # Errors
    /// When it is certain that no metadata will be found. The scanner is of no use after that.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Result<Progress, ScanError> {
        match &mut self.0 {
            Coding::Identity(format) => format.push(chunk),
            Coding::Gzip(decoder) => match decompress(decoder, chunk) {
                Ok(()) => Ok(Progress::NeedMore),
                Err(error) => decoder.get_mut().answer.take().unwrap_or(Err(ScanError::Compressed(error))),
            },
        }
    }

    /// What is wrong when the response ends here.
    pub(crate) fn finish(&self) -> ScanError {
        match &self.0 {
            Coding::Identity(format) => format.finish(),
            Coding::Gzip(decoder) => decoder.get_ref().format.finish(),
        }
    }
}

// === impl Format ===

impl Format {
    fn push(&mut self, chunk: &[u8]) -> Result<Progress, ScanError> {
        match self {
            Self::Json(json) => json.push(chunk),
            Self::Protobuf(protobuf) => protobuf.push(chunk),
        }
    }

    fn finish(&self) -> ScanError {
        match self {
            Self::Json(json) => json.finish(),
            Self::Protobuf(protobuf) => protobuf.finish(),
        }
    }
}

// === impl Sink ===

impl Write for Sink {
    /// Fails as soon as there is an answer, so that nothing more is decompressed.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let answer = match self.left.checked_sub(bytes.len()) {
            Some(left) => {
                self.left = left;
                self.format.push(bytes)
            }
            None => Err(ScanError::TooLarge { limit: OBJECT_LIMIT }),
        };
        if matches!(answer, Ok(Progress::NeedMore)) {
            return Ok(bytes.len());
        }
        self.answer = Some(answer);
        Err(io::Error::other("the scanner has answered"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// === impl MediaType ===

impl MediaType {
    fn parse(content_type: &str) -> Option<Self> {
        let mut parts = content_type.split(';').map(str::trim);
        let media_type = match parts.next()?.to_ascii_lowercase().as_str() {
            "application/json" => Self::Json,
            "application/vnd.kubernetes.protobuf" => Self::Protobuf,
            _ => return None,
        };
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match (name.trim(), value.trim().trim_matches('"')) {
                // `stream=watch`: events, each with an object of its own.
                ("stream", _) => return None,
                // There is no such thing, so we do not know what it is.
                ("as", "Table") if media_type == Self::Protobuf => return None,
                _ => {}
            }
        }
        Some(media_type)
    }
}

/// Reads the metadata in a request body that is complete and not compressed.
///
/// # Errors
/// When it is in an encoding that is not read, when it is malformed, and when it says anything twice: decoders differ
/// in which of the two counts, or merge them.
pub(crate) fn of_request(content_type: &str, body: &[u8]) -> Result<Found, ScanError> {
    match MediaType::parse(content_type) {
        Some(MediaType::Json) => {
            let body: Body = serde_json::from_slice(body).map_err(ScanError::Metadata)?;
            let type_meta =
                TypeMeta { api_version: body.api_version.unwrap_or_default(), kind: body.kind.unwrap_or_default() };
            Ok(Found { type_meta: Some(type_meta), meta: body.metadata.ok_or(ScanError::NoMetadata)? })
        }
        Some(MediaType::Protobuf) => protobuf::of_request(body),
        None => Err(ScanError::Malformed("it is neither JSON nor Kubernetes protobuf")),
    }
}

fn decompress(decoder: &mut GzDecoder<Sink>, mut chunk: &[u8]) -> io::Result<()> {
    while !chunk.is_empty() {
        match decoder.write(chunk)? {
            // Behind the end of what was compressed.
            0 => break,
            written => chunk = chunk.get(written..).unwrap_or_default(),
        }
    }
    decoder.flush()
}

/// What is kept of one object. etcd holds none larger than 1.5 MiB, annotations of 256 KiB in all; JSON with everything
/// escaped may take more, and the rows of a `Table` may carry the object.
pub(super) const METADATA_LIMIT: usize = 4 << 20;

/// How far an object is decompressed in search of its metadata. A little gzip can be a lot of nothing.
const OBJECT_LIMIT: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use super::{
        super::samples::{POD_JSON, pod_meta, pod_protobuf},
        *,
    };

    fn scanner(headers: &[(header::HeaderName, &'static str)]) -> Option<MetadataScanner> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value.parse().unwrap());
        }
        MetadataScanner::for_response(&map)
    }

    fn gzipped(media_type: &'static str) -> MetadataScanner {
        scanner(&[(header::CONTENT_TYPE, media_type), (header::CONTENT_ENCODING, "gzip")]).unwrap()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn scan<'c>(
        mut scanner: MetadataScanner,
        chunks: impl IntoIterator<Item = &'c [u8]>,
    ) -> Result<ObjectMeta, ScanError> {
        for chunk in chunks {
            if let Progress::Done(found) = scanner.push(chunk)? {
                return Ok(found.meta);
            }
        }
        Err(scanner.finish())
    }

    #[test]
    fn the_content_type_chooses_the_scanner() {
        for json in
            ["application/json", "application/json; charset=utf-8", "Application/JSON;as=Table;v=v1;g=meta.k8s.io"]
        {
            let scanner = scanner(&[(header::CONTENT_TYPE, json)]).unwrap();
            assert_eq!(scan(scanner, [POD_JSON.as_bytes()]).unwrap(), pod_meta(), "{json}");
        }
        for protobuf in
            ["application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata"]
        {
            let scanner = scanner(&[(header::CONTENT_TYPE, protobuf), (header::CONTENT_ENCODING, "identity")]).unwrap();
            assert_eq!(scan(scanner, [pod_protobuf().as_slice()]).unwrap(), pod_meta(), "{protobuf}");
        }
        for unread in [
            "application/yaml",
            "application/cbor",
            "text/plain",
            "",
            "application/json;stream=watch",
            "application/vnd.kubernetes.protobuf; stream=\"watch\"",
            "application/vnd.kubernetes.protobuf;as=Table",
        ] {
            assert!(scanner(&[(header::CONTENT_TYPE, unread)]).is_none(), "{unread}");
        }
        assert!(scanner(&[]).is_none());
    }

    #[test]
    fn only_one_layer_of_gzip_is_undone() {
        let json = (header::CONTENT_TYPE, "application/json");
        for coding in ["br", "deflate", "gzip, gzip"] {
            assert!(scanner(&[json.clone(), (header::CONTENT_ENCODING, coding)]).is_none(), "{coding}");
        }
        let twice = [json, (header::CONTENT_ENCODING, "gzip"), (header::CONTENT_ENCODING, "gzip")];
        assert!(scanner(&twice).is_none());
    }

    #[test]
    fn gzip_is_undone_under_any_cut() {
        let json = gzip(POD_JSON.as_bytes());
        let protobuf = gzip(&pod_protobuf());
        for size in 1..=json.len() {
            assert_eq!(scan(gzipped("application/json"), json.chunks(size)).unwrap(), pod_meta(), "{size}");
        }
        for size in 1..=protobuf.len() {
            let scanner = gzipped("application/vnd.kubernetes.protobuf");
            assert_eq!(scan(scanner, protobuf.chunks(size)).unwrap(), pod_meta(), "{size}");
        }
    }

    #[test]
    fn an_answer_is_given_as_soon_as_its_bytes_are_there() {
        let text = format!("{}{}", POD_JSON.trim_end().trim_end_matches('}'), "x".repeat(1 << 20));
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&text.as_bytes()[..POD_JSON.len()]).unwrap();
        encoder.flush().unwrap();
        let head = encoder.get_ref().clone();
        assert_eq!(scan(gzipped("application/json"), [head.as_slice()]).unwrap(), pod_meta());
    }

    #[test]
    fn broken_gzip_is_an_error() {
        let whole = gzip(br#"{"kind":"Pod"}"#);
        assert!(matches!(scan(gzipped("application/json"), [whole.as_slice()]), Err(ScanError::NoMetadata)));
        let short = &gzip(POD_JSON.as_bytes())[..60];
        assert!(matches!(
            scan(gzipped("application/json"), [short]),
            Err(ScanError::Truncated | ScanError::NoMetadata)
        ));
        assert!(matches!(scan(gzipped("application/json"), [POD_JSON.as_bytes()]), Err(ScanError::Compressed(_))));
        let mut corrupt = gzip(POD_JSON.as_bytes());
        corrupt[12] ^= 0xff;
        assert!(scan(gzipped("application/json"), [corrupt.as_slice()]).is_err());
        // What follows the compressed object is nobody's.
        let padded = [gzip(b"{\"a\":0"), vec![7; 100_000]].concat();
        assert!(matches!(scan(gzipped("application/json"), padded.chunks(5_000)), Err(ScanError::Truncated)));
    }

    #[test]
    fn a_little_gzip_that_is_a_lot_of_nothing_is_given_up() {
        let bomb = gzip(&[b"{\"a\":\"".to_vec(), vec![b'x'; 64 << 20]].concat());
        assert!(bomb.len() < 1 << 20);
        let error = scan(gzipped("application/json"), [bomb.as_slice()]).unwrap_err();
        assert!(matches!(error, ScanError::TooLarge { limit: OBJECT_LIMIT }), "{error:?}");
    }

    #[test]
    fn a_request_is_read_whole_and_strictly() {
        let json = |body: &str| of_request("application/json; charset=utf-8", body.as_bytes());
        let found = json(POD_JSON).unwrap();
        assert_eq!(found.meta, pod_meta());
        assert_eq!(found.type_meta.unwrap().kind, "Pod");
        let protobuf = of_request("application/vnd.kubernetes.protobuf", &pod_protobuf()).unwrap();
        assert_eq!(protobuf.meta, pod_meta());
        assert!(matches!(json(r#"{"kind":"Pod"}"#), Err(ScanError::NoMetadata)));
        for twice in
            [r#"{"metadata":{},"metadata":{}}"#, r#"{"metadata":{},"met\u0061data":null}"#, r#"{"metadata":{}} {}"#]
        {
            assert!(matches!(json(twice), Err(ScanError::Metadata(_))), "{twice}");
        }
        assert!(matches!(of_request("application/yaml", b"metadata: {}"), Err(ScanError::Malformed(_))));
    }

    proptest! {
        #[test]
        fn no_gzip_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), size in 1_usize..50) {
            let framed = [&gzip(b"")[..10], &bytes].concat();
            prop_assert!(scan(gzipped("application/json"), framed.chunks(size)).is_err());
        }
    }
}
