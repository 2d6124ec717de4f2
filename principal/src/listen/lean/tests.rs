//! Against a client that is tokio-rustls', over lines of any size.

use std::time::Duration;

use common::{
    config::TlsVersions,
    tls::{Verification, client_config},
};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;
use crate::listen::tests::world::Authority;

type Pair = (LeanTls<DuplexStream>, TlsStream<DuplexStream>);

fn tls12() -> TlsVersions {
    TlsVersions::parse(Some("tls1.2"), Some("tls1.2")).unwrap()
}

/// Both ends of a line on which there may be so many bytes; the client's records have no more than `fragment`.
async fn pair(line: usize, versions: TlsVersions, fragment: Option<usize>) -> Pair {
    let (authority, (near, far)) = (Authority::new(), duplex(line));
    let roots = Verification::Roots(authority.roots());
    let mut client = (*client_config(Some(authority.leaf("agent-1")), roots, versions, &[b"h2"]).unwrap()).clone();
    client.max_fragment_size = fragment;
    let client = TlsConnector::from(Arc::new(client)).connect("localhost".try_into().unwrap(), far);
    let (server, client) = tokio::join!(LeanTls::accept(near, authority.server_of(versions)), client);
    (server.unwrap(), client.unwrap())
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

fn holds_nothing(stream: &LeanTls<DuplexStream>) -> bool {
    stream.incoming.capacity() == 0 && stream.plain.capacity() == 0 && stream.outgoing.capacity() == 0
}

/// Sends so much each way at once, and says goodbye.
async fn exchange((server, client): Pair, length: usize, read: usize) {
    let sent = bytes(length);
    let (mut from_server, mut to_client) = tokio::io::split(server);
    let (mut from_client, mut to_server) = tokio::io::split(client);
    let say = async {
        to_client.write_all(&sent).await.unwrap();
        to_client.shutdown().await.unwrap();
    };
    let answer = async {
        to_server.write_all(&sent).await.unwrap();
        to_server.shutdown().await.unwrap();
    };
    let hear = async {
        let (mut heard, mut piece) = (Vec::new(), vec![0; read]);
        loop {
            match from_server.read(&mut piece).await.unwrap() {
                0 => break heard,
                length => heard.extend_from_slice(&piece[..length]),
            }
        }
    };
    let hear_answer = async {
        let mut heard = Vec::new();
        from_client.read_to_end(&mut heard).await.unwrap();
        heard
    };
    let ((), (), at_server, at_client) = tokio::join!(say, answer, hear, hear_answer);
    assert!(at_server == sent && at_client == sent);
}

#[tokio::test]
async fn what_is_said_comes_whole_both_ways_with_each_version() {
    for versions in [TlsVersions::TLS13, tls12()] {
        exchange(pair(64 << 10, versions, None).await, 3_000_000, 8 << 10).await;
        exchange(pair(1 << 20, versions, None).await, 3_000_000, 100_000).await;
    }
}

#[tokio::test]
async fn records_that_come_byte_by_byte_are_read() {
    exchange(pair(1, TlsVersions::TLS13, Some(64)).await, 1000, 7).await;
    exchange(pair(1, tls12(), Some(64)).await, 1000, 7).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn lines_records_and_readers_may_have_any_size(
        line in 1..40_000_usize, fragment in 32..16_000_usize, read in 1..40_000_usize, length in 0..100_000_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            exchange(pair(line, TlsVersions::TLS13, Some(fragment)).await, length, read).await;
        });
    }
}

