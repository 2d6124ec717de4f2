//! Asks a proxy for a connection: RFC 9110, section 9.3.6.

use std::{error::Error, io};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Proxy, authority};

/// Why a proxy gave no connection.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The proxy itself cannot be reached.
    #[error("the proxy {0} cannot be reached")]
    Unreachable(String, #[source] Box<dyn Error + Send + Sync>),
    /// The connection to it broke.
    #[error("the proxy {0} broke off before it answered")]
    Broken(String, #[source] io::Error),
    /// It says no.
    #[error("the proxy {proxy} answers {status}: {}", cure(*status))]
    Refused {
        /// Which.
        proxy: String,
        /// What it answered.
        status: u16,
    },
    /// What it says makes no sense.
    #[error("{0} does not answer as an HTTP proxy does: name one in HTTPS_PROXY or the kubeconfig's proxy-url")]
    Garbage(String),
}

// === impl Proxy ===

impl Proxy {
    /// A connection to `host`, which the proxy looks up. It has no deadline of its own.
    ///
    /// # Errors
    /// When there is none.
    pub async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, ProxyError> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await;
        self.ask(tcp.map_err(|error| self.unreachable(error))?, host, port).await
    }

    pub(super) fn unreachable(&self, error: impl Error + Send + Sync + 'static) -> ProxyError {
        ProxyError::Unreachable(self.to_string(), error.into())
    }

    /// As [`connect`](Self::connect), on a connection to the proxy.
    pub(super) async fn ask(&self, mut tcp: TcpStream, host: &str, port: u16) -> Result<TcpStream, ProxyError> {
        let me = || self.to_string();
        let target = authority(host, port);
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
        if let Some(login) = &self.authorization {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(login.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        tcp.write_all(&request).await.map_err(|error| ProxyError::Broken(me(), error))?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            // Byte by byte, so that nothing is taken that is behind the head: it is short, and asked for once.
            let byte = tcp.read_u8().await.map_err(|error| ProxyError::Broken(me(), error))?;
            head.push(byte);
            if head.len() > LONGEST_HEAD || !b"HTTP/1.".starts_with(head.get(..head.len().min(7)).unwrap_or_default()) {
                return Err(ProxyError::Garbage(me()));
            }
        }
        match status(&head) {
            Some(200..=299) => Ok(tcp),
            Some(status) => Err(ProxyError::Refused { proxy: me(), status }),
            None => Err(ProxyError::Garbage(me())),
        }
    }
}

fn status(head: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(head.get(9..12)?).ok()?;
    text.parse().ok().filter(|status| (100..600).contains(status))
}

fn cure(status: u16) -> &'static str {
    match status {
        407 => "it wants a login, give it as http://user:password@host:port where the proxy is named",
        403 | 405 => "it must allow CONNECT to this host and port, or the host must be in NO_PROXY",
        502..=504 => "it cannot reach the host, see that the address is right",
        _ => "see its log",
    }
}

/// Some proxies explain at length why they say no, in a body that is not read.
const LONGEST_HEAD: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncBufReadExt, net::TcpListener, task::JoinSet};

    use super::*;
    use crate::{Report, proxy::Proxies};

    /// A proxy that says this to whoever asks, and then what it was asked.
    async fn proxy(says: &'static str, login: &str) -> (Proxies, JoinSet<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{login}{}", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = tokio::io::BufReader::new(stream);
            let mut asked = String::new();
            while !asked.ends_with("\r\n\r\n") {
                stream.read_line(&mut asked).await.unwrap();
            }
            stream.write_all(says.as_bytes()).await.unwrap();
            asked
        });
        (Proxies::read(|name| (name == "HTTPS_PROXY").then(|| url.clone())).unwrap(), tasks)
    }

    #[tokio::test]
    async fn a_connection_begins_right_behind_the_proxys_answer() {
        let says = "HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nhello";
        let (proxies, mut tasks) = proxy(says, "user:word@").await;
        let way = proxies.on_the_way_to("principal.example", 8443).unwrap();
        let mut stream = way.connect("principal.example", 8443).await.unwrap();
        let mut first = String::new();
        stream.read_to_string(&mut first).await.unwrap();
        assert_eq!(first, "hello");
        let asked = tasks.join_next().await.unwrap().unwrap();
        assert_eq!(
            asked,
            "CONNECT principal.example:8443 HTTP/1.1\r\nHost: principal.example:8443\r\n\
             Proxy-Authorization: Basic dXNlcjp3b3Jk\r\n\r\n"
        );
    }

    #[tokio::test]
    async fn a_proxy_that_gives_none_is_told_with_its_cure_and_without_the_password() {
        let long: &'static str = Box::leak(format!("HTTP/1.1 200 {}", "x".repeat(LONGEST_HEAD)).into_boxed_str());
        for (says, told) in [
            ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "answers 407: it wants a login"),
            ("HTTP/1.0 502 Bad Gateway\r\n\r\n", "answers 502: it cannot reach the host"),
            ("HTTP/1.1 403 no\r\n\r\n", "answers 403: it must allow CONNECT"),
            ("SSH-2.0-OpenSSH\r\n", "does not answer as an HTTP proxy does"),
            ("HTTP/1.1 abc\r\n\r\n", "does not answer as an HTTP proxy does"),
            (long, "does not answer as an HTTP proxy does"),
            ("HTTP/1.1 200 OK\r\n", "broke off before it answered"),
            ("", "broke off before it answered"),
        ] {
            let (proxies, _tasks) = proxy(says, "user:s3cret@").await;
            let way = proxies.on_the_way_to("a.example", 1).unwrap();
            let error = way.connect("a.example", 1).await.unwrap_err();
            let text = Report(&error).to_string();
            assert!(text.contains(told) && !text.contains("s3cret"), "{told}: {text}");
        }
    }
}
