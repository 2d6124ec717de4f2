//! Two ends of a session whose pipes are written, read and granted in any order.

use std::{
    collections::VecDeque,
    task::{Context, Poll, Waker},
};

use proptest::prelude::*;
use tokio::time::advance;

use super::*;
use crate::tunnel::{
    credit::cost,
    limits::{CHUNK, CHUNK_COST, STREAM_WINDOW_LEAST, WINDOW_BUDGET},
};

/// One direction of a pipe, between a writer at the one end and a reader at the other.
struct Direction {
    credit: Credit,
    inbound: Inbound,
    /// Data of the chunks on their way.
    under_way: VecDeque<usize>,
    written: u64,
    read: u64,
    // The other halves, which must live as long.
    _unused: (Credit, Inbound),
}

struct World {
    writers: Arc<Flow>,
    readers: Arc<Flow>,
    pipes: Vec<Direction>,
    /// Grants that have left the readers' end.
    granting: VecDeque<(Option<PipeId>, u32)>,
}

/// What happens next.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// So many bytes are written.
    Write(usize, usize),
    /// So many chunks are read.
    Read(usize, usize),
    /// The control stream takes a grant.
    Take,
    /// A grant comes to the writers' end.
    Grant,
    Wait(u64),
    Ping(u64),
}

const PIPES: usize = 6;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..PIPES, 1..300_000_usize).prop_map(|(pipe, bytes)| Step::Write(pipe, bytes)),
        4 => (0..PIPES, 1..40_usize).prop_map(|(pipe, chunks)| Step::Read(pipe, chunks)),
        2 => Just(Step::Take),
        2 => Just(Step::Grant),
        1 => (0..200_000_u64).prop_map(Step::Wait),
        1 => (1..300_000_u64).prop_map(Step::Ping),
    ]
}

proptest! {
    // Each carries 30 MB.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_is_lost_overdrawn_or_stuck_whatever_comes_when(
        steps in proptest::collection::vec(step(), 1..400),
        start in STREAM_WINDOW_LEAST..2_000_000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut world = World::new(start);
            for step in steps {
                world.step(step).await;
                world.check(start);
            }
            world.finish();
        });
    }
}

#[test]
fn what_a_pipe_took_of_the_budget_goes_back_with_it() {
    let world = World::new(STREAM_WINDOW_LEAST);
    let flow = Arc::clone(&world.readers);
    let mut pipe = flow.pipe(PipeId::try_from(99).unwrap()).unwrap();
    flow.took(Duration::from_millis(100));
    for _ in 0..64 {
        pipe.inbound.take(cost(8 << 10)).unwrap();
        let _granted = flow.grants.poll_next(&mut Context::from_waker(Waker::noop()));
    }
    assert!(pipe.inbound.window.taken() > 0);
    drop(pipe);
    assert_eq!(flow.budget.take(u64::MAX), (WINDOW_BUDGET - flow.budget.lent()) / 4);
    assert_eq!(flow.lock().len(), PIPES, "and the pipe is not known any more");
}