/// Carries what one says to the other, with one byte changed on the way.
async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, at: usize, change: u8) {
    let (mut piece, mut carried) = ([0; 1000], 0);
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        if let Some(byte) = at.checked_sub(carried).and_then(|at| piece[..length].get_mut(at)) {
            *byte ^= change;
        }
        carried += length;
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_was_changed_on_the_way_is_never_taken_for_what_was_said(
        at in 0..6000_usize, change in 1..=255_u8, line in 1..3000_usize, fragment in 32..2000_usize, is_old in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (authority, sent) = (Authority::new(), bytes(3000));
            let versions = if is_old { tls12() } else { TlsVersions::TLS13 };
            let ((near, door), (street, far)) = (duplex(line), duplex(line));
            let ((in_door, out_door), (in_street, out_street)) = (tokio::io::split(door), tokio::io::split(street));
            let carried = async {
                tokio::join!(carry(in_street, out_door, at, change), carry(in_door, out_street, usize::MAX, 0))
            };
            let serve = async {
                let server = LeanTls::accept(near, authority.server_of(versions)).await.ok()?;
                let (mut read, mut write) = tokio::io::split(server);
                tokio::io::copy(&mut read, &mut write).await.ok()
            };
            let roots = Verification::Roots(authority.roots());
            let mut client = (*client_config(None, roots, versions, &[]).unwrap()).clone();
            client.max_fragment_size = Some(fragment);
            let ask = async {
                let client = TlsConnector::from(Arc::new(client)).connect("localhost".try_into().unwrap(), far);
                let (mut read, mut write) = tokio::io::split(client.await.ok()?);
                let mut heard = vec![0; sent.len()];
                let (said, answered) = tokio::join!(write.write_all(&sent), read.read_exact(&mut heard));
                said.and(answered).ok().map(|_length| heard)
            };
            // A length that was changed lets both wait for each other; time passes only then.
            let ask = tokio::time::timeout(Duration::from_secs(10), ask);
            let heard = tokio::select! {
                (_, heard) = async { tokio::join!(serve, ask) } => heard,
                () = async { carried.await; std::future::pending().await } => unreachable!("it never ends"),
                () = tokio::time::sleep(Duration::from_secs(20)) => Ok(None),
            };
            if let Ok(Some(heard)) = heard {
                assert!(heard == sent);
            }
        });
    }
}

#[tokio::test]
async fn an_idle_connection_has_no_buffers() {
    let (mut server, mut client) = pair(64 << 10, TlsVersions::TLS13, None).await;
    assert!(futures_util::poll!(std::pin::pin!(server.read_u8())).is_pending());
    assert!(holds_nothing(&server));
    let sent = bytes(40_000);
    client.write_all(&sent).await.unwrap();
    let mut heard = vec![0; sent.len()];
    server.read_exact(&mut heard).await.unwrap();
    server.write_all(&heard).await.unwrap();
    server.flush().await.unwrap();
    client.read_exact(&mut heard).await.unwrap();
    assert!(heard == sent);
    assert!(futures_util::poll!(std::pin::pin!(server.read_u8())).is_pending());
    assert!(holds_nothing(&server));
}

#[tokio::test]
async fn slices_go_as_one_record() {
    let (mut server, mut client) = pair(64 << 10, TlsVersions::TLS13, None).await;
    let slices = [io::IoSlice::new(b""), io::IoSlice::new(b"head "), io::IoSlice::new(b"data")];
    assert_eq!(server.write_vectored(&slices).await.unwrap(), 9);
    let mut heard = [0; 64];
    assert_eq!(client.read(&mut heard).await.unwrap(), 9);
    assert_eq!(heard[..9], *b"head data");
    let large = bytes(30_000);
    let slices = [io::IoSlice::new(&large), io::IoSlice::new(&large), io::IoSlice::new(&large)];
    assert_eq!(server.write_vectored(&slices).await.unwrap(), stream::MOST_WRITTEN);
    assert_eq!(server.write_vectored(&[]).await.unwrap(), 0);
}

