//! How much a pipe's reader lets its peer send ahead: little at first, and as much as the line needs where it is used.
//!
//! Pure: it is told what came and the time, and decides; [`super::flow`] knows the line and sends the grants.

use tokio::time::{Duration, Instant};

use super::{
    budget::Budget,
    limits::{FASTEST, STREAM_WINDOW_MOST},
};

/// The reader's side of a pipe's credit. Always true: `coming <= size`, and what is above `start` is out of the budget.
///
/// The peer is granted what is missing when half of the window was taken. How long that took says whether the peer had to
/// wait, which is all that a larger window helps against. How large it has to be only the quickest part of it says: who
/// waits looks slow. So the time is looked at after each eighth of the window, and at no other.
///
/// ```text
///             half within 2 round trips: as large as the line needs
///           ┌──────────────────────────────────────────────────────┐
///  size = start                                               size > start ──┐ half within 8 round trips:
///           └──────────────────────────────────────────────────────┘  ▲──────┘ as large as before
///             half in more than 8: what is left is enough, so it halves; also at the pipe's end
/// ```
#[derive(Debug)]
pub(super) struct Window {
    /// What a pipe has that is not known to be fast.
    start: u64,
    /// The most that the peer may have sent that we have not taken.
    size: u64,
    /// What the peer may still send, as far as we have taken it.
    coming: u64,
    /// From the first eighth after a grant on: an idle pipe is not slow.
    half: Measure,
    /// From the last eighth on.
    part: Measure,
    /// Bytes a second of the quickest part since the last grant.
    quickest: u64,
    /// Nothing was taken since the last grant, or less than an eighth.
    fresh: bool,
}

/// How much was taken since when.
#[derive(Debug, Default)]
struct Measure {
    since: Option<Instant>,
    bytes: u64,
}

/// What the reader has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// Nothing is to be done.
    None,
    /// [`Window::look`] wants the time.
    Eighth,
    /// [`Window::refill`].
    Half,
}

/// The peer has sent more than it was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overdrawn;

// === impl Window ===

impl Window {
    pub(super) fn new(start: u32) -> Self {
        let start = u64::from(start);
        let (half, part) = Default::default();
        Self { start, size: start, coming: start, half, part, quickest: 0, fresh: true }
    }

    /// So many bytes were taken of what came.
    pub(super) fn take(&mut self, bytes: u64) -> Result<Mark, Overdrawn> {
        self.coming = self.coming.checked_sub(bytes).ok_or(Overdrawn)?;
        self.half.bytes += bytes;
        self.part.bytes += bytes;
        Ok(if self.coming <= self.size / 2 {
            Mark::Half
        } else if self.part.bytes >= self.size / 8 {
            Mark::Eighth
        } else {
            Mark::None
        })
    }

    /// At an eighth.
    pub(super) fn look(&mut self, now: Instant) {
        self.quickest = self.quickest.max(self.part.in_a(SECOND, now).unwrap_or_default());
        self.part.start(now);
        if self.fresh {
            self.half.start(now);
            self.fresh = false;
        }
    }

    /// At the half: what to grant the peer now, if anything. `round_trip` is none where it is not known.
    pub(super) fn refill(&mut self, now: Instant, round_trip: Option<Duration>, budget: &Budget) -> u64 {
        if self.part.bytes >= self.size / 8 {
            self.quickest = self.quickest.max(self.part.in_a(SECOND, now).unwrap_or_default());
        }
        if let Some(round_trip) = round_trip
            && let Some(comes) = self.half.in_a(round_trip, now)
        {
            self.resize(comes, round_trip, budget);
        }
        let grant = self.size - self.coming;
        self.coming = self.size;
        self.quickest = 0;
        self.part.start(now);
        self.half.start(now);
        self.fresh = true;
        grant
    }

