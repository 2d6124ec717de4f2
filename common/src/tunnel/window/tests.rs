//! Readers of every speed, near and far.

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
        match window.take(chunk, budget).expect("what was granted") {
            Mark::None => {}
            Mark::Eighth => window.look(*now),
            Mark::Refill => grants.push(window.refill(*now, far, budget)),
        }
    }
    grants
}

#[test]
fn less_than_half_of_a_window_asks_for_nothing() {
    let (mut window, budget) = (Window::new(START), Budget::default());
    let grants = read(&mut window, &mut Instant::now(), (START / 2 - 1).into(), 1 << 30, FAR, &budget);
    assert!(grants.is_empty(), "{grants:?}");
    assert_eq!(window.take(1, &budget), Ok(Mark::Refill));
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

/// Waits, as a reader does to which nothing comes for so long.
fn wait(window: &mut Window, now: &mut Instant, time: Duration, budget: &Budget) {
    let since = *now;
    *now += time;
    window.waited(since, *now, || FAR, budget);
}

#[test]
fn a_reader_that_waits_is_not_slow() {
    for pause in [Duration::from_millis(150), Duration::from_secs(60)] {
        let (mut window, budget, mut now) = (Window::new(START), Budget::default(), Instant::now());
        for _ in 0..100 {
            read(&mut window, &mut now, 3 << 20, 160_000_000, FAR, &budget);
            for _ in 0..20 {
                wait(&mut window, &mut now, pause, &budget);
            }
        }
        assert_eq!(window.size, u64::from(STREAM_WINDOW_MOST), "{pause:?}");
    }
}

#[test]
fn where_others_need_it_a_reader_that_waits_gives_back_what_it_has_taken() {
    let (mut window, budget, mut now) = (Window::new(START), Budget::default(), Instant::now());
    read(&mut window, &mut now, 4 << 20, 160_000_000, FAR, &budget);
    for _ in 0..200 {
        while !budget.is_scarce() {
            assert!(budget.take(u64::MAX) > 0);
        }
        wait(&mut window, &mut now, Duration::from_secs(1), &budget);
        read(&mut window, &mut now, 100_000, 160_000_000, FAR, &budget);
    }
    assert!(window.taken() < 1 << 20, "{window:?}");
}

#[test]
fn what_came_before_a_pause_does_not_make_the_next_answer_slow() {
    let (mut window, budget, mut now) = (Window::new(START), Budget::default(), Instant::now());
    read(&mut window, &mut now, 300_000, 160_000_000, FAR, &budget);
    wait(&mut window, &mut now, Duration::from_secs(60), &budget);
    read(&mut window, &mut now, 300_000, 160_000_000, FAR, &budget);
    assert_eq!(window.size, u64::from(STREAM_WINDOW_MOST));
}

#[test]
fn what_is_lent_may_come_before_it_is_granted_and_is_granted_then() {
    let (mut window, budget, now) = (Window::new(65_535), Budget::default(), Instant::now());
    assert_eq!(budget.lend(100_000), 100_000);
    assert_eq!(budget.lend(90_000), 0, "not less than before, and not twice");
    window.take(40_000, &budget).unwrap();
    assert_eq!(window.take(60_000, &budget), Ok(Mark::Refill));
    assert_eq!(window.refill(now, None, &budget), 100_000);
    assert_eq!(window.take(165_536, &budget), Err(Overdrawn));
    assert_eq!(budget.take(u64::MAX), (WINDOW_BUDGET - 100_000) / 4);
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
    assert_eq!(window.take(u64::from(START) + 1, &Budget::default()), Err(Overdrawn));
}
