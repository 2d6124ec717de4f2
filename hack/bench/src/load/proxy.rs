//! A connection through a proxy that is asked with CONNECT (RFC 9110, section 9.3.6) at a Unix socket: what kube-apiserver
//! does to reach what konnectivity leads to.

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Empty;
use hyper::{client::conn::http1, upgrade};
use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, time::timeout, try_join};

/// A connection to `target` by way of the proxy. Nothing has been said on it yet.
pub(super) async fn connect(proxy: &Path, target: SocketAddr) -> Result<UnixStream> {
    let connected = timeout(PATIENCE, ask(proxy, target)).await;
    connected.context("no answer").flatten().with_context(|| format!("CONNECT by {}", proxy.display()))
}

async fn ask(proxy: &Path, target: SocketAddr) -> Result<UnixStream> {
    let socket = UnixStream::connect(proxy).await.context("connecting")?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await.context("HTTP/1.1 handshake")?;
    let target = target.to_string();
    let request = Request::connect(&target).header(header::HOST, &target).body(Empty::<Bytes>::new());
    let request = request.context("a request")?;
    let answered = async {
        let answer = sender.send_request(request).await.context("waiting for an answer")?;
        let status = answer.status();
        if status != StatusCode::OK {
            bail!("answered {status}");
        }
        upgrade::on(answer).await.context("becoming a connection")
    };
    // Ends where the proxy's part does.
    let connection = async { connection.with_upgrades().await.context("the proxy's connection") };
    let ((), upgraded) = try_join!(connection, answered)?;
    let parts = upgraded.downcast::<TokioIo<UnixStream>>().map_err(|_| anyhow!("a connection of another kind"))?;
    if !parts.read_buf.is_empty() {
        bail!("the other end spoke first, which no TLS server does");
    }
    Ok(parts.io.into_inner())
}

/// How long it may take. A proxy all of whose streams stand still never answers.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixListener,
        task::JoinSet,
    };

    use super::*;

    /// What a proxy answers, and what is then said in both directions.
    async fn through(answer: &'static str) -> Result<Vec<u8>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let mut proxy = JoinSet::new();
        proxy.spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                asked.push(socket.read_u8().await.unwrap());
            }
            assert!(asked.starts_with(b"CONNECT 127.0.0.1:6443 HTTP/1.1\r\n"), "{}", String::from_utf8_lossy(&asked));
            socket.write_all(answer.as_bytes()).await.unwrap();
            let mut said = [0; 5];
            if socket.read_exact(&mut said).await.is_ok() {
                socket.write_all(&said).await.unwrap();
            }
        });
        let mut socket = connect(&path, ([127, 0, 0, 1], 6443).into()).await?;
        socket.write_all(b"hello").await.unwrap();
        let mut heard = Vec::new();
        socket.read_to_end(&mut heard).await.unwrap();
        Ok(heard)
    }

    #[tokio::test]
    async fn what_is_said_once_the_proxy_has_agreed_goes_through_it() {
        assert_eq!(through("HTTP/1.1 200 Connection Established\r\n\r\n").await.unwrap(), b"hello");
    }

    #[tokio::test]
    async fn a_proxy_that_refuses_or_says_nonsense_is_an_error() {
        for (answer, why) in [
            ("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", "answered 502"),
            ("HTTP/1.1 200 OK\r\n\r\nsurprise", "spoke first"),
            ("hello\r\n\r\n", "CONNECT by"),
        ] {
            let error = through(answer).await.unwrap_err();
            let error = format!("{error:#}");
            assert!(error.contains(why), "{answer}: {error}");
        }
    }
}
