//! Connections and logins at real Redis servers, plain and within TLS.

use std::{net::Ipv4Addr, sync::Arc};

use common::{
    Report,
    auth::Secret,
    config::TlsVersions,
    redis::{ConnectError, Credentials, Endpoint, Login, LoginError, Stream, login, select},
    tls::{ClientParts, Materials, Pem, Roots, RootsSource, Verification, What, client_config},
};
use harness::{pki::Ca, process, redis::Redis};
use rustls::ClientConfig;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A server that speaks plainly on one port and TLS on another.
struct Secured {
    _redis: Redis,
    _folder: TempDir,
    ca: Ca,
    port: u16,
}

impl Secured {
    async fn start() -> Self {
        let (folder, ca, port) = (tempfile::tempdir().unwrap(), Ca::new(), process::port());
        let (certificate, key) = ca.server().write(folder.path(), "redis");
        let redis = Redis::start(&[
            "--tls-port",
            &port.to_string(),
            "--tls-cert-file",
            certificate.to_str().unwrap(),
            "--tls-key-file",
            key.to_str().unwrap(),
            "--tls-auth-clients",
            "no",
            "--tls-ca-cert-file",
            certificate.to_str().unwrap(),
        ])
        .await;
        Self { _redis: redis, _folder: folder, ca, port }
    }

    fn endpoint(&self, host: &str, verification: Verification) -> Endpoint {
        Endpoint::parse(&format!("{host}:{}", self.port), Some(tls(verification).into())).unwrap()
    }
}

fn tls(verification: Verification) -> Arc<ClientConfig> {
    client_config(None, verification, TlsVersions::TLS13, &[]).unwrap()
}

fn roots(ca: &Ca) -> Verification {
    Verification::Roots(Roots::from_pem(&Pem::new("ca", ca.pem())).unwrap())
}

fn given(user: Option<&str>, password: &str) -> Credentials {
    Credentials::Given(Login { user: user.map(str::to_owned), password: Secret::new(password) })
}

fn plain(redis: &Redis) -> Endpoint {
    Endpoint::parse(&redis.address().to_string(), None).unwrap()
}

