//! Where a Redis is, and how it is dialled.

use std::{
    fmt, io,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use super::Stream;
use crate::tls::ClientTls;

/// A Redis that can be dialled. Cheap to clone.
#[derive(Clone)]
pub struct Endpoint(Arc<Inner>);

struct Inner {
    /// Without brackets.
    host: String,
    port: u16,
    tls: Option<Tls>,
}

struct Tls {
    config: ClientTls,
    /// What its certificate has to be for.
    name: ServerName<'static>,
}

/// What an address has to be. The text is what would have been allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a host and a port, such as argocd-redis:6379, 10.0.0.1:6379 or [::1]:6379")]
pub struct EndpointError;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nothing was heard in time.
    #[error("no connection within {} s", DEADLINE.as_secs())]
    Timeout,
    /// No TCP connection.
    #[error("no TCP connection")]
    Tcp(#[source] io::Error),
    /// No TLS session.
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
}

// === impl Endpoint ===

impl Endpoint {
    /// Reads `host:port`, where the host is a name, an IPv4 address, or an IPv6 address in brackets. With `tls` its
    /// certificate is to be for that host; each connection has what `tls` is when it is made.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(address: &str, tls: Option<ClientTls>) -> Result<Self, EndpointError> {
        let (host, port) = address.trim().rsplit_once(':').ok_or(EndpointError)?;
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse::<u16>().ok().filter(|port| digits && *port > 0).ok_or(EndpointError)?;
        let name = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => IpAddr::from(address.parse::<Ipv6Addr>().map_err(|_| EndpointError)?).into(),
            // Without brackets nobody knows where an IPv6 address ends.
            None if host.contains(':') => return Err(EndpointError),
            None => ServerName::try_from(host).map_err(|_| EndpointError)?.to_owned(),
        };
        let host = host.trim_matches(['[', ']']).to_owned();
        let tls = tls.map(|config| Tls { config, name });
        Ok(Self(Arc::new(Inner { host, port, tls })))
    }

    /// Connects, within 5 s. Small writes leave at once, and a peer that has vanished is noticed within a minute.
    ///
    /// # Errors
    /// When there is no connection.
    ///
    /// # Cancel safety
    /// Dropping the future drops the connection.
    pub async fn connect(&self) -> Result<Stream, ConnectError> {
        timeout(DEADLINE, self.dial()).await.map_err(|_elapsed| ConnectError::Timeout)?
    }

    async fn dial(&self) -> Result<Stream, ConnectError> {
        let Inner { host, port, tls } = &*self.0;
        let tcp = TcpStream::connect((host.as_str(), *port)).await.map_err(ConnectError::Tcp)?;
        prepare(&tcp).map_err(ConnectError::Tcp)?;
        let Some(tls) = tls else { return Ok(Stream::Plain(tcp)) };
        let connector = TlsConnector::from(tls.config.current());
        let stream = connector.connect(tls.name.clone(), tcp).await.map_err(ConnectError::Tls)?;
        Ok(Stream::Tls(Box::new(stream)))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { host, port, .. } = &*self.0;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self}, tls: {})", self.0.tls.is_some())
    }
}

// === impl ConnectError ===

impl ConnectError {
    /// The reason in a few words and without an address, for a stranger who asked for something that needs the Redis.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Timeout => self.to_string(),
            // An error of the system has its kind; any other, such as a name that is not found, is a text of its own.
            Self::Tcp(error) if error.raw_os_error().is_some() => error.kind().to_string(),
            Self::Tcp(error) => error.to_string(),
            Self::Tls(error) => format!("{self}: {error}"),
        }
    }
}

fn prepare(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(IDLE).with_interval(PROBE).with_retries(PROBES);
    SockRef::from(tcp).set_tcp_keepalive(&keepalive)
}

/// As long as go-redis, and no longer than an agent's whole answer may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// When TCP asks a silent peer whether it is there, how often again, and how many times: as go-redis.
const IDLE: Duration = Duration::from_secs(30);
const PROBE: Duration = Duration::from_secs(5);
const PROBES: u32 = 3;

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for text in
            ["argocd-redis:6379", "redis.argocd.svc.cluster.local:1", "10.0.0.1:65535", "[::1]:6379", "r_1:6379"]
        {
            assert_eq!(Endpoint::parse(text, None).unwrap().to_string(), text);
        }
        assert_eq!(Endpoint::parse(" redis:6379\n", None).unwrap().to_string(), "redis:6379");
        for bad in [
            "",
            ":",
            "redis",
            "redis:",
            ":6379",
            "redis:0",
            "redis:65536",
            "redis:+1",
            "redis:-1",
            "redis:http",
            "::1:6379",
            "[::1]",
            "[::1:6379",
            "[redis]:6379",
            "[10.0.0.1]:6379",
            "re dis:6379",
            "redis://redis:6379",
            "user@redis:6379",
            "redis:6379/0",
        ] {
            assert!(Endpoint::parse(bad, None).is_err(), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn a_connection_sends_small_writes_at_once_and_asks_whether_its_peer_is_there() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::parse(&listener.local_addr().unwrap().to_string(), None).unwrap();
        let Stream::Plain(tcp) = endpoint.connect().await.unwrap() else { panic!("it is not plain") };
        assert!(tcp.nodelay().unwrap());
        assert!(SockRef::from(&tcp).keepalive().unwrap());
    }

    #[tokio::test]
    async fn who_refuses_is_told_in_a_few_words() {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let error = Endpoint::parse(&format!("127.0.0.1:{port}"), None).unwrap().connect().await.unwrap_err();
        assert_eq!(error.reason(), "connection refused");
        let error = Endpoint::parse("no-such-host.invalid:6379", None).unwrap().connect().await.unwrap_err();
        assert!(error.reason().starts_with("failed to lookup address"), "{}", error.reason());
    }
}
