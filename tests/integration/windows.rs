//! Pipes on long lines: as much on its way as the line holds where it is read, little where it is not.
//!
//! Agent and principal are in memory and the clock is paused: it goes on only while everything waits for the line, so
//! what it shows is how often the line was passed, on a machine as busy as may be.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use common::tunnel::{PipeError, TunnelStream, limits};
use harness::{
    line::Line,
    memory::{Principal, Scripted},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
    time::{Instant, sleep},
};

#[tokio::test(start_paused = true)]
async fn a_long_answer_takes_no_more_round_trips_than_it_must() {
    let principal = Principal::new();
    let _agent = principal.agent_at(Line::wide(ONE_WAY), "a", Scripted(flood)).await;
    let (_lease, mut stream) = principal.dial("a").unwrap();
    let began = Instant::now();
    ask(&mut stream).await;
    stream.read_exact(&mut vec![0; LONG]).await.unwrap();
    // There and back until the first window is there, again until the length of the line is known and the window is as
    // large as it needs to be, and again for what that could not hold.
    assert!(round_trips(began) <= 4, "{:?}, and 20 windows of the first size", began.elapsed());
    assert_eq!(window_bytes(&principal), u64::from(limits::STREAM_WINDOW_MOST - limits::STREAM_WINDOW));

    // The next one is known to be far away.
    let (_other, mut stream) = principal.dial("a").unwrap();
    let began = Instant::now();
    ask(&mut stream).await;
    stream.read_exact(&mut vec![0; LONG]).await.unwrap();
    assert!(round_trips(began) <= 2, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_answer_takes_as_long_as_the_line_needs_for_it_on_whichever_pipe() {
    let principal = Principal::new();
    let _agent = principal.agent_at(NARROW, "a", Scripted(answer)).await;
    let mut pipes: Vec<_> = (0..3).map(|_| principal.dial("a").unwrap()).collect();
    for (_, stream) in &mut pipes {
        fetch(stream, SHORT).await;
    }
    // Until it is known how far away it is.
    sleep(limits::PING_INTERVAL * 2).await;
    // There and back; and for the rest once each way for as much as the line holds.
    let least = 2 * ONE_WAY + ONE_WAY * u32::try_from(ANSWER.div_ceil(NARROW.holds) - 1).unwrap();
    for round in 0..3 {
        for (_, stream) in &mut pipes {
            let took = fetch(stream, ANSWER).await;
            assert!(took < least + ONE_WAY / 2, "round {round}: {took:?} and not {least:?}");
            fetch(stream, SHORT).await;
            // Idle, and not slow.
            sleep(Duration::from_secs(7)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_upload_takes_no_more_round_trips_than_it_must() {
    let principal = Principal::new();
    let _agent = principal.agent_at(Line::wide(ONE_WAY), "a", Scripted(tell_how_much)).await;
    let (_lease, mut stream) = principal.dial("a").unwrap();
    let began = Instant::now();
    stream.write_all(&vec![7; LONG]).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(stream.read_u64().await.unwrap(), LONG as u64);
    assert!(round_trips(began) <= 5, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn on_a_short_line_the_first_window_is_all_there_is() {
    let principal = Principal::new();
    // None at all: a timer waits a millisecond at least.
    let _agent = principal.agent("a", Scripted(flood)).await;
    let (_lease, mut stream) = principal.dial("a").unwrap();
    ask(&mut stream).await;
    stream.read_exact(&mut vec![0; LONG]).await.unwrap();
    assert_eq!(window_bytes(&principal), 0);
}

#[tokio::test(start_paused = true)]
async fn stalled_readers_hold_a_first_window_each_and_the_budget_in_all() {
    let principal = Principal::new();
    let said = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&said);
    let executor = Scripted(move |stream| flood_and_count(stream, Arc::clone(&counter)));
    let _agent = principal.agent_at(Line::wide(ONE_WAY), "a", executor).await;
    let (mut stalled, mut read) = (Vec::new(), 0);
    for _ in 0..STALLED {
        let (lease, mut stream) = principal.dial("a").unwrap();
        ask(&mut stream).await;
        // Fast for a while.
        stream.read_exact(&mut vec![0; FAST]).await.unwrap();
        read += FAST as u64;
        stalled.push((lease, stream));
    }
    // All that can come has come.
    sleep(Duration::from_secs(60)).await;
    let held = said.load(Ordering::SeqCst) - read;
    let most = STALLED as u64 * u64::from(limits::STREAM_WINDOW) + limits::WINDOW_BUDGET;
    assert!(held <= most, "{held} bytes of {most}");
    assert!(held > limits::WINDOW_BUDGET / 2, "{held} bytes: they were not fast");
    assert!(window_bytes(&principal) <= limits::WINDOW_BUDGET);

    let (_lease, mut fast) = principal.dial("a").unwrap();
    ask(&mut fast).await;
    fast.read_exact(&mut vec![0; LONG]).await.unwrap();
    drop((stalled, fast));
    assert_eq!(window_bytes(&principal), 0, "what they had goes back");
}

#[tokio::test(start_paused = true)]
async fn readers_that_never_read_hold_a_first_window_each_and_what_is_lent_in_all() {
    let principal = Principal::new();
    let said = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&said);
    let executor = Scripted(move |stream| flood_and_count(stream, Arc::clone(&counter)));
    let _agent = principal.agent_at(Line::wide(ONE_WAY), "a", executor).await;
    // It is known how far away it is.
    let (_first, mut stream) = principal.dial("a").unwrap();
    ask(&mut stream).await;
    sleep(limits::PING_INTERVAL).await;
    drop(stream);
    sleep(limits::PING_INTERVAL).await;
    said.store(0, Ordering::SeqCst);
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        let (lease, mut stream) = principal.dial("a").unwrap();
        ask(&mut stream).await;
        stalled.push((lease, stream));
    }
    sleep(Duration::from_secs(60)).await;
    let (held, first) = (said.load(Ordering::SeqCst), STALLED as u64 * u64::from(limits::STREAM_WINDOW));
    assert!(held > first && held <= first + limits::WINDOW_BUDGET / 4, "{held}");
    // When they are gone it is there again, though none of it was ever read.
    drop(stalled);
    sleep(Duration::from_secs(60)).await;
    said.store(0, Ordering::SeqCst);
    let (_last, mut stream) = principal.dial("a").unwrap();
    ask(&mut stream).await;
    sleep(Duration::from_secs(60)).await;
    assert!(said.load(Ordering::SeqCst) > 10 << 20, "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn two_directions_that_stall_go_on_when_one_is_read() {
    let principal = Principal::new();
    let read = Arc::new(Notify::new());
    let told = Arc::clone(&read);
    let executor = Scripted(move |stream: TunnelStream| {
        let told = Arc::clone(&told);
        async move {
            let (mut reader, mut writer) = tokio::io::split(stream);
            // Nothing is read before all is written.
            writer.write_all(&vec![7; LONG]).await.unwrap();
            told.notified().await;
            let mut came = vec![0; LONG];
            reader.read_exact(&mut came).await.unwrap();
            writer.shutdown().await.unwrap();
        }
    });
    let _agent = principal.agent_at(Line::wide(ONE_WAY), "a", executor).await;
    let (_lease, stream) = principal.dial("a").unwrap();
    let (mut reader, mut writer) = tokio::io::split(stream);
    let write = async {
        writer.write_all(&vec![7; LONG]).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let read = async {
        // Until then both wait for a grant.
        sleep(Duration::from_secs(60)).await;
        reader.read_exact(&mut vec![0; LONG]).await.unwrap();
        read.notify_one();
        assert_eq!(reader.read(&mut [0]).await.unwrap(), 0);
    };
    soon(async { tokio::join!(write, read) }).await;
}

#[tokio::test(start_paused = true)]
async fn what_an_agent_does_not_read_any_more_is_granted_nonetheless() {
    let principal = Principal::new();
    let executor = Scripted(|mut stream: TunnelStream| async move {
        stream.read_u8().await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let _agent = principal.agent_at(Line::wide(ONE_WAY), "a", executor).await;
    let (_lease, mut stream) = principal.dial("a").unwrap();
    ask(&mut stream).await;
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    soon(stream.write_all(&vec![7; LONG])).await.unwrap();
    stream.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_waits_for_a_grant_is_told_when_the_agent_drops_the_pipe_or_is_gone() {
    let principal = Principal::new();
    let end = Arc::new(Notify::new());
    let told = Arc::clone(&end);
    let executor = Scripted(move |mut stream: TunnelStream| {
        let told = Arc::clone(&told);
        async move {
            stream.read_u8().await.unwrap();
            told.notified().await;
        }
    });
    let agent = principal.agent_at(Line::wide(ONE_WAY), "a", executor).await;
    for lost in [false, true] {
        let (_lease, mut stream) = principal.dial("a").unwrap();
        ask(&mut stream).await;
        let later = async {
            sleep(Duration::from_secs(5)).await;
            if lost { agent.cut.now() } else { end.notify_one() }
        };
        let data = vec![7; LONG];
        let (written, ()) = soon(async { tokio::join!(stream.write_all(&data), later) }).await;
        assert!(PipeError::find(&written.unwrap_err()).is_some(), "lost: {lost}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_waits_for_a_grant_is_dropped_when_the_principal_cancels() {
    let principal = Principal::new();
    let ended = Arc::new(Notify::new());
    let tell = Arc::clone(&ended);
    let executor = Scripted(move |stream: TunnelStream| {
        let tell = Arc::clone(&tell);
        async move {
            let _told = NotifyOnDrop(tell);
            flood(stream).await;
        }
    });
    let _agent = principal.agent_at(Line::wide(ONE_WAY), "a", executor).await;
    let (_lease, mut stream) = principal.dial("a").unwrap();
    ask(&mut stream).await;
    stream.read_u8().await.unwrap();
    sleep(Duration::from_secs(5)).await;
    drop(stream);
    soon(ended.notified()).await;
}

async fn ask(stream: &mut TunnelStream) {
    stream.write_all(b"x").await.unwrap();
    stream.flush().await.unwrap();
}

/// Asks for so many bytes; how long they took.
async fn fetch(stream: &mut TunnelStream, bytes: usize) -> Duration {
    let began = Instant::now();
    stream.write_u64(bytes as u64).await.unwrap();
    stream.flush().await.unwrap();
    let mut rest = AsyncReadExt::take(stream, bytes as u64);
    assert_eq!(tokio::io::copy(&mut rest, &mut tokio::io::sink()).await.unwrap(), bytes as u64);
    began.elapsed()
}

/// As many bytes as it is asked for, again and again.
async fn answer(mut stream: TunnelStream) {
    while let Ok(bytes) = stream.read_u64().await {
        tokio::io::copy(&mut tokio::io::repeat(7).take(bytes), &mut stream).await.unwrap();
        stream.flush().await.unwrap();
    }
}

async fn flood(stream: TunnelStream) {
    flood_and_count(stream, Arc::default()).await;
}

async fn flood_and_count(mut stream: TunnelStream, said: Arc<AtomicU64>) {
    let block = vec![7; 64 * 1024];
    while let Ok(count) = stream.write(&block).await {
        said.fetch_add(count as u64, Ordering::SeqCst);
    }
}

async fn tell_how_much(stream: TunnelStream) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let count = tokio::io::copy(&mut reader, &mut tokio::io::sink()).await.unwrap();
    writer.write_u64(count).await.unwrap();
    writer.shutdown().await.unwrap();
}

fn round_trips(began: Instant) -> u128 {
    began.elapsed().as_millis() / (2 * ONE_WAY).as_millis()
}

fn window_bytes(principal: &Principal) -> u64 {
    let metrics = principal.metrics();
    metrics.lines().find_map(|line| line.strip_prefix("tunnel_window_bytes ")).unwrap().parse().unwrap()
}

/// A deadline that only a hang reaches.
async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(600), future).await.expect("within ten minutes")
}

struct NotifyOnDrop(Arc<Notify>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

const ONE_WAY: Duration = Duration::from_millis(50);
/// As much as Linux lets a TCP connection have on its way unless it is tuned.
const NARROW: Line = Line { one_way: ONE_WAY, holds: 4 << 20 };
/// With what is around each chunk less than five times what that holds.
const ANSWER: usize = 19 << 20;
const SHORT: usize = 10_000;
const LONG: usize = 20 << 20;
const FAST: usize = 4 << 20;
const STALLED: usize = 32;
