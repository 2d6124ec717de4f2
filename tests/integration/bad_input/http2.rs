//! HTTP/2 that is none, at both ports that speak it, and HTTP/2 that is too much.

use std::time::Duration;

use futures_util::future::join_all;
use harness::{
    client,
    faulty::{AGENT, Rig},
    raw::{Caller, get},
};
use tokio::time::timeout;

use super::{POD, PREFACE, SETTINGS, random, still_answers};

#[tokio::test]
async fn http2_that_is_none_is_put_out() {
    let rig = Rig::start().await;
    let grpc = Caller::of(&rig.world, AGENT).alpn(&[b"h2"]);
    let door = grpc.clone();
    for (caller, address) in [(&door, rig.world.door()), (&grpc, rig.world.principal.grpc)] {
        for (what, bytes) in [
            ("no preface", get("/").into_bytes()),
            ("garbage instead of a preface", random(64 << 10)),
            ("garbage behind the preface", [PREFACE, &random(64 << 10)].concat()),
            ("a frame beyond all bounds", [PREFACE, SETTINGS, &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]].concat()),
            ("data without a stream", [PREFACE, SETTINGS, &frame(DATA, 0, 1, b"x")].concat()),
            ("headers of stream 0", [PREFACE, SETTINGS, &frame(HEADERS, END, 0, GET_ROOT)].concat()),
            ("headers of the server's stream", [PREFACE, SETTINGS, &frame(HEADERS, END, 2, GET_ROOT)].concat()),
            ("headers that do not decode", [PREFACE, SETTINGS, &frame(HEADERS, END, 1, &[0xff; 64])].concat()),
            ("a continuation of nothing", [PREFACE, SETTINGS, &frame(CONTINUATION, 4, 1, GET_ROOT)].concat()),
            ("a window beyond all bounds", [PREFACE, SETTINGS, &window(), &window()].concat()),
            ("settings of another size", [PREFACE, &frame(4, 0, 0, b"x")].concat()),
            ("endless continuations", [PREFACE, SETTINGS, &continuations(4096)].concat()),
        ] {
            let mut raw = caller.connect(address).await.unwrap();
            // It may be put out before it has said everything.
            raw.send(&bytes).await.unwrap_or_default();
            let ended = timeout(Duration::from_secs(5), raw.rest()).await;
            assert!(ended.is_ok(), "{what} at {address}: still open");
        }
    }
    still_answers(&rig).await;
}

#[tokio::test]
async fn an_http2_header_list_that_is_too_long_is_answered_431() {
    let rig = Rig::start().await;
    let endpoint = client::Endpoint::door(&rig.world, AGENT);
    let mut connection = endpoint.connect(client::Protocol::Http2).await;
    let mut request = client::get(POD);
    for index in 0..12 {
        let name = http::HeaderName::try_from(format!("x-{index}")).unwrap();
        request.headers_mut().insert(name, "x".repeat(8 << 10).parse().unwrap());
    }
    assert_eq!(connection.send(request).await.status(), 431);
    assert_eq!(connection.send(client::get("/version")).await.status(), 200, "only that stream is concerned");
}

#[tokio::test]
async fn ten_thousand_rapid_resets_end_one_connection_and_no_other() {
    let rig = Rig::start().await;
    let mut attacker = rig.caller.clone().alpn(&[b"h2"]).connect(rig.world.door()).await.unwrap();
    let mut burst = [PREFACE, SETTINGS].concat();
    for stream in (1..20_000).step_by(2) {
        burst.extend(frame(HEADERS, END, stream, GET_ROOT));
        burst.extend(frame(RESET, 0, stream, &8_u32.to_be_bytes()));
    }
    let attack = async {
        attacker.send(&burst).await.unwrap_or_default();
        attacker.rest().await
    };
    let others = join_all((0..50).map(|_| rig.get(POD)));
    let ((read, _), others) = tokio::join!(attack, others);
    assert!(others.iter().all(|answer| answer.status == 200));
    let enhance_your_calm = 11_u32.to_be_bytes();
    assert!(read.windows(4).any(|window| window == enhance_your_calm), "{read:?}");
    still_answers(&rig).await;
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A window update of the whole connection by the most that one may be.
fn window() -> Vec<u8> {
    frame(8, 0, 0, &0x7fff_ffff_u32.to_be_bytes())
}

/// A header list that goes on and on.
fn continuations(count: usize) -> Vec<u8> {
    // A literal header, not indexed, with a name of one byte and a value of 120.
    let header = [&[0, 1, b'x', 120][..], &[b'y'; 120]].concat();
    let mut frames = frame(HEADERS, 1, 1, GET_ROOT);
    for _ in 0..count {
        frames.extend(frame(CONTINUATION, 0, 1, &header));
    }
    frames
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const CONTINUATION: u8 = 9;
/// END_STREAM and END_HEADERS.
const END: u8 = 5;
/// `:method: GET`, `:scheme: https`, `:path: /`, `:authority: a`, in HPACK.
const GET_ROOT: &[u8] = &[0x82, 0x87, 0x84, 0x01, 1, b'a'];
