//! Values as Go's flag packages read them, so that manifests and habits carry over.
//!
//! Each parser's error says what is allowed; which flag and what value it was is added where the error is printed.

use std::{borrow::Cow, convert::Infallible, ops::RangeInclusive, str::FromStr, time::Duration};

/// What would have been allowed instead: a clause that begins with "must be".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Allowed(Cow<'static, str>);

/// A secret that nothing reads yet: that it was given is all that is kept of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Withheld;

// === impl Withheld ===

impl FromStr for Withheld {
    type Err = Infallible;

    fn from_str(_: &str) -> Result<Self, Infallible> {
        Ok(Self)
    }
}

/// A bool in any of the spellings of Go's `strconv.ParseBool`.
///
/// # Errors
/// When `text` is none of them.
pub fn boolean(text: &str) -> Result<bool, Allowed> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Allowed("must be true or false (or 1, 0, t, f)".into())),
    }
}

/// A duration as Go's `time.ParseDuration` reads it (`1h2m3.5s`, `300ms`, `0`), less the negative ones.
///
/// # Errors
/// When `text` is none, or longer than Go's 292 years.
pub fn duration(text: &str) -> Result<Duration, Allowed> {
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    if unsigned == "0" {
        return Ok(Duration::ZERO);
    }
    let nanos = if unsigned.is_empty() { None } else { nanoseconds(unsigned) };
    nanos
        .and_then(|nanos| i64::try_from(nanos).ok()?.try_into().ok())
        .map(Duration::from_nanos)
        .ok_or(Allowed("must be a duration such as 300ms, 10s or 1h2m3.5s, or 0".into()))
}

/// A duration longer than nothing.
///
/// # Errors
/// When `text` is none.
pub fn positive_duration(text: &str) -> Result<Duration, Allowed> {
    match duration(text) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(Allowed("must be a duration above 0, such as 300ms, 10s or 1h2m3.5s".into())),
    }
}

/// A parser for whole numbers within `range`.
///
/// `T` must hold every number of the range.
pub fn number<T>(
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, Allowed> + Clone + Send + Sync + use<T> + 'static
where
    T: TryFrom<u64>,
{
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| {
            let (least, most) = (range.start(), range.end());
            Allowed(format!("must be a whole number from {least} to {most}").into())
        })
    }
}

/// The text, unless nothing but space was given: Go's flag packages know no difference between empty and not set.
#[must_use]
pub fn given(text: Option<&String>) -> Option<&str> {
    text.map(|text| text.trim()).filter(|text| !text.is_empty())
}

/// The items of a list that was typed with commas, repeated or both, less the empty ones.
#[must_use]
pub fn items(list: &[String]) -> Vec<String> {
    list.iter().map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
}

/// The sum of `<decimal number><unit>` repeated; `None` when it is not that.
fn nanoseconds(mut rest: &str) -> Option<u128> {
    let mut total = 0_u128;
    while !rest.is_empty() {
        let (amount, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        rest = tail;

        let unit: u128 = match unit {
            "ns" => 1,
            // Both the micro sign and the Greek letter, as Go takes both.
            "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
        if whole.len() + fraction.len() == 0 || whole.len() > MAX_DIGITS || fraction.contains('.') {
            return None;
        }
        // Digits beyond these are less than a nanosecond whatever the unit.
        let fraction: String = fraction.chars().take(MAX_DIGITS).collect();
        let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let parse = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<u128>().ok() };
        let nanos = parse(whole)?.checked_mul(unit)? + parse(&fraction)?.checked_mul(unit)? / scale;
        total = total.checked_add(nanos)?;
    }
    Some(total)
}

/// More digits than Go's longest duration has in nanoseconds, few enough that nothing here overflows.
const MAX_DIGITS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bool_is_any_spelling_of_go() {
        for yes in ["1", "t", "T", "true", "TRUE", "True"] {
            assert_eq!(boolean(yes), Ok(true), "{yes}");
        }
        for no in ["0", "f", "F", "false", "FALSE", "False"] {
            assert_eq!(boolean(no), Ok(false), "{no}");
        }
        for neither in ["", "yes", "no", "on", "tRUE", " true", "2"] {
            assert!(boolean(neither).is_err(), "{neither:?}");
        }
    }

    #[test]
    fn a_duration_is_what_go_reads() {
        for (text, nanos) in [
            ("0", 0),
            ("+0", 0),
            ("0s", 0),
            ("5s", 5_000_000_000),
            ("+5s", 5_000_000_000),
            ("30m", 1_800_000_000_000),
            ("300ms", 300_000_000),
            ("1h2m3.5s", 3_723_500_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("5.s", 5_000_000_000),
            ("1us", 1_000),
            ("1µs", 1_000),
            ("1μs", 1_000),
            ("3ns", 3),
            ("0.3333333333333333333333h", 1_200_000_000_000 - 1),
            ("9223372036854775807ns", i64::MAX as u64),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
        for bad in [
            "",
            "+",
            "5",
            "s",
            ".s",
            "1.2.3s",
            "5 s",
            "5S",
            "-5s",
            "1d",
            "5s3",
            "1e3s",
            "ms",
            "9223372036854775808ns",
            "99999999999999999999h",
            "999999999999999999999s",
            "9999999h9999999h",
            "1s\n",
        ] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
        assert!(positive_duration("0").is_err() && positive_duration("0ms").is_err());
        assert_eq!(positive_duration("1ms"), Ok(Duration::from_millis(1)));
    }

    #[test]
    fn a_number_knows_its_bounds() {
        let port = number::<u16>(0..=65535);
        assert_eq!((port("0"), port("65535")), (Ok(0), Ok(65535)));
        for bad in ["", "65536", "-1", "8443.0", "0x10", " 1", "http"] {
            assert_eq!(port(bad).unwrap_err().to_string(), "must be a whole number from 0 to 65535", "{bad:?}");
        }
    }

    #[test]
    fn a_list_has_no_empty_items_and_an_empty_text_is_not_given() {
        let list = ["a", " b ", "", " "].map(str::to_owned);
        assert_eq!(items(&list), ["a", "b"]);
        assert_eq!(given(Some(&String::new())), None);
        assert_eq!(given(None), None);
        assert_eq!(given(Some(&" x ".to_owned())), Some("x"));
    }
}
