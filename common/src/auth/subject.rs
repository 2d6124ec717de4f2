//! A certificate's subject in the words of Go, because operators' `--auth` patterns were written against them.
//!
//! `pkix.Name.String()` of a parsed certificate (Go 1.26, `crypto/x509/pkix/pkix.go`) does *not* print the sequence
//! that the certificate holds: known attributes are regrouped by type into a fixed order, of common name and serial
//! number only the last counts, and unknown attributes go to the end. A malformed subject is refused whole. We read the
//! DER ourselves since `x509-parser` drops what follows the first malformed part without a word.

use std::fmt::Write as _;

/// The subject as Go prints it, and its common name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) text: String,
    pub(super) common_name: Option<String>,
}

/// Why a subject cannot be read. Go refuses the same certificates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// The DER structure is broken.
    #[error("malformed distinguished name")]
    Malformed,
    /// An attribute's value is no string of a kind that Go knows, or breaks the rules of its kind.
    #[error("an attribute is no valid string (ASN.1 tag {0})")]
    Value(u8),
}

/// One attribute: its object identifier and its value.
struct Attribute {
    oid: Vec<u32>,
    value: String,
}

// === impl Subject ===

impl Subject {
    /// Reads a DER `Name`.
    pub(super) fn from_der(der: &[u8]) -> Result<Self, SubjectError> {
        let attributes = read_name(der)?;
        let last = |attribute| known(&attributes, attribute).next_back().filter(|value| !value.is_empty());
        let mut parts = Vec::new();
        for (attribute, name) in ORDER {
            let values: Vec<_> = match attribute {
                COMMON_NAME | SERIAL_NUMBER => last(attribute).into_iter().collect(),
                _ => known(&attributes, attribute).collect(),
            };
            if !values.is_empty() {
                let values: Vec<_> = values.into_iter().map(|value| format!("{name}={}", escape(value))).collect();
                parts.push(values.join("+"));
            }
        }
        parts.extend(attributes.iter().rev().filter(|attribute| !attribute.is_known()).map(Attribute::as_hex));
        Ok(Self { text: parts.join(","), common_name: last(COMMON_NAME).map(str::to_owned) })
    }
}

// === impl Attribute ===

impl Attribute {
    fn is_known(&self) -> bool {
        ORDER.iter().any(|(attribute, _)| self.is(*attribute))
    }

    /// Whether this is the attribute 2.5.4.`attribute`.
    fn is(&self, attribute: u32) -> bool {
        self.oid == [2, 5, 4, attribute]
    }

    /// `1.2.3=#<hex of the DER>`; Go marshals the string anew, so the tag may differ from the certificate's.
    fn as_hex(&self) -> String {
        let oid: Vec<_> = self.oid.iter().map(u32::to_string).collect();
        let tag = if self.value.bytes().all(is_strictly_printable) { PRINTABLE_STRING } else { UTF8_STRING };
        let mut text = format!("{}=#{tag:02x}", oid.join("."));
        let length = self.value.len();
        if length < 0x80 {
            let _ = write!(text, "{length:02x}");
        } else {
            let bytes = length.to_be_bytes();
            let significant = bytes.iter().skip_while(|byte| **byte == 0).count();
            let _ = write!(text, "{:02x}{length:0width$x}", 0x80 | significant, width = 2 * significant);
        }
        for byte in self.value.bytes() {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

/// The values of the attribute 2.5.4.`attribute`, in the certificate's order.
fn known(attributes: &[Attribute], attribute: u32) -> impl DoubleEndedIterator<Item = &str> {
    attributes.iter().filter(move |candidate| candidate.is(attribute)).map(|found| found.value.as_str())
}

/// RFC 2253 escaping as Go does it: a space at either end, `#` at the beginning, and the special characters.
fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for (at, c) in value.char_indices() {
        let special = match c {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => true,
            ' ' => at == 0 || at + 1 == value.len(),
            '#' => at == 0,
            _ => false,
        };
        if special {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// `Name ::= SEQUENCE OF SET OF SEQUENCE { type OBJECT IDENTIFIER, value ANY }`, flattened.
fn read_name(der: &[u8]) -> Result<Vec<Attribute>, SubjectError> {
    let mut input = der;
    let mut name = expect(&mut input, SEQUENCE)?;
    if !input.is_empty() {
        return Err(SubjectError::Malformed);
    }
    let mut attributes = Vec::new();
    while !name.is_empty() {
        let mut set = expect(&mut name, SET)?;
        while !set.is_empty() {
            let mut attribute = expect(&mut set, SEQUENCE)?;
            let oid = read_oid(expect(&mut attribute, OBJECT_IDENTIFIER)?)?;
            let (tag, value) = read(&mut attribute)?;
            if !attribute.is_empty() {
                return Err(SubjectError::Malformed);
            }
            attributes.push(Attribute { oid, value: read_string(tag, value).ok_or(SubjectError::Value(tag))? });
        }
    }
    Ok(attributes)
}

fn expect<'a>(input: &mut &'a [u8], tag: u8) -> Result<&'a [u8], SubjectError> {
    match read(input)? {
        (found, content) if found == tag => Ok(content),
        _ => Err(SubjectError::Malformed),
    }
}

/// One DER element: its identifier octet and its content. Long identifiers and lengths that are not minimal are refused.
fn read<'a>(input: &mut &'a [u8]) -> Result<(u8, &'a [u8]), SubjectError> {
    let element = || {
        let (&tag, rest) = input.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let length = octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet));
                let minimal = *octets.first()? != 0 && length >= 0x80;
                minimal.then_some((length, rest))?
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        (tag & LONG_TAG != LONG_TAG).then_some((tag, content, rest))
    };
    let (tag, content, rest) = element().ok_or(SubjectError::Malformed)?;
    *input = rest;
    Ok((tag, content))
}

