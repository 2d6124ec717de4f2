//! Callers without a right to be there, at every port.

use harness::{
    control::Control,
    eventually, pki,
    raw::{self, Caller, get, metric},
    redis::Redis,
    redis_scene::door_to,
    resp::RespClient,
    soon,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::coverage::Port;

/// What becomes of a caller at a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The handshake fails; for TLS 1.3 the caller hears of it with its first read.
    NoHandshake,
    /// It is answered this status.
    Answered(u16),
    /// It is served: there is nothing to protect.
    Served,
    /// It is told to log in: Redis itself says who may do what.
    ToldToLogIn,
}

/// Who comes.
#[derive(Debug, Clone, Copy)]
enum Who {
    Stranger,
    OfAnotherAuthority,
    Expired,
    NoAgentsName,
    /// On the blocklist.
    Revoked,
    /// With a certificate that is good, and the token of an agent without a cluster Secret.
    WithBadToken,
}

/// The table: every port has a row.
fn fate(port: Port, who: Who) -> Fate {
    match (port, who) {
        (Port::Grpc, Who::Stranger | Who::OfAnotherAuthority | Who::Expired) => Fate::NoHandshake,
        // HTTP/2 begins; its calls are refused one by one, see `tls` and `revocation`.
        (Port::Grpc, Who::NoAgentsName | Who::Revoked) => Fate::Served,
        // Tokens are for callers; agents have none.
        (Port::Grpc, Who::WithBadToken) => Fate::Served,
        (Port::KubeDoor, Who::Stranger | Who::NoAgentsName | Who::Revoked) => Fate::Answered(400),
        (Port::KubeDoor, Who::WithBadToken) => Fate::Answered(401),
        (Port::KubeDoor, Who::OfAnotherAuthority | Who::Expired) => Fate::NoHandshake,
        (Port::RedisDoor, _) => Fate::ToldToLogIn,
        (Port::Metrics | Port::Healthz | Port::Admin, _) => Fate::Served,
    }
}

#[tokio::test]
async fn every_port_treats_every_unauthorised_caller_as_its_row_says() {
    let control = Control::new("unauthorized").await;
    let redis = Redis::start(&["--requirepass", "secret"]).await;
    let world = control.world_with(|config| config.redis_door = Some(door_to(redis.address()))).await;
    let revoked = world.ca.client("workload");
    control.block(&world, &[&revoked.fingerprint()]).await;
    let ca = world.ca.pem();
    for who in
        [Who::Stranger, Who::OfAnotherAuthority, Who::Expired, Who::NoAgentsName, Who::Revoked, Who::WithBadToken]
    {
        let leaf = match who {
            Who::Stranger => None,
            Who::OfAnotherAuthority => Some(pki::Ca::new().client("workload")),
            Who::Expired => Some(world.ca.expired_client("workload")),
            Who::NoAgentsName => Some(world.ca.client("Not a label")),
            Who::Revoked => Some(revoked.clone()),
            Who::WithBadToken => Some(world.ca.client("workload")),
        };
        for (port, address) in Port::all(&world.principal) {
            let expected = fate(port, who);
            if port == Port::RedisDoor {
                let heard =
                    RespClient::connect(address).await.ask(&["GET", "app|resources-tree|workload_a|1.8.3.gz"]).await;
                let told = heard == "-NOAUTH Authentication required.\r\n";
                assert!(told && expected == Fate::ToldToLogIn, "{heard}");
                continue;
            }
            if !port.speaks_tls() {
                let path = match port {
                    Port::Metrics => "/metrics",
                    Port::Admin => "/agents",
                    _ => "/livez",
                };
                assert_eq!((raw::page(address, path).await.status, expected), (200, Fate::Served), "{port:?}");
                continue;
            }
            let alpn: &[&[u8]] = if port == Port::Grpc { &[b"h2"] } else { &[] };
            let caller = Caller::new(ca.clone(), leaf.clone()).alpn(alpn);
            let found = match port {
                Port::Grpc => http2(&caller, address).await,
                _ => http1(&caller, address, &token(&control, who)).await,
            };
            assert_eq!(found, expected, "{who:?} at {port:?}");
        }
    }
    // Three strangers to the grpc port, two of a wrong certificate to the door.
    for (door, failures) in [("grpc", 3.0), ("kube", 2.0)] {
        let labels = format!("door=\"{door}\",reason=\"tls\"");
        eventually(&format!("{failures} failures counted at {door}"), async || {
            let counted =
                metric(world.principal.metrics.unwrap(), "argocd_agent_listen_handshake_failures", &labels).await;
            (counted == failures).then_some(())
        })
        .await;
    }
}

/// The headers of a caller who has a token.
fn token(control: &Control, who: Who) -> String {
    match who {
        Who::WithBadToken => format!("Authorization: Bearer {}\r\n", control.token("nobody")),
        _ => String::new(),
    }
}

/// What an HTTP/1.1 client meets.
async fn http1(caller: &Caller, address: std::net::SocketAddr, headers: &str) -> Fate {
    let Ok(mut raw) = caller.connect(address).await else { return Fate::NoHandshake };
    // The server may have closed already.
    let sent = raw.send(get("/api/v1/namespaces/a/pods/b").replacen("\r\n", &format!("\r\n{headers}"), 1)).await;
    match raw.answer().await {
        Ok(answer) => Fate::Answered(answer.status),
        Err(error) => {
            assert!(error.to_string().contains("fatal alert"), "{sent:?} {error}");
            Fate::NoHandshake
        }
    }
}

/// What an HTTP/2 client meets: the server's first frame is its settings.
async fn http2(caller: &Caller, address: std::net::SocketAddr) -> Fate {
    let Ok(mut raw) = caller.connect(address).await else { return Fate::NoHandshake };
    let io = raw.io();
    // The server may have closed already.
    let sent = io.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    let mut frame = [0; 9];
    match soon(io.read_exact(&mut frame)).await {
        Ok(_) => {
            assert_eq!(frame[3], 4, "a SETTINGS frame");
            Fate::Served
        }
        Err(error) => {
            assert!(error.to_string().contains("fatal alert"), "{sent:?} {error}");
            Fate::NoHandshake
        }
    }
}