#[test]
fn what_a_writer_owes_is_owed_until_the_reader_has_taken_it_or_is_gone() {
    let World { writers, readers, mut pipes, .. } = World::new(STREAM_WINDOW_LEAST);
    readers.took(Duration::from_millis(100));
    let next = || readers.grants().poll_next(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready((None, lent)) = next() else { panic!("nothing is lent") };
    writers.granted(None, lent);
    for pipe in &mut pipes {
        pipe.write(64 << 20);
    }
    let written: u64 = pipes.iter().map(|pipe| pipe.under_way.iter().map(|data| cost(*data)).sum::<u64>()).sum();
    let first = PIPES as u64 * u64::from(STREAM_WINDOW_LEAST);
    assert!(written <= first + u64::from(lent) && written > first + u64::from(lent) * 9 / 10, "{written}");

    // The writers go, and all of it may be at the other end yet.
    let (mut pipe, rest) = (pipes.pop().unwrap(), pipes);
    let inbounds: Vec<_> = rest.into_iter().map(|pipe| pipe.inbound).collect();
    assert_eq!(writers.loans.borrow(u64::from(lent) * 9 / 10), 0);
    while !pipe.under_way.is_empty() {
        pipe.read(1);
        while let Poll::Ready((pipe, bytes)) = next() {
            writers.granted(pipe, bytes);
        }
    }
    drop(inbounds);
    while let Poll::Ready((pipe, bytes)) = next() {
        writers.granted(pipe, bytes);
    }
    let mut again = 0;
    while let more @ 1.. = writers.loans.borrow(again) {
        again += more;
    }
    assert!(again > u64::from(lent) * 7 / 10, "{again} of {lent}");
    assert_eq!(writers.lock().len(), 1, "the pipe whose writer has not gone");
}

#[test]
fn there_is_no_credit_where_the_peer_knows_none() {
    let flow = Flow::new(Windows { own: STREAM_WINDOW_LEAST, peers: None }, Arc::default(), Budget::default());
    assert!(flow.pipe(PipeId::FIRST).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_ping_is_asked_for_by_the_first_pipe_and_by_a_reader_that_is_well_on() {
    let flow = Flow::new(
        Windows { own: STREAM_WINDOW_LEAST, peers: Some(STREAM_WINDOW_LEAST) },
        Arc::default(),
        Budget::default(),
    );
    let none = || async { tokio::time::timeout(Duration::from_secs(1), flow.ping_wanted()).await.unwrap_err() };
    none().await;
    let mut pipe = flow.pipe(PipeId::FIRST).unwrap();
    flow.ping_wanted().await;
    // Another one before the answer would never be measured on a line that is longer than what comes between two.
    let _other = flow.pipe(PipeId::try_from(2).unwrap()).unwrap();
    pipe.inbound.take(cost(40_000)).unwrap();
    none().await;
    flow.took(Duration::from_micros(100));
    pipe.inbound.take(cost(40_000)).unwrap();
    tokio::time::timeout(NEW / 2, flow.ping_wanted()).await.unwrap_err();
    advance(NEW).await;
    pipe.inbound.take(cost(1000)).unwrap();
    none().await;
    pipe.inbound.take(cost(40_000)).unwrap();
    flow.ping_wanted().await;
}

#[test]
fn the_shortest_of_the_last_round_trips_counts_until_the_line_has_changed() {
    let (mut round_trips, mut now) = (RoundTrips::default(), Instant::now());
    assert_eq!(round_trips.least(now), (None, false));
    for (millis, least) in [(9, 9), (3, 3), (5, 3), (7, 3), (8, 3), (6, 5)] {
        round_trips.add(Duration::from_millis(millis), now);
        assert_eq!(round_trips.least(now), (Some(Duration::from_millis(least)), true));
        now += NEW;
    }
    now += COUNTS;
    assert_eq!(round_trips.least(now), (Some(Duration::from_millis(5)), false), "as far as is known");
    round_trips.add(Duration::from_millis(100), now);
    assert_eq!(round_trips.least(now), (Some(Duration::from_millis(100)), true));
}

// === impl World ===

impl World {
    fn new(start: u32) -> Self {
        let flow = || {
            let windows = Windows { own: start, peers: Some(start) };
            Flow::new(windows, Arc::default(), Budget::default())
        };
        let (writers, readers) = (flow(), flow());
        let pipes = (1..=PIPES as u64)
            .map(|id| {
                let id = PipeId::try_from(id).unwrap();
                let (near, far) = (writers.pipe(id).unwrap(), readers.pipe(id).unwrap());
                Direction {
                    credit: near.credit,
                    inbound: far.inbound,
                    under_way: VecDeque::new(),
                    written: 0,
                    read: 0,
                    _unused: (far.credit, near.inbound),
                }
            })
            .collect();
        Self { writers, readers, pipes, granting: VecDeque::new() }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Write(pipe, bytes) => self.pipes[pipe].write(bytes),
            Step::Read(pipe, chunks) => self.pipes[pipe].read(chunks),
            Step::Take => self.take(),
            Step::Grant => self.grant(),
            Step::Wait(micros) => advance(Duration::from_micros(micros)).await,
            Step::Ping(micros) => self.readers.took(Duration::from_micros(micros)),
        }
    }

    fn take(&mut self) {
        if let Poll::Ready(grant) = self.readers.grants().poll_next(&mut Context::from_waker(Waker::noop())) {
            self.granting.push_back(grant);
        }
    }

    fn grant(&mut self) {
        if let Some((pipe, bytes)) = self.granting.pop_front() {
            self.writers.granted(pipe, bytes);
        }
    }

    /// What stalled readers hold.
    fn check(&self, start: u32) {
        let held = |pipe: &Direction| pipe.under_way.iter().map(|data| cost(*data)).sum::<u64>();
        let all: u64 = self.pipes.iter().map(held).sum();
        assert!(all <= PIPES as u64 * u64::from(start) + WINDOW_BUDGET, "{all}");
        let taken: u64 = self.pipes.iter().map(|pipe| pipe.inbound.window.taken()).sum();
        assert!(taken <= WINDOW_BUDGET, "{taken}");
    }

    /// Whatever has happened, everything goes on once everybody reads.
    fn finish(mut self) {
        for pipe in 0..PIPES {
            let mut left = 5 << 20;
            while left > 0 {
                let before = self.pipes[pipe].written;
                self.pipes[pipe].write(left);
                left -= (self.pipes[pipe].written - before) as usize;
                self.pipes[pipe].read(usize::MAX);
                for _ in 0..=PIPES {
                    self.take();
                    self.grant();
                }
                assert!(self.pipes[pipe].written > before || self.pipes[pipe].can_write(), "pipe {pipe} is stuck");
            }
            assert_eq!(self.pipes[pipe].written, self.pipes[pipe].read);
        }
    }
}

// === impl Direction ===

impl Direction {
    fn write(&mut self, bytes: usize) {
        let mut left = bytes;
        while left > 0
            && let Poll::Ready(room) = self.credit.poll_room(&mut Context::from_waker(Waker::noop()))
        {
            let data = room.unwrap().min(left);
            assert!((1..=CHUNK).contains(&data));
            self.credit.spend(data);
            self.under_way.push_back(data);
            self.written += data as u64;
            left -= data;
        }
    }

    fn read(&mut self, chunks: usize) {
        for _ in 0..chunks {
            let Some(data) = self.under_way.pop_front() else { return };
            assert!(cost(data) > CHUNK_COST);
            self.inbound.take(cost(data)).expect("no more than was granted");
            self.read += data as u64;
        }
    }

    fn can_write(&mut self) -> bool {
        self.credit.poll_room(&mut Context::from_waker(Waker::noop())).is_ready()
    }
}
