//! The fields of a line of text, as `tracing_subscriber` writes them where there are no colours.
//!
//! Always true: byte for byte what [`DefaultVisitor`] writes; whatever is not plain is left to it. It goes through
//! `core::fmt` some six times a field, in case there are colours, and an audit line has fifteen fields: that was a sixth
//! of all that the principal does for a request.

use std::fmt::{self, Debug};

use tracing::field::{Field, Visit};
use tracing_subscriber::{
    field::{RecordFields, VisitOutput},
    fmt::{
        FormatFields,
        format::{DefaultVisitor, Writer},
    },
};

/// Writes fields as `name=value`, without colours.
#[derive(Debug)]
pub(super) struct PlainFields;

struct PlainVisitor<'a> {
    writer: Writer<'a>,
    is_empty: bool,
    result: fmt::Result,
}

// === impl PlainFields ===

impl<'writer> FormatFields<'writer> for PlainFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut visitor = PlainVisitor { writer, is_empty: true, result: Ok(()) };
        fields.record(&mut visitor);
        visitor.result
    }
}

// === impl PlainVisitor ===

impl PlainVisitor<'_> {
    /// Writes one field.
    fn field(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        let named = self.result.and_then(|()| {
            if !self.is_empty {
                self.writer.write_char(' ')?;
            }
            self.writer.write_str(field.name())?;
            self.writer.write_char('=')
        });
        self.is_empty = false;
        self.result = named.and_then(|()| value(&mut self.writer));
    }

    /// Leaves a field to the visitor that knows all cases.
    fn delegate(&mut self, record: impl FnOnce(&mut DefaultVisitor<'_>)) {
        if self.result.is_ok() {
            let mut visitor = DefaultVisitor::new(self.writer.by_ref(), self.is_empty);
            record(&mut visitor);
            self.result = visitor.finish();
            self.is_empty = false;
        }
    }
}

impl Visit for PlainVisitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if is_named(field) && value.bytes().all(is_plain) {
            self.field(field, |writer| {
                writer.write_char('"')?;
                writer.write_str(value)?;
                writer.write_char('"')
            });
        } else {
            self.delegate(|visitor| visitor.record_str(field, value));
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.delegate(|visitor| visitor.record_error(field, value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if is_named(field) {
            self.field(field, |writer| write!(writer, "{value:?}"));
        } else {
            self.delegate(|visitor| visitor.record_debug(field, value));
        }
    }
}

/// Whether the field's name is written, and as it is.
fn is_named(field: &Field) -> bool {
    !matches!(field.name(), "message") && !field.name().starts_with("r#")
}

/// Whether `Debug` writes the byte as it is.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use proptest::prelude::*;
    use tracing::{info, info_span};
    use tracing_subscriber::fmt::{format::DefaultFields, layer};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written<F>(fields: F, events: &dyn Fn()) -> String
    where
        F: for<'w> FormatFields<'w> + Send + Sync + 'static,
    {
        let sink = Sink::default();
        let writer = sink.clone();
        let layer = layer().without_time().with_ansi(false).fmt_fields(fields).with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), events);
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn assert_same(events: impl Fn()) {
        let (ours, theirs) = (written(PlainFields, &events), written(DefaultFields::new(), &events));
        assert!(!ours.is_empty());
        assert_eq!(ours, theirs);
    }

    #[test]
    fn every_kind_of_field_is_written_as_the_default_does() {
        let error: Box<dyn std::error::Error> = Box::new(io::Error::other("a\x1b[31m\"b\""));
        assert_same(|| {
            info!(
                a = "b",
                n = 1_u64,
                i = -1_i64,
                f = 1.5,
                yes = true,
                none = None::<u8>,
                some = Some(7_u16),
                "message"
            );
            info!(r#type = "t", shown = %"a b\n\x1b[0m", debugged = ?["x"], "a {} with \x1b[31m and \"", "format");
            info!(error = error.as_ref(), message = "a field\n");
            info!("nothing else");
            info!(only = "field");
            let span = info_span!("outer", agent = "a1", late = tracing::field::Empty);
            span.in_scope(|| {
                span.record("late", 5);
                info_span!("inner").in_scope(|| info!(x = 1, "within"));
            });
        });
    }

    proptest! {
        #[test]
        fn every_text_is_written_as_the_default_does(text: String, ascii in "[ -~\t\n\x1b]{0,20}") {
            assert_same(|| info!(text = text.as_str(), ascii = Some(ascii.as_str()), shown = %text, "message"));
        }
    }
}
