//! The tunnel over in-memory connections: what either end sees when the other half-closes, cancels, stalls or goes.

mod messages;
mod raw;
mod tonic_principal;

use std::{io, sync::Arc, time::Duration};

use common::tunnel::{PipeError, TunnelStream, limits};
use harness::memory::{Principal, Scripted};
use principal::agents::DialError;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
};

#[tokio::test]
async fn a_pipe_carries_both_directions_and_each_half_closes_by_itself() {
    let principal = Principal::new();
    let _agent = principal.agent("a", Scripted(reply_after_the_end)).await;
    let (_lease, mut stream) = principal.dial("a").unwrap();
    stream.write_all(b"first ").await.unwrap();
    stream.flush().await.unwrap();
    stream.write_all(b"second").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "got 12 bytes");
    assert!(stream.write_all(b"more").await.is_err(), "written to after its end");
}

#[tokio::test]
async fn bytes_arrive_unchanged_whatever_their_number() {
    let principal = Principal::new();
    let _agent = principal.agent("a", Scripted(echo)).await;
    for size in [1, limits::EARLY_DATA - 1, limits::EARLY_DATA, limits::EARLY_DATA + 1, limits::CHUNK * 3 + 7, 5 << 20]
    {
        let (_lease, stream) = principal.dial("a").unwrap();
        let sent: Vec<u8> = (0..size).map(|i| (i * 31 % 251) as u8).collect();
        let (mut reader, mut writer) = tokio::io::split(stream);
        let write = async {
            writer.write_all(&sent).await.unwrap();
            writer.shutdown().await.unwrap();
        };
        let mut came = Vec::new();
        let (_, read) = tokio::join!(write, reader.read_to_end(&mut came));
        read.unwrap();
        assert!(came == sent, "{size} bytes");
    }
}

#[tokio::test]
async fn dropping_a_stream_cancels_what_runs_at_the_agent() {
    let principal = Principal::new();
    let (running, cancelled) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (inner_running, inner_cancelled) = (Arc::clone(&running), Arc::clone(&cancelled));
    let executor = Scripted(move |stream: TunnelStream| {
        let guard = NotifyOnDrop(Arc::clone(&inner_cancelled));
        let running = Arc::clone(&inner_running);
        async move {
            let _guard = guard;
            running.notify_one();
            // Does not even look at the stream: only a cancel can end this.
            std::future::pending::<()>().await;
            drop(stream);
        }
    });
    let _agent = principal.agent("a", executor).await;
    let (_lease, mut stream) = principal.dial("a").unwrap();
    stream.write_all(b"x").await.unwrap();
    stream.flush().await.unwrap();
    soon(running.notified()).await;
    drop(stream);
    soon(cancelled.notified()).await;
    let gauge = || principal.metrics().lines().any(|line| line == "tunnel_pipes_open 0");
    assert!(gauge(), "{}", principal.metrics());
}

#[tokio::test]
async fn an_agent_that_drops_a_pipe_cuts_it_and_never_fakes_an_end() {
    let principal = Principal::new();
    let executor = Scripted(|mut stream: TunnelStream| async move {
        stream.write_all(b"half of").await.unwrap();
    });
    let _agent = principal.agent("a", executor).await;
    let (_lease, mut stream) = principal.dial("a").unwrap();
    stream.write_all(b"x").await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = Vec::new();
    let error = soon(stream.read_to_end(&mut answer)).await.unwrap_err();
    assert_eq!(answer, b"half of");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(matches!(PipeError::find(&error), Some(PipeError::Cut(_))));
}

