//! Bad input at every port: whoever sends it is told and put out, and nobody else notices.

mod agents;
mod burden;
mod garbage;
mod http1;
mod http2;
mod silence;

use std::{net::SocketAddr, time::Duration};

use harness::{
    faulty::Rig,
    raw::{self, Caller},
    redis::Redis,
    redis_scene::door_to,
    resp::RespClient,
};

use crate::coverage::Port;

/// Whoever behaves is answered, at every port.
async fn still_answers(rig: &Rig) {
    for (port, address) in Port::all(&rig.world.principal) {
        let status = match port {
            Port::KubeDoor => rig.get("/version").await.status,
            Port::RedisDoor => {
                assert_eq!(RespClient::connect(address).await.ask(&["PING"]).await, "+PONG\r\n");
                200
            }
            Port::Metrics => raw::page(address, "/metrics").await.status,
            Port::Admin => raw::page(address, "/agents").await.status,
            Port::Healthz => raw::page(address, "/readyz").await.status,
            Port::Grpc => {
                served_http2(&rig.caller.clone().alpn(&[b"h2"]), address).await;
                200
            }
        };
        assert_eq!(status, 200, "{port:?}");
    }
}

/// With every door open.
async fn rig(redis: &Redis) -> Rig {
    Rig::with(|config| config.redis_door = Some(door_to(redis.address()))).await
}

/// Connects and waits for the server's first frame.
async fn served_http2(caller: &Caller, address: SocketAddr) {
    let mut raw = caller.connect(address).await.unwrap();
    raw.send([PREFACE, SETTINGS].concat()).await.unwrap();
    let head = raw.exactly(9).await.unwrap();
    assert_eq!(head[3], 4, "a SETTINGS frame");
}

/// Bytes without a pattern, the same in each run.
pub(crate) fn random(count: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(count).collect()
}

const POD: &str = "/api/v1/namespaces/a/pods/b";

/// For a machine that is busy.
const SLACK: Duration = Duration::from_secs(5);

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
