//! Real sockets on the loopback: who reaches the handler, and that nobody else holds anything up.

pub(super) mod world;

use std::{
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use arc_swap::ArcSwap;
use common::drain;
use futures_util::FutureExt;
use rcgen::{DnType, DnValue};
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tracing::Span;

use self::world::{Authority, LIMITS, World, connect, echo, greeting, params};
use super::{connection::Greeting, metrics::Open, turns::Turns, *};

#[tokio::test]
async fn the_handler_sees_who_called_and_what_was_agreed_on() {
    for world in World::of_each_tls(LIMITS).await {
        let mut named = world.call(Some(world.authority.leaf("agent-1")), &[b"h2"]).await;
        assert_eq!(greeting(&mut named).await, "agent-1 h2");
        let mut nobody = world.call(None, &[]).await;
        assert_eq!(greeting(&mut nobody).await, "- -");
        assert_eq!(echo(&mut named, b"more").await, b"more");
    }
}

#[tokio::test]
async fn the_peer_is_the_callers_address() {
    let listener = Listener::bind("kube", "127.0.0.1", 0).await.unwrap();
    let address = listener.local_addr();
    let (_signal, watch) = drain::channel();
    let (sender, mut seen) = tokio::sync::mpsc::channel(1);
    let authority = Authority::new();
    let handler = move |connection: Connection| {
        let sender = sender.clone();
        async move { sender.send(connection.peer).await.unwrap() }
    };
    let tls = Security::Tls(Arc::new(ArcSwap::from(authority.server())));
    watch.spawn(Span::none(), listener.serve(tls, LIMITS, ListenMetrics::default(), watch.clone(), handler));
    let stream = connect(address, &authority, None, &[]).await.unwrap();
    assert_eq!(seen.recv().await, Some(stream.get_ref().0.local_addr().unwrap()));
}

#[tokio::test]
async fn silent_callers_delay_nobody() {
    let world = World::new(LIMITS).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(world.address).await.unwrap());
    }
    let mut caller = world.call(Some(world.authority.leaf("agent-1")), &[]).await;
    assert_eq!(greeting(&mut caller).await, "agent-1 -");
    world.until(r#"connections_opened_total{door="kube"} 21"#).await;
    world.until(r#"connections_closed_total{door="kube"} 0"#).await;
}

#[tokio::test]
async fn silent_callers_take_no_turn() {
    let (turns, authority) = (Turns::of(1), Authority::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _silent = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, peer) = listener.accept().await.unwrap();
    let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    let open = Open::new(place, &ListenMetrics::default().of("kube"));
    let terms = (LIMITS.handshake_timeout, turns.clone());
    let accepted = pin!(connection::accept(stream, peer, Greeting::Tls(authority.server()), terms, open));
    assert!(accepted.now_or_never().is_none());
    assert!(turns.come().now_or_never().is_some());
}

#[tokio::test]
async fn silent_callers_are_dropped_at_the_deadline() {
    for world in World::of_each_tls(ListenLimits { handshake_timeout: Duration::from_millis(50), ..LIMITS }).await {
        let mut silent = TcpStream::connect(world.address).await.unwrap();
        // One that begins and never ends: a record header that promises more than comes.
        let mut slow = TcpStream::connect(world.address).await.unwrap();
        slow.write_all(&[0x16, 3, 1, 2, 0]).await.unwrap();
        for stream in [&mut silent, &mut slow] {
            assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
        }
        world.until(r#"handshake_failures_total{door="kube",reason="timeout"} 2"#).await;
        world.until(r#"connections_closed_total{door="kube"} 2"#).await;
    }
}

#[tokio::test]
async fn garbage_is_closed_and_counted() {
    for world in World::of_each_tls(LIMITS).await {
        for garbage in [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], &[0xff; 4096], b"\x16\x03\x01\x00\x05hello"] {
            let mut stream = TcpStream::connect(world.address).await.unwrap();
            stream.write_all(garbage).await.unwrap();
            let mut rest = Vec::new();
            // An alert or nothing, by a clean end or a reset, but an end.
            let _ = stream.read_to_end(&mut rest).await;
            assert!(rest.len() < 16, "{rest:x?}");
        }
        world.until(r#"handshake_failures_total{door="kube",reason="tls"} 3"#).await;
        drop(TcpStream::connect(world.address).await.unwrap());
        world.until(r#"handshake_failures_total{door="kube",reason="io"} 1"#).await;
        world.until(r#"connections_opened_total{door="kube"} 4"#).await;
        world.until(r#"connections_closed_total{door="kube"} 4"#).await;
        assert_eq!(world.handled.most.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn certificates_of_another_authority_and_expired_ones_fail_the_handshake() {
    for world in World::of_each_tls(LIMITS).await {
        let mut expired = params("agent-1");
        expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
        let leaves = [Authority::new().leaf("agent-1"), world.authority.sign(&expired)];
        for leaf in leaves {
            // With TLS 1.3 the client learns it at its first read.
            if let Ok(mut stream) = connect(world.address, &world.authority, Some(leaf), &[]).await {
                assert!(stream.read(&mut [0; 1]).await.is_err());
            }
        }
        world.until(r#"handshake_failures_total{door="kube",reason="tls"} 2"#).await;
        assert_eq!(world.handled.most.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn a_certificate_that_names_nobody_readable_does_not_reach_the_handler() {
    for world in World::of_each_tls(LIMITS).await {
        let mut unreadable = params("agent-1");
        let name = DnType::CustomDnType(vec![2, 5, 4, 10]);
        unreadable.distinguished_name.push(name, DnValue::UniversalString("org".try_into().unwrap()));
        let leaf = world.authority.sign(&unreadable);
        let mut stream = connect(world.address, &world.authority, Some(leaf), &[]).await.unwrap();
        assert!(matches!(stream.read(&mut [0; 1]).await, Ok(0) | Err(_)));
        world.until(r#"handshake_failures_total{door="kube",reason="identity"} 1"#).await;
        assert_eq!(world.handled.most.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn callers_above_the_limit_wait_and_are_not_turned_away() {
    let world = World::new(ListenLimits { max_connections: 2, ..LIMITS }).await;
    let mut first = world.call(None, &[]).await;
    let mut second = world.call(None, &[]).await;
    assert_eq!((greeting(&mut first).await, greeting(&mut second).await), ("- -".into(), "- -".into()));
    world.until(r#"limit_reached_total{door="kube"} 1"#).await;
    let waiting = async {
        let mut third = world.call(None, &[]).await;
        greeting(&mut third).await
    };
    let leaving = async {
        // The kernel has the third connection by now or later; either way it must find its turn.
        first.shutdown().await.unwrap();
        drop(first);
    };
    let (third, ()) = tokio::join!(waiting, leaving);
    assert_eq!(third, "- -");
    assert_eq!(world.handled.most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_new_configuration_is_for_new_connections() {
    for world in World::of_each_tls(LIMITS).await {
        let mut old = world.call(Some(world.authority.leaf("agent-1")), &[]).await;
        assert_eq!(greeting(&mut old).await, "agent-1 -");
        let next = Authority::new();
        world.tls.store(next.server());
        let mut new = connect(world.address, &next, Some(next.leaf("agent-2")), &[]).await.unwrap();
        assert_eq!(greeting(&mut new).await, "agent-2 -");
        assert!(connect(world.address, &world.authority, None, &[]).await.is_err());
        assert_eq!(echo(&mut old, b"old").await, b"old");
    }
}

#[tokio::test]
async fn draining_closes_the_socket_and_lets_open_connections_finish() {
    let World { address, authority, signal, .. } = World::new(LIMITS).await;
    let mut stream = connect(address, &authority, None, &[]).await.unwrap();
    assert_eq!(greeting(&mut stream).await, "- -");
    let caller = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        assert_eq!(echo(&mut stream, b"last").await, b"last");
        stream.shutdown().await.unwrap();
    };
    let (finished, ()) = tokio::join!(signal.drain(Duration::from_secs(30)), caller);
    assert!(finished);
}

#[tokio::test]
async fn a_plain_connection_is_its_bytes_and_comes_from_nobody() {
    // Nothing is awaited of a caller before the handler has it, so no deadline of a handshake can end it.
    let world = World::plain(ListenLimits { handshake_timeout: Duration::ZERO, ..LIMITS }).await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    assert_eq!(greeting(&mut stream).await, "- -");
    assert_eq!(echo(&mut stream, b"*1\r\n$4\r\nPING\r\n").await, b"*1\r\n$4\r\nPING\r\n");
    // What is TLS to others is bytes here.
    assert_eq!(echo(&mut stream, b"\x16\x03\x01\x00\x05hello").await, b"\x16\x03\x01\x00\x05hello");
    // Half-close: what was asked before is still answered.
    stream.write_all(b"last").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"last");
    world.until(r#"connections_opened_total{door="kube"} 1"#).await;
    world.until(r#"connections_closed_total{door="kube"} 1"#).await;
}

#[tokio::test]
async fn plain_connections_have_the_same_limit_and_the_same_drain() {
    let world = World::plain(ListenLimits { max_connections: 1, ..LIMITS }).await;
    let mut first = TcpStream::connect(world.address).await.unwrap();
    assert_eq!(greeting(&mut first).await, "- -");
    let mut second = TcpStream::connect(world.address).await.unwrap();
    world.until(r#"limit_reached_total{door="kube"} 1"#).await;
    first.shutdown().await.unwrap();
    assert_eq!(greeting(&mut second).await, "- -");
    assert_eq!(world.handled.most.load(Ordering::SeqCst), 1);
    let address = world.address;
    let caller = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        assert_eq!(echo(&mut second, b"last").await, b"last");
        second.shutdown().await.unwrap();
    };
    let (finished, ()) = tokio::join!(world.signal.drain(Duration::from_secs(30)), caller);
    assert!(finished);
}

#[tokio::test]
async fn a_plain_connection_writes_many_slices_at_once() {
    let listener = Listener::bind("redis", "127.0.0.1", 0).await.unwrap();
    let address = listener.local_addr();
    let (_signal, watch) = drain::channel();
    let handler = async |Connection { mut io, .. }: Connection| {
        assert!(io.is_write_vectored());
        let slices = [std::io::IoSlice::new(b"one "), std::io::IoSlice::new(b"two")];
        assert_eq!(io.write_vectored(&slices).await.unwrap(), 7);
    };
    let serve = listener.serve(Security::Plain, LIMITS, ListenMetrics::default(), watch.clone(), handler);
    watch.spawn(Span::none(), serve);
    let mut heard = String::new();
    TcpStream::connect(address).await.unwrap().read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "one two");
}

#[tokio::test]
async fn an_address_that_is_taken_is_named_in_the_error() {
    let first = Listener::bind("kube", "127.0.0.1", 0).await.unwrap();
    let port = first.local_addr().port();
    let error = Listener::bind("grpc", "127.0.0.1", port).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on 127.0.0.1:{port} for grpc"));
    assert_eq!(error.source.kind(), std::io::ErrorKind::AddrInUse);
    let nowhere = Listener::bind("grpc", "no such host", 1).await.unwrap_err();
    assert_eq!(nowhere.to_string(), "cannot listen on no such host:1 for grpc");
}

#[tokio::test]
async fn an_empty_host_is_every_address() {
    let listener = Listener::bind("kube", "", 0).await.unwrap();
    let address = listener.local_addr();
    assert!(address.ip().is_unspecified());
    TcpStream::connect(("127.0.0.1", address.port())).await.unwrap();
}
