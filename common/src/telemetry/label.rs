//! Label values of metrics: enums, in the words that Prometheus users write.

use std::fmt::{Debug, Error, Write as _};

use prometheus_client::encoding::{EncodeLabelValue as _, LabelValueEncoder};

/// Encodes an enum's variant by its name in `snake_case`: `NotManaged` as `not_managed`. Prometheus calls it at each scrape,
/// never on the way of a request.
///
/// # Errors
/// When the encoder cannot take more text.
pub fn snake_case(variant: &impl Debug, encoder: &mut LabelValueEncoder<'_>) -> Result<(), Error> {
    let mut word = String::new();
    for (place, letter) in format!("{variant:?}").chars().enumerate() {
        if letter.is_ascii_uppercase() && place > 0 {
            word.push('_');
        }
        word.write_char(letter.to_ascii_lowercase())?;
    }
    word.encode(encoder)
}

/// Lets enums be label values by their names in `snake_case`.
#[macro_export]
macro_rules! snake_case_labels {
    ($($name:ty),+ $(,)?) => {$(
        impl ::prometheus_client::encoding::EncodeLabelValue for $name {
            fn encode(
                &self,
                encoder: &mut ::prometheus_client::encoding::LabelValueEncoder<'_>,
            ) -> Result<(), ::std::fmt::Error> {
                $crate::telemetry::label::snake_case(self, encoder)
            }
        }
    )+};
}
