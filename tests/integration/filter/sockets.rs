//! Watches in a WebSocket, as browsers ask for them: filtered like any other, and closed as the protocol says.

use harness::{
    raw::{Caller, Raw},
    scene::{AGENT, Scene},
};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};

#[tokio::test]
async fn a_watch_in_a_websocket_shows_what_is_managed_and_closes_when_it_ends() {
    let scene = Scene::filtered("watch-socket").await;
    scene.untracked("hidden").await;
    scene.tracked("managed").await;
    let mut raw = watch(&scene, "timeoutSeconds=1").await;
    let (text, event) = frame(&mut raw).await;
    let event: Value = serde_json::from_slice(&event).unwrap();
    assert_eq!((text, &event["type"]), (TEXT, &"ADDED".into()));
    assert_eq!(event["object"]["metadata"]["name"], "managed");
    assert_eq!(frame(&mut raw).await, (CLOSE, NORMAL.to_vec()), "what direct access says at the end, too");
    raw.send(masked_close(NORMAL)).await.unwrap();
    let (rest, ended) = raw.rest().await;
    ended.unwrap();
    assert_eq!(rest, b"");
}

#[tokio::test]
async fn a_client_that_closes_its_watch_is_answered() {
    let scene = Scene::filtered("close-socket").await;
    let mut raw = watch(&scene, "timeoutSeconds=60").await;
    raw.send(masked_close(AWAY)).await.unwrap();
    assert_eq!(frame(&mut raw).await, (CLOSE, AWAY.to_vec()));
    let (rest, ended) = raw.rest().await;
    ended.unwrap();
    assert_eq!(rest, b"");
}

/// A watch of the test's ConfigMaps, in a WebSocket.
async fn watch(scene: &Scene, query: &str) -> Raw<impl AsyncRead + AsyncWrite + Unpin + use<>> {
    let mut raw = Caller::of(&scene.world, AGENT).connect(scene.world.door()).await.unwrap();
    let target = scene.core(&format!("configmaps?watch=1&{query}"));
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    raw.send(request).await.unwrap();
    let head = raw.head().await.unwrap();
    assert_eq!(head.status, 101, "{head:?}");
    raw
}

/// The next frame of a server: what it is, and what is in it (RFC 6455, section 5.2).
async fn frame<S: AsyncRead + AsyncWrite + Unpin>(raw: &mut Raw<S>) -> (u8, Vec<u8>) {
    let head = raw.exactly(2).await.unwrap();
    let length = match head[1] {
        126 => u16::from_be_bytes(raw.exactly(2).await.unwrap().try_into().unwrap()),
        length => length.into(),
    };
    (head[0], raw.exactly(length.into()).await.unwrap())
}

/// The last frame of a client. Its mask is zero, so what is in it stands there as it is.
fn masked_close(code: [u8; 2]) -> Vec<u8> {
    [&[CLOSE, 0x82, 0, 0, 0, 0][..], &code].concat()
}

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
/// Why a socket is closed (RFC 6455, section 7.4.1).
const NORMAL: [u8; 2] = 1000_u16.to_be_bytes();
const AWAY: [u8; 2] = 1001_u16.to_be_bytes();