/// What Redis says to a command.
async fn said(stream: &mut Stream, command: &str) -> String {
    stream.write_all(command.as_bytes()).await.unwrap();
    let mut answer = [0; 256];
    let read = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

async fn logged_in(redis: &Redis, credentials: &Credentials) -> Result<Stream, LoginError> {
    let mut stream = plain(redis).connect().await.unwrap();
    login(&mut stream, credentials).await.map(|()| stream)
}

#[tokio::test]
async fn a_login_opens_the_server_and_a_wrong_one_is_told_in_its_words() {
    let reader = ["--user", "reader", "on", ">word", "~*", "+@read"];
    let redis = Redis::start(&[&["--requirepass", "secret"], &reader[..]].concat()).await;
    for credentials in [given(None, "secret"), given(Some("default"), "secret"), given(Some("reader"), "word")] {
        let mut stream = logged_in(&redis, &credentials).await.unwrap();
        assert_eq!(said(&mut stream, "GET x\r\n").await, "$-1\r\n");
        assert!(stream.is_quiet());
    }
    let expected = "Redis refused the login: WRONGPASS invalid username-password pair or user is disabled.";
    for credentials in [given(None, "other"), given(Some("nobody"), "secret"), given(Some("reader"), "")] {
        assert_eq!(logged_in(&redis, &credentials).await.unwrap_err().to_string(), expected);
    }
    // Nobody says anything, and Redis judges what comes next.
    let mut stream = logged_in(&redis, &Credentials::None).await.unwrap();
    assert_eq!(said(&mut stream, "GET x\r\n").await, "-NOAUTH Authentication required.\r\n");
}

#[tokio::test]
async fn a_password_where_none_is_needed_is_told() {
    let redis = Redis::start(&[]).await;
    let error = logged_in(&redis, &given(None, "secret")).await.unwrap_err().to_string();
    assert!(error.starts_with("Redis refused the login: ERR AUTH <password> called without any password"), "{error}");
}

#[tokio::test]
async fn a_password_that_has_changed_in_its_file_counts_at_the_next_login() {
    let redis = Redis::start(&["--requirepass", "one"]).await;
    let folder = tempfile::tempdir().unwrap();
    let credentials = Credentials::Directory(folder.path().to_owned());
    assert!(matches!(logged_in(&redis, &credentials).await, Err(LoginError::Credentials(_))));
    std::fs::write(folder.path().join("auth"), "one\n").unwrap();
    let mut stream = logged_in(&redis, &credentials).await.unwrap();
    assert_eq!(said(&mut stream, "CONFIG SET requirepass two\r\n").await, "+OK\r\n");
    assert!(matches!(logged_in(&redis, &credentials).await, Err(LoginError::Refused(_))));
    std::fs::write(folder.path().join("auth"), "two\n").unwrap();
    assert!(logged_in(&redis, &credentials).await.is_ok());
}

#[tokio::test]
async fn another_database_is_selected_if_there_is_one() {
    let redis = Redis::start(&[]).await;
    let mut stream = plain(&redis).connect().await.unwrap();
    assert_eq!(said(&mut stream, "SET x 1\r\n").await, "+OK\r\n");
    select(&mut stream, 7).await.unwrap();
    assert_eq!(said(&mut stream, "GET x\r\n").await, "$-1\r\n");
    let error = select(&mut stream, 99).await.unwrap_err();
    assert_eq!(error.to_string(), "Redis refused database 99: ERR DB index is out of range");
}

#[tokio::test]
async fn within_tls_the_certificate_has_to_be_good_for_the_host() {
    let redis = Secured::start().await;
    for host in ["localhost", &Ipv4Addr::LOCALHOST.to_string()] {
        let mut stream = redis.endpoint(host, roots(&redis.ca)).connect().await.unwrap();
        assert_eq!(said(&mut stream, "PING\r\n").await, "+PONG\r\n");
        assert!(stream.is_quiet());
    }
    let mut stream = redis.endpoint("localhost", Verification::Insecure).connect().await.unwrap();
    assert_eq!(said(&mut stream, "PING\r\n").await, "+PONG\r\n");

    let error = redis.endpoint("localhost", roots(&Ca::new())).connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls(_)), "{}", Report(&error));
    assert!(error.reason().starts_with("the TLS handshake failed: invalid peer certificate"), "{}", error.reason());
    let error = redis.endpoint("127.0.0.2", roots(&redis.ca)).connect().await.unwrap_err();
    // It may not listen there at all.
    assert!(matches!(error, ConnectError::Tls(_) | ConnectError::Tcp(_)), "{}", Report(&error));
}

#[tokio::test]
async fn tls_where_none_is_spoken_fails_in_time() {
    let redis = Redis::start(&[]).await;
    let tls = tls(Verification::Insecure);
    let error = Endpoint::parse(&redis.address().to_string(), Some(tls.into())).unwrap().connect().await.unwrap_err();
    // Redis waits for the end of what it takes for a line.
    assert!(matches!(error, ConnectError::Timeout | ConnectError::Tls(_)), "{}", Report(&error));
}

#[tokio::test]
async fn an_authority_that_changes_counts_for_the_next_connection() {
    let redis = Secured::start().await;
    let folder = tempfile::tempdir().unwrap();
    let bundle = harness::pki::write(folder.path(), "ca.crt", &Ca::new().pem());
    let (_signal, watch) = common::drain::channel();
    let materials = Materials::new(Arc::default(), None, &mut prometheus_client::registry::Registry::default(), watch);
    let source = RootsSource::File(bundle.clone());
    let roots = Some((What::RedisCa, &source));
    let parts = ClientParts { identity: None, roots, versions: TlsVersions::TLS13, alpn: &[] };
    let tls = materials.client(parts).await.unwrap();
    let endpoint = Endpoint::parse(&format!("localhost:{}", redis.port), Some(tls)).unwrap();
    assert!(matches!(endpoint.connect().await, Err(ConnectError::Tls(_))));
    std::fs::write(&bundle, redis.ca.pem()).unwrap();
    let mut first = harness::eventually("the right one counts", async || endpoint.connect().await.ok()).await;
    std::fs::write(&bundle, Ca::new().pem()).unwrap();
    harness::eventually("another one counts", async || endpoint.connect().await.is_err().then_some(())).await;
    // What stands is not asked again.
    assert_eq!(said(&mut first, "PING\r\n").await, "+PONG\r\n");
}