#[tokio::test]
async fn an_end_without_a_goodbye_is_an_error_and_data_before_it_are_none() {
    let (mut server, mut client) = pair(64 << 10, TlsVersions::TLS13, None).await;
    client.write_all(b"cut").await.unwrap();
    client.flush().await.unwrap();
    drop(client);
    let mut heard = [0; 8];
    assert_eq!(server.read(&mut heard).await.unwrap(), 3);
    for _ in 0..2 {
        assert_eq!(server.read(&mut heard).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}

#[tokio::test]
async fn who_has_said_goodbye_may_still_be_answered() {
    let (mut server, mut client) = pair(64 << 10, TlsVersions::TLS13, None).await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut heard = Vec::new();
    server.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"question");
    server.write_all(b"answer").await.unwrap();
    // Twice: one close_notify is enough.
    server.shutdown().await.unwrap();
    server.shutdown().await.unwrap_or_default();
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"answer");
    assert_eq!(server.write(b"more").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn a_record_that_was_changed_ends_it_with_an_alert() {
    let (mut server, client) = pair(64 << 10, TlsVersions::TLS13, None).await;
    let (mut line, mut session) = client.into_inner();
    line.write_all(&[0x17, 3, 3, 0, 20]).await.unwrap();
    line.write_all(&[7; 20]).await.unwrap();
    for _ in 0..2 {
        assert_eq!(server.read_u8().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
    assert_eq!(server.write(b"more").await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert!(server.flush().await.is_ok());
    let mut alert = [0; 64];
    let length = line.read(&mut alert).await.unwrap();
    session.read_tls(&mut &alert[..length]).unwrap();
    let told = session.process_new_packets().unwrap_err();
    assert_eq!(told, rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac));
}

#[tokio::test]
async fn new_keys_are_taken_and_given_by_one_that_only_reads() {
    let (mut server, mut client) = pair(64 << 10, TlsVersions::TLS13, None).await;
    for round in 0..3 {
        client.get_mut().1.refresh_traffic_keys().unwrap();
        client.write_all(&[round]).await.unwrap();
        client.flush().await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), round);
        server.write_all(&[round, round]).await.unwrap();
        server.flush().await.unwrap();
        let mut heard = [0; 2];
        client.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, [round, round]);
    }
}

#[tokio::test]
async fn a_reader_that_stalls_stops_the_writer() {
    let (mut server, mut client) = pair(1000, TlsVersions::TLS13, None).await;
    let large = bytes(1 << 20);
    {
        let mut write = std::pin::pin!(server.write_all(&large));
        assert!(futures_util::poll!(write.as_mut()).is_pending());
    }
    assert!(server.outgoing.len() <= stream::MOST_WRITTEN + OVERHEAD);
    // What was taken comes all the same.
    let mut heard = vec![0; stream::MOST_WRITTEN];
    let (flushed, read) = tokio::join!(server.flush(), client.read_exact(&mut heard));
    flushed.unwrap();
    read.unwrap();
    assert!(large.starts_with(&heard));
}

#[tokio::test]
async fn a_handshake_without_an_end_is_not_kept() {
    let (near, mut far) = duplex(1 << 20);
    let endless = async {
        // A ClientHello of almost 64 KiB, a byte in each record.
        let mut message = vec![1, 0, 0xff, 0xf0];
        message.resize(0xfff4, 0);
        for byte in message {
            if far.write_all(&[0x16, 3, 1, 0, 1, byte]).await.is_err() {
                return;
            }
        }
    };
    let accepted = LeanTls::accept(near, Authority::new().server_of(TlsVersions::TLS13));
    let run = async { tokio::join!(accepted, endless) };
    let (accepted, ()) = tokio::time::timeout(Duration::from_secs(60), run).await.unwrap();
    assert_eq!(accepted.unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn a_client_without_a_protocol_of_ours_is_told_so() {
    let (authority, (near, far)) = (Authority::new(), duplex(64 << 10));
    let roots = Verification::Roots(authority.roots());
    let client = client_config(None, roots, TlsVersions::TLS13, &[b"spdy/3"]).unwrap();
    let client = TlsConnector::from(client).connect("localhost".try_into().unwrap(), far);
    let (server, client) = tokio::join!(LeanTls::accept(near, authority.server_of(TlsVersions::TLS13)), client);
    assert!(server.unwrap_err().get_ref().unwrap().is::<rustls::Error>());
    assert!(client.unwrap_err().to_string().contains("NoApplicationProtocol"));
}

#[tokio::test]
async fn what_is_not_tls_is_told_so() {
    let (near, mut far) = duplex(1 << 20);
    far.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let refused = LeanTls::accept(near, Authority::new().server_of(TlsVersions::TLS13)).await.unwrap_err();
    assert!(refused.get_ref().unwrap().is::<rustls::Error>());
    let mut alert = Vec::new();
    far.read_to_end(&mut alert).await.unwrap();
    assert_eq!(alert.first(), Some(&0x15), "{alert:x?}");
    let (near, far) = duplex(1 << 20);
    drop(far);
    let left = LeanTls::accept(near, Authority::new().server_of(TlsVersions::TLS13)).await.unwrap_err();
    assert_eq!(left.kind(), io::ErrorKind::UnexpectedEof);
}
