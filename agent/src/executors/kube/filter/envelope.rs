//! The envelope around every object in Kubernetes protobuf: four magic bytes and a `runtime.Unknown`.
//!
//! Read strictly, as the API server writes it (`MarshalToWriter` in `apimachinery/pkg/runtime/types_proto.go`): the kind,
//! the object, and two fields that are empty, each once and in this order. What could be read in two ways is refused,
//! since a client may read it in the other.

use super::{
    meta::TypeMeta,
    protobuf::{MAGIC, NOT_KUBERNETES, type_meta},
    scan::ScanError,
    wire::{Head, bytes_fields, put_bytes},
};

/// An envelope that is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Envelope<'m> {
    /// The message that says the object's kind.
    pub(crate) type_meta: &'m [u8],
    /// The object's own message.
    pub(crate) object: &'m [u8],
}

/// Knows the fields of an envelope, given one after the other.
#[derive(Debug, Default)]
pub(crate) struct EnvelopeFields {
    /// The number of the field before.
    last: u64,
}

/// What a field of the envelope is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EnvelopeField {
    /// The kind.
    TypeMeta,
    /// The object.
    Object,
    /// How the object is encoded. Empty.
    Encoding,
}

// === impl Envelope ===

impl<'m> Envelope<'m> {
    /// Reads an envelope.
    ///
    /// # Errors
    /// When it is none that the API server would write.
    pub(crate) fn parse(message: &'m [u8]) -> Result<Self, ScanError> {
        let fields = message.strip_prefix(&MAGIC).ok_or(NOT_KUBERNETES)?;
        let mut order = EnvelopeFields::default();
        let mut envelope = Self { type_meta: &[], object: &[] };
        bytes_fields(fields, |head, bytes| {
            match order.next(head)? {
                EnvelopeField::TypeMeta => envelope.type_meta = bytes,
                EnvelopeField::Object => envelope.object = bytes,
                EnvelopeField::Encoding => {}
            }
            Ok(())
        })?;
        order.finish()?;
        kind(envelope.type_meta)?;
        Ok(envelope)
    }

    /// Writes it as the API server does.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.type_meta.len() + self.object.len() + 32);
        out.extend_from_slice(&MAGIC);
        put_bytes(&mut out, 1, self.type_meta);
        put_bytes(&mut out, 2, self.object);
        put_bytes(&mut out, 3, &[]);
        put_bytes(&mut out, 4, &[]);
        out
    }
}

// === impl EnvelopeFields ===

impl EnvelopeFields {
    /// What the field is that begins.
    ///
    /// # Errors
    /// When it must not stand here.
    pub(crate) fn next(&mut self, head: Head) -> Result<EnvelopeField, ScanError> {
        let last = std::mem::replace(&mut self.last, head.number);
        match (last, head) {
            (0, Head { number: 1, .. }) => Ok(EnvelopeField::TypeMeta),
            (1, Head { number: 2, .. }) => Ok(EnvelopeField::Object),
            (2, Head { number: 3, length: 0 }) | (2 | 3, Head { number: 4, length: 0 }) => Ok(EnvelopeField::Encoding),
            _ => Err(ScanError::Malformed("the envelope is not as the API server writes it")),
        }
    }

    /// Says that the envelope ends here.
    ///
    /// # Errors
    /// When there was no object in it.
    pub(crate) fn finish(&self) -> Result<(), ScanError> {
        if self.last >= 2 { Ok(()) } else { Err(ScanError::Truncated) }
    }
}

/// The kind of what is in an envelope. A `Table` is refused: its metadata are not those of what it shows, and the API
/// server has no protobuf for it.
pub(crate) fn kind(message: &[u8]) -> Result<TypeMeta, ScanError> {
    let kind = type_meta(message)?;
    if kind.kind.is_empty() || kind.is_table() {
        return Err(ScanError::Malformed("the kind is none that protobuf has"));
    }
    Ok(kind)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            samples::pod_protobuf,
            wire::tests::{Written, write},
        },
        *,
    };

    fn bytes(number: u64, fields: &[Written]) -> Written {
        Written::Bytes(number, write(fields))
    }

    fn of_kind(api_version: &str, kind: &str) -> Written {
        bytes(1, &[Written::Bytes(1, api_version.into()), Written::Bytes(2, kind.into())])
    }

    #[test]
    fn a_pod_is_taken_out_and_put_back() {
        let pod = pod_protobuf();
        let envelope = Envelope::parse(&pod).unwrap();
        assert_eq!(envelope.type_meta, b"\x0a\x02v1\x12\x03Pod");
        assert!(envelope.object.starts_with(&[0x0a, 0xf6, 0x01, 0x0a]));
        assert_eq!(envelope.write(), pod);
    }

    #[test]
    fn what_the_api_server_does_not_write_is_refused() {
        let pod = || of_kind("v1", "Pod");
        let object = || Written::Bytes(2, vec![0x0a, 0]);
        let empty = |number| Written::Bytes(number, vec![]);
        let parse = |fields: &[Written]| {
            let message = [MAGIC.to_vec(), write(fields)].concat();
            Envelope::parse(&message).map(|envelope| envelope.object.len())
        };
        for good in [vec![pod(), object()], vec![pod(), object(), empty(3)], vec![pod(), object(), empty(3), empty(4)]]
        {
            assert_eq!(parse(&good).unwrap(), 2, "{good:?}");
        }
        for bad in [
            vec![object()],
            vec![object(), pod()],
            vec![pod(), pod(), object()],
            vec![pod(), object(), object()],
            vec![pod(), object(), pod()],
            vec![pod(), object(), Written::Bytes(3, b"gzip".to_vec())],
            vec![pod(), object(), Written::Bytes(4, b"application/json".to_vec())],
            vec![pod(), object(), empty(4), empty(3)],
            vec![pod(), object(), empty(5)],
            vec![pod(), object(), Written::Varint(3, 0)],
            vec![pod(), Written::Varint(7, 0), object()],
            vec![of_kind("v1", ""), object()],
            vec![of_kind("meta.k8s.io/v1", "Table"), object()],
        ] {
            assert!(matches!(parse(&bad), Err(ScanError::Malformed(_))), "{bad:?}");
        }
        for short in [vec![], vec![pod()]] {
            assert!(matches!(parse(&short), Err(ScanError::Truncated)), "{short:?}");
        }
        assert!(matches!(Envelope::parse(b"{\"kind\":\"Pod\"}"), Err(ScanError::Malformed(_))));
        let pod = pod_protobuf();
        for cut in 0..pod.len() - 4 {
            assert!(Envelope::parse(&pod[..cut]).is_err(), "cut at {cut}");
        }
    }
}