/// X.690 section 8.19: arcs in base 128, the first two in one number.
fn read_oid(content: &[u8]) -> Result<Vec<u32>, SubjectError> {
    let mut arcs = Vec::new();
    let mut arc: u32 = 0;
    let mut within = false;
    for &byte in content {
        if (!within && byte == 0x80) || arc > (i32::MAX as u32) >> 7 {
            return Err(SubjectError::Malformed);
        }
        arc = arc << 7 | u32::from(byte & 0x7f);
        within = byte & 0x80 != 0;
        if !within {
            if arcs.is_empty() {
                let root = (arc / 40).min(2);
                arcs.push(root);
                arc -= 40 * root;
            }
            arcs.push(arc);
            arc = 0;
        }
    }
    if within || arcs.is_empty() { Err(SubjectError::Malformed) } else { Ok(arcs) }
}

/// The string kinds of Go's `parseASN1String`, with its rules.
fn read_string(tag: u8, value: &[u8]) -> Option<String> {
    match tag {
        UTF8_STRING => std::str::from_utf8(value).ok().map(str::to_owned),
        PRINTABLE_STRING => ascii(value, |byte| is_strictly_printable(byte) || byte == b'*' || byte == b'&'),
        NUMERIC_STRING => ascii(value, |byte| byte.is_ascii_digit() || byte == b' '),
        IA5_STRING => ascii(value, |_| true),
        // T.61 read as Latin-1, as most of the world does.
        T61_STRING => Some(value.iter().copied().map(char::from).collect()),
        BMP_STRING => {
            let (units, odd) = value.as_chunks::<2>();
            let units = units.strip_suffix(&[[0, 0]]).unwrap_or(units);
            let text: Option<String> = units.iter().map(|unit| bmp_char(u16::from_be_bytes(*unit))).collect();
            text.filter(|_| odd.is_empty())
        }
        _ => None,
    }
}

fn ascii(value: &[u8], allowed: impl Fn(u8) -> bool) -> Option<String> {
    value.iter().map(|&byte| (byte.is_ascii() && allowed(byte)).then_some(char::from(byte))).collect()
}

/// UCS-2 has no surrogates, and Unicode's noncharacters are no text.
fn bmp_char(unit: u16) -> Option<char> {
    match unit {
        0xfffe | 0xffff | 0xfdd0..=0xfdef => None,
        _ => char::from_u32(unit.into()),
    }
}

/// X.680 section 41.4.
fn is_strictly_printable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'\''..=b')' | b'+'..=b'/' | b' ' | b':' | b'=' | b'?')
}

/// Attributes that have a name, as the last arc of 2.5.4.x, in the order in which Go prints them.
const ORDER: [(u32, &str); 9] = [
    (SERIAL_NUMBER, "SERIALNUMBER"),
    (COMMON_NAME, "CN"),
    (11, "OU"),
    (10, "O"),
    (17, "POSTALCODE"),
    (9, "STREET"),
    (7, "L"),
    (8, "ST"),
    (6, "C"),
];
const COMMON_NAME: u32 = 3;
const SERIAL_NUMBER: u32 = 5;

const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const NUMERIC_STRING: u8 = 0x12;
const PRINTABLE_STRING: u8 = 0x13;
const T61_STRING: u8 = 0x14;
const IA5_STRING: u8 = 0x16;
const BMP_STRING: u8 = 0x1e;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// An identifier octet with all these bits set is followed by more identifier octets.
const LONG_TAG: u8 = 0x1f;

#[cfg(test)]
mod tests {
    use super::*;