    /// So many bytes come in a round trip.
    fn resize(&mut self, comes: u64, round_trip: Duration, budget: &Budget) {
        if comes >= self.size / 4 {
            let rate = self.quickest.min(FASTEST);
            // Twice what the line holds: a grant is said when half is taken, and is on its way while the rest comes.
            let wanted = scaled(rate, SECOND, 2 * round_trip);
            let wanted = wanted.min(STREAM_WINDOW_MOST.into());
            self.size += budget.take(wanted.saturating_sub(self.size));
        } else if comes < self.size / 16 {
            let smaller = self.coming.max(self.start).min(self.size);
            budget.give(self.size - smaller);
            self.size = smaller;
        }
    }

    /// What of the budget it has.
    pub(super) fn taken(&self) -> u64 {
        self.size - self.start
    }
}

// === impl Measure ===

impl Measure {
    fn start(&mut self, now: Instant) {
        *self = Self { since: Some(now), bytes: 0 };
    }

    /// How many bytes that is in such a time; none before it has started.
    fn in_a(&self, time: Duration, now: Instant) -> Option<u64> {
        Some(scaled(self.bytes, now.saturating_duration_since(self.since?), time))
    }
}

/// How many bytes come in `time` where so many `took` that long.
fn scaled(bytes: u64, took: Duration, time: Duration) -> u64 {
    let bytes = u128::from(bytes).saturating_mul(time.as_nanos()) / took.as_nanos().max(1);
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::limits::WINDOW_BUDGET;

    const START: u32 = 1 << 20;
    const FAR: Option<Duration> = Some(Duration::from_millis(100));
    const NEAR: Option<Duration> = Some(Duration::from_micros(300));

    /// Takes `bytes` in chunks at `rate` bytes a second; what was granted meanwhile.
    fn read(
        window: &mut Window,
        now: &mut Instant,
        bytes: u64,
        rate: u64,
        far: Option<Duration>,
        budget: &Budget,
    ) -> Vec<u64> {
        let (mut left, mut grants) = (bytes, Vec::new());
        while left > 0 {
            let chunk = left.min(64 << 10).min(window.coming);
            left -= chunk;
            *now += Duration::from_nanos(chunk * 1_000_000_000 / rate);
            match window.take(chunk).expect("what was granted") {
                Mark::None => {}
                Mark::Eighth => window.look(*now),
                Mark::Half => grants.push(window.refill(*now, far, budget)),
            }
        }
        grants
    }

    #[test]
    fn less_than_half_of_a_window_asks_for_nothing() {
        let (mut window, budget) = (Window::new(START), Budget::default());
        let grants = read(&mut window, &mut Instant::now(), (START / 2 - 1).into(), 1 << 30, FAR, &budget);
        assert!(grants.is_empty(), "{grants:?}");
        assert_eq!(window.take(1), Ok(Mark::Half));
    }

    #[test]
    fn a_short_line_needs_no_more_than_the_first_window_however_fast_it_is() {
        let (mut window, budget) = (Window::new(START), Budget::default());
        let grants = read(&mut window, &mut Instant::now(), 80 << 20, 1 << 30, NEAR, &budget);
        assert_eq!(grants.len(), 160);
        assert!(grants.iter().all(|grant| *grant == u64::from(START / 2)), "{grants:?}");
        assert_eq!(window.taken(), 0);
    }

    #[test]
    fn a_line_whose_length_is_not_known_gets_no_more_either() {
        let (mut window, budget) = (Window::new(START), Budget::default());
        read(&mut window, &mut Instant::now(), 8 << 20, 1 << 30, None, &budget);
        assert_eq!(window.taken(), 0);
    }

    #[test]
    fn a_fast_reader_far_away_has_the_largest_window_at_the_first_grant() {
        let (mut window, budget) = (Window::new(START), Budget::default());
        let grants = read(&mut window, &mut Instant::now(), (START / 2).into(), 160_000_000, FAR, &budget);
        assert_eq!(grants, [u64::from(STREAM_WINDOW_MOST - START / 2)]);
        assert_eq!(window.taken(), u64::from(STREAM_WINDOW_MOST - START));
    }

    #[test]
    fn a_window_is_twice_what_comes_in_a_round_trip_and_stays_so() {
        let (mut window, budget, mut now) = (Window::new(START), Budget::default(), Instant::now());
        read(&mut window, &mut now, 100 << 20, 20_000_000, FAR, &budget);
        let size = window.size;
        assert!((3_900_000..=4_100_000).contains(&size), "{size}");
        // A little slower or faster is no reason for anything.
        read(&mut window, &mut now, 20 << 20, 10_000_000, FAR, &budget);
        assert_eq!(window.size, size);
    }

    #[test]
    fn what_a_reader_took_of_the_budget_goes_back_when_it_is_slow() {
        let (mut window, budget, mut now) = (Window::new(START), Budget::default(), Instant::now());
        read(&mut window, &mut now, 4 << 20, 160_000_000, FAR, &budget);
        assert_eq!(window.size, u64::from(STREAM_WINDOW_MOST));
        let grants = read(&mut window, &mut now, 32 << 20, 500_000, FAR, &budget);
        assert_eq!(window.taken(), 0, "{grants:?}");
        let all = budget.take(u64::MAX);
        assert_eq!(all, Budget::default().take(u64::MAX), "all of it is there again");
        budget.give(all);
        // And when it is fast again, it has it again.
        read(&mut window, &mut now, 4 << 20, 160_000_000, FAR, &budget);
        assert_eq!(window.size, u64::from(STREAM_WINDOW_MOST));
    }

    #[test]
    fn a_reader_whose_peer_waits_for_each_grant_is_found_to_be_fast_wherever_the_waits_fall() {
        for offset in (0..START.into()).step_by(16 << 10) {
            let (mut window, budget, mut now) = (Window::new(START), Budget::default(), Instant::now());
            read(&mut window, &mut now, offset, 1 << 40, None, &budget);
            // As much as was granted at a time comes at once, and then nothing for a round trip.
            let mut came = window.coming;
            for _ in 0..4 {
                let mut granted = 0;
                while came > 0 {
                    let chunk = came.min(64 << 10);
                    came -= chunk;
                    granted += read(&mut window, &mut now, chunk, 1 << 40, FAR, &budget).iter().sum::<u64>();
                }
                came = granted;
                now += Duration::from_millis(100);
            }
            assert_eq!(window.size, u64::from(STREAM_WINDOW_MOST), "{offset}");
        }
    }

    #[test]
    fn a_reader_that_takes_a_little_quickly_now_and_then_needs_no_more() {
        let (mut window, budget, mut now) = (Window::new(START), Budget::default(), Instant::now());
        for _ in 0..100 {
            read(&mut window, &mut now, 200_000, 160_000_000, FAR, &budget);
            now += Duration::from_secs(1);
        }
        assert_eq!(window.taken(), 0);
    }

    #[test]
    fn readers_that_are_many_share_the_budget_and_none_is_slower_than_before() {
        let (budget, mut now) = (Budget::default(), Instant::now());
        let mut windows: Vec<_> = (0..64).map(|_| Window::new(START)).collect();
        for window in &mut windows {
            read(window, &mut now, 20 << 20, 160_000_000, FAR, &budget);
        }
        let taken: u64 = windows.iter().map(Window::taken).sum();
        assert!(taken <= WINDOW_BUDGET && taken > WINDOW_BUDGET * 9 / 10, "{taken}");
        assert!(windows.iter().all(|window| window.size >= START.into()));
        assert!(windows.iter().take(5).all(|window| window.size > 4 << 20), "{windows:?}");
    }

    #[test]
    fn a_window_that_a_single_chunk_fills_grows_as_well() {
        let (mut window, budget) = (Window::new(65_535), Budget::default());
        read(&mut window, &mut Instant::now(), 1 << 20, 160_000_000, FAR, &budget);
        assert_eq!(window.size, u64::from(STREAM_WINDOW_MOST));
    }

    #[test]
    fn who_sends_more_than_was_granted_is_found_out() {
        let mut window = Window::new(START);
        assert_eq!(window.take(u64::from(START) + 1), Err(Overdrawn));
    }
}
