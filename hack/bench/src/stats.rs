//! Medians and percentiles, of figures that are all kept.

/// The middle of some figures, or the mean of the middle two; zero of none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values = values.into_iter().collect::<Vec<_>>();
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2).copied().unwrap_or_default();
    let lower = values.len().checked_sub(1).and_then(|last| values.get(last / 2)).copied().unwrap_or_default();
    f64::midpoint(lower, upper)
}

/// Latencies in nanoseconds, in order. What is a difference between two may be negative.
#[derive(Debug)]
pub(crate) struct Latencies(Vec<i64>);

// === impl Latencies ===

impl Latencies {
    pub(crate) fn new(mut nanoseconds: Vec<i64>) -> Self {
        nanoseconds.sort_unstable();
        Self(nanoseconds)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest latency that at least this share of all requests kept to, in milliseconds.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count is a count")]
    pub(crate) fn percentile(&self, percent: f64) -> f64 {
        let rank = (self.0.len() as f64 * percent / 100.0).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).map_or(0.0, |nanoseconds| *nanoseconds as f64 / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_lies_between_the_middle_two() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median([7.0]), 7.0);
        assert_eq!(median([]), 0.0);
    }

    #[test]
    fn a_percentile_is_a_latency_that_was_seen() {
        let latencies = Latencies::new((1..=200).rev().map(|ms| ms * 1_000_000).collect());
        assert_eq!(latencies.percentile(50.0), 100.0);
        assert_eq!(latencies.percentile(99.0), 198.0);
        assert_eq!(latencies.percentile(100.0), 200.0);
        assert_eq!(Latencies::new(Vec::new()).percentile(99.0), 0.0);
    }
}