#[tokio::test]
async fn what_an_agent_says_last_arrives_though_the_principal_has_not_ended() {
    let principal = Principal::new();
    let executor = Scripted(|mut stream: TunnelStream| async move {
        stream.read_u8().await.unwrap();
        stream.write_all(&[7; 300 << 10]).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let _agent = principal.agent("a", executor).await;
    for _ in 0..50 {
        let (_lease, mut stream) = principal.dial("a").unwrap();
        stream.write_all(b"x").await.unwrap();
        stream.flush().await.unwrap();
        let mut answer = Vec::new();
        soon(stream.read_to_end(&mut answer)).await.unwrap();
        assert_eq!(answer.len(), 300 << 10);
    }
}

#[tokio::test]
async fn stalled_readers_stall_only_themselves() {
    let principal = Principal::new();
    let _agent = principal.agent("a", Scripted(flood)).await;
    let mut stalled = Vec::new();
    for _ in 0..64 {
        let (lease, mut stream) = principal.dial("a").unwrap();
        stream.write_all(b"x").await.unwrap();
        stream.flush().await.unwrap();
        let mut first = [0; 1];
        soon(stream.read_exact(&mut first)).await.unwrap();
        stalled.push((lease, stream));
    }
    let (_lease, mut stream) = principal.dial("a").unwrap();
    stream.write_all(b"x").await.unwrap();
    stream.flush().await.unwrap();
    let mut running = vec![0; 32 << 20];
    soon(stream.read_exact(&mut running)).await.unwrap();
}

#[tokio::test]
async fn the_thousand_and_first_pipe_does_not_wait_for_the_others() {
    let principal = Principal::new();
    let _agent = principal.agent("a", Scripted(echo)).await;
    let mut open = Vec::new();
    for i in 0..1_500_u32 {
        let (lease, mut stream) = principal.dial("a").unwrap();
        stream.write_all(&i.to_be_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(soon(stream.read_u32()).await.unwrap(), i);
        open.push((lease, stream));
    }
    let (_, first) = open.first_mut().unwrap();
    first.write_u32(7).await.unwrap();
    assert_eq!(soon(first.read_u32()).await.unwrap(), 7);
}

#[tokio::test]
async fn a_lost_connection_fails_what_runs_and_the_agent_comes_back() {
    let principal = Principal::new();
    let mut agent = principal.agent("a", Scripted(echo)).await;
    let (_reading_lease, mut reading) = principal.dial("a").unwrap();
    reading.write_all(b"x").await.unwrap();
    reading.flush().await.unwrap();
    soon(reading.read_u8()).await.unwrap();
    let (unopened_lease, mut unopened) = principal.dial("a").unwrap();
    agent.cut.now();
    let error = soon(reading.read_u8()).await.unwrap_err();
    assert!(PipeError::find(&error).is_some(), "{error:?}");
    soon(agent.connected.wait_for(|connected| !connected)).await.unwrap();
    soon(agent.connected.wait_for(|connected| *connected)).await.unwrap();
    unopened.write_all(b"x").await.unwrap();
    let lost = async { unopened.flush().await.and(unopened.read_u8().await.map(drop)) };
    assert_eq!(PipeError::find(&soon(lost).await.unwrap_err()), Some(&PipeError::SessionLost));
    assert_eq!(principal.dial("a").map(|(lease, _)| lease.session == unopened_lease.session).ok(), Some(false));
    assert_eq!(agent.cut.connections(), 2);
}

/// hyper tells of it when it is looked at next, which is at the next ping.
#[tokio::test(start_paused = true)]
async fn a_proxy_on_the_way_that_is_replaced_breaks_nothing_that_runs() {
    let principal = Principal::new();
    let mut agent = principal.agent_behind_a_proxy("a", Scripted(echo)).await;
    let (older, mut running) = principal.dial("a").unwrap();
    running.write_all(b"x").await.unwrap();
    running.flush().await.unwrap();
    soon(running.read_u8()).await.unwrap();
    agent.cut.politely();
    soon(agent.connected.wait_for(|connected| !connected)).await.unwrap();
    soon(agent.connected.wait_for(|connected| *connected)).await.unwrap();
    let (newer, mut stream) = principal.dial("a").unwrap();
    assert!(newer.session != older.session && agent.cut.connections() == 2);
    stream.write_all(b"z").await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(soon(stream.read_u8()).await.unwrap(), b'z');
    running.write_all(b"y").await.unwrap();
    running.shutdown().await.unwrap();
    let mut rest = Vec::new();
    soon(running.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"y", "the older connection's pipe goes on");
}

#[tokio::test]
async fn the_newest_session_wins_and_the_older_finishes_what_runs() {
    let principal = Principal::new();
    let mut older = principal.agent("a", Scripted(echo)).await;
    let (_lease, mut running) = principal.dial("a").unwrap();
    running.write_all(b"x").await.unwrap();
    running.flush().await.unwrap();
    soon(running.read_u8()).await.unwrap();
    let _newer = principal.agent("a", Scripted(reply_after_the_end)).await;
    soon(older.connected.wait_for(|connected| !connected)).await.unwrap();
    running.write_all(b"y").await.unwrap();
    assert_eq!(soon(running.read_u8()).await.unwrap(), b'y', "the older session's pipe goes on");
    let (_lease, mut stream) = principal.dial("a").unwrap();
    stream.shutdown().await.unwrap();
    drop(stream);
    let (_lease, mut stream) = principal.dial("a").unwrap();
    stream.write_all(b"x").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    assert_eq!(answer, "got 1 bytes", "the newer session's executor");
}

#[tokio::test]
async fn a_draining_principal_lets_the_running_exchange_finish() {
    let mut principal = Principal::new();
    let _agent = principal.agent("a", Scripted(echo)).await;
    let (lease, mut stream) = principal.dial("a").unwrap();
    stream.write_all(b"x").await.unwrap();
    stream.flush().await.unwrap();
    soon(stream.read_u8()).await.unwrap();
    let finish = async {
        stream.write_all(b"y").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'y');
        drop((lease, stream));
    };
    let (finished, ()) = tokio::join!(principal.drain(Duration::from_secs(20)), finish);
    assert!(finished, "nothing was left to reset");
    assert_eq!(principal.dial("a").map(drop), Err(DialError::NotConnected));
}

#[tokio::test]
async fn a_draining_agent_lets_the_running_exchange_finish() {
    let principal = Principal::new();
    let mut agent = principal.agent("a", Scripted(echo)).await;
    let (_lease, mut stream) = principal.dial("a").unwrap();
    stream.write_all(b"x").await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(soon(stream.read_u8()).await.unwrap(), b'x');
    let finish = async {
        agent.connected.wait_for(|connected| !connected).await.unwrap();
        stream.write_all(b"y").await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'y');
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    };
    let (finished, ()) = soon(async { tokio::join!(agent.signal.drain(Duration::from_secs(20)), finish) }).await;
    assert!(finished, "nothing was left to reset");
}

struct NotifyOnDrop(Arc<Notify>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

async fn echo(stream: TunnelStream) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    if tokio::io::copy(&mut reader, &mut writer).await.is_ok() {
        writer.shutdown().await.unwrap_or_default();
    }
}

async fn reply_after_the_end(mut stream: TunnelStream) {
    let mut request = Vec::new();
    if stream.read_to_end(&mut request).await.is_ok() {
        stream.write_all(format!("got {} bytes", request.len()).as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    }
}

async fn flood(mut stream: TunnelStream) {
    let block = vec![7; 64 * 1024];
    while stream.write_all(&block).await.is_ok() {}
}

/// A deadline that only a hang reaches.
async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("within 30 s")
}