    const CN: &[u8] = &[0x55, 4, 3];
    const O: &[u8] = &[0x55, 4, 10];
    const OU: &[u8] = &[0x55, 4, 11];
    const C: &[u8] = &[0x55, 4, 6];
    const SERIAL: &[u8] = &[0x55, 4, 5];
    const TITLE: &[u8] = &[0x55, 4, 12];
    const EMAIL: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];
    const UID: &[u8] = &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1];

    type Attributes<'a> = &'a [(&'a [u8], u8, &'a [u8])];

    /// Expected texts are what Go 1.26 printed for the same bytes.
    #[test]
    fn prints_a_subject_as_go_does() {
        let text = |rdns: &[Attributes<'_>]| Subject::from_der(&name(rdns)).unwrap().text;
        assert_eq!(text(&[]), "");
        assert_eq!(
            text(&[&[(OU, UTF8_STRING, b"b")], &[(CN, UTF8_STRING, b"agent")], &[(OU, UTF8_STRING, b"a")]]),
            "CN=agent,OU=b+OU=a"
        );
        assert_eq!(
            text(&[&[(CN, UTF8_STRING, b"agent"), (O, PRINTABLE_STRING, b"org")], &[(C, PRINTABLE_STRING, b"DE")]]),
            "CN=agent,O=org,C=DE"
        );
        assert_eq!(
            text(&[&[(O, UTF8_STRING, br#" #a, b+"c"\<d>;= "#)], &[(CN, UTF8_STRING, b"#x")]]),
            r#"CN=\#x,O=\ #a\, b\+\"c\"\\\<d\>\;=\ "#
        );
        assert_eq!(
            text(&[&[(CN, UTF8_STRING, b"agent")], &[(EMAIL, IA5_STRING, b"a@b.c")], &[(UID, UTF8_STRING, b"u1")]]),
            "CN=agent,0.9.2342.19200300.100.1.1=#13027531,1.2.840.113549.1.9.1=#0c056140622e63"
        );
        assert_eq!(text(&[&[(TITLE, UTF8_STRING, &[b'x'; 200])]]), format!("2.5.4.12=#1381c8{}", "78".repeat(200)));
        assert_eq!(
            text(&[&[(O, T61_STRING, b"\xe4")], &[(CN, BMP_STRING, b"\x00a\x4e\x2d")]]),
            "CN=a\u{4e2d},O=\u{e4}"
        );
    }

    #[test]
    fn the_last_common_name_counts() {
        let der =
            name(&[&[(CN, UTF8_STRING, b"first")], &[(CN, UTF8_STRING, b"last")], &[(SERIAL, UTF8_STRING, b"7")]]);
        let expected = Subject { text: "SERIALNUMBER=7,CN=last".into(), common_name: Some("last".into()) };
        assert_eq!(Subject::from_der(&der), Ok(expected));
    }

    #[test]
    fn refuses_values_that_go_refuses() {
        let value = |tag, value: &[u8]| Subject::from_der(&name(&[&[(CN, tag, value)]]));
        for (tag, bytes) in [
            (UTF8_STRING, &b"\xff"[..]),
            (PRINTABLE_STRING, b"a@b"),
            (IA5_STRING, b"\xe4"),
            (NUMERIC_STRING, b"a"),
            (BMP_STRING, b"\0"),
            (BMP_STRING, b"\xd8\0"),
            (BMP_STRING, b"\xff\xfe"),
            (0x1c, b"\0\0\0a"),
            (0x2c, b"\x0c\x01a"),
        ] {
            assert_eq!(value(tag, bytes), Err(SubjectError::Value(tag)), "{tag:#x} {bytes:x?}");
        }
    }

    #[test]
    fn a_cut_name_is_refused_and_never_read_in_part() {
        let der = name(&[&[(O, UTF8_STRING, b"org")], &[(CN, UTF8_STRING, b"agent")]]);
        for length in 0..der.len() {
            assert_eq!(Subject::from_der(&der[..length]), Err(SubjectError::Malformed), "{length}");
        }
        let mut broken = der;
        let second = broken.iter().rposition(|byte| *byte == SET).unwrap();
        broken[second] = SEQUENCE;
        assert_eq!(Subject::from_der(&broken), Err(SubjectError::Malformed));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
            let _ = Subject::from_der(&bytes);
            let _ = Subject::from_der(&element(SEQUENCE, &element(SET, &element(SEQUENCE, &bytes))));
        }
    }

    fn name(rdns: &[Attributes<'_>]) -> Vec<u8> {
        let attribute = |&(oid, tag, value): &(&[u8], u8, &[u8])| {
            element(SEQUENCE, &[element(OBJECT_IDENTIFIER, oid), element(tag, value)].concat())
        };
        let rdn =
            |attributes: &Attributes<'_>| element(SET, &attributes.iter().map(attribute).collect::<Vec<_>>().concat());
        element(SEQUENCE, &rdns.iter().map(rdn).collect::<Vec<_>>().concat())
    }

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = content.len();
        let header = match u8::try_from(length) {
            Ok(short) if short < 0x80 => vec![tag, short],
            Ok(long) => vec![tag, 0x81, long],
            Err(_) => vec![tag, 0x82, (length >> 8) as u8, length as u8],
        };
        [header, content.to_vec()].concat()
    }
}
