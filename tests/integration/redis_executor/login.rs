//! Who the agent is to its Redis.

use common::{
    auth::Secret,
    config::TlsVersions,
    redis::Login,
    tls::{Roots, Verification, client_config},
};
use harness::{pki::Ca, process};

use super::*;

fn given(user: Option<&str>, password: &str) -> Credentials {
    Credentials::Given(Login { user: user.map(str::to_owned), password: Secret::new(password) })
}

#[tokio::test]
async fn a_wrong_password_is_told_in_redis_words_at_once_and_the_right_one_counts_without_a_restart() {
    let redis = Redis::start(&["--requirepass", "one"]).await;
    let folder = tempfile::tempdir().unwrap();
    let password = |text: &str| std::fs::write(folder.path().join("auth"), text).unwrap();
    password("wrong");
    let site = Site::with(&redis, |options| options.redis.credentials = Credentials::Directory(folder.path().into()));
    let mut pipe = site.pipe();
    let refused = r"-ERR Redis refused the login: WRONGPASS invalid username-password pair or user is disabled.\r\n";
    for _ in 0..3 {
        assert_eq!(tokio::time::timeout(AT_ONCE, pipe.ask(&["GET", TREE])).await.unwrap(), refused);
    }
    assert_eq!(pipe.ask(&["SUBSCRIBE", CHANNEL]).await, refused);
    password("one\n");
    harness::eventually("the login counts", async || (pipe.ask(&["GET", TREE]).await == r"$-1\r\n").then_some(()))
        .await;

    // The connections that there are go on; one that is new needs the new one.
    let mut direct = Pipe::direct(&redis).await;
    direct.ask(&["AUTH", "one"]).await;
    direct.ask(&["CONFIG", "SET", "requirepass", "two"]).await;
    password("two\n");
    assert_eq!(pipe.ask(&["GET", TREE]).await, r"$-1\r\n");
    direct.ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    assert_eq!(pipe.ask(&["GET", TREE]).await, r"$-1\r\n");
    std::fs::remove_file(folder.path().join("auth")).unwrap();
    direct.ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    assert_eq!(pipe.ask(&["GET", TREE]).await, r"-ERR there are no credentials for Redis\r\n");
}

#[tokio::test]
async fn no_password_where_one_is_needed_is_told() {
    let redis = Redis::start(&["--requirepass", "one"]).await;
    let site = Site::new(&redis);
    let mut pipe = site.pipe();
    let expected = r"-ERR Redis refused the command: NOAUTH Authentication required.\r\n";
    assert_eq!(pipe.ask(&["GET", TREE]).await, expected);
    assert_eq!(pipe.ask(&["SUBSCRIBE", CHANNEL]).await, expected);
}

#[tokio::test]
async fn a_user_that_may_not_read_is_told_so_and_the_pipe_goes_on() {
    let user = ["--user", "agent", "on", ">pw", "~*", "&*", "+ttl", "+subscribe"];
    let redis = Redis::start(&user).await;
    let site = Site::with(&redis, |options| options.redis.credentials = given(Some("agent"), "pw"));
    let mut pipe = site.pipe();
    for (key, command) in [(TREE, "get"), (PLAIN_TREE, "multi")] {
        let told = pipe.ask(&["GET", key]).await;
        let expected = format!(
            r"-ERR Redis refused the command: NOPERM this user has no permissions to run the '{command}' command\r\n"
        );

        assert_eq!(told, expected);
        assert_eq!(pipe.ask(&["TTL", TREE]).await, r":-2\r\n");
    }
    assert!(pipe.ask(&["SUBSCRIBE", CHANNEL]).await.starts_with(r"*3\r\n$9\r\nsubscribe"));
    assert_eq!(site.metric(r#"commands_total{command="get",outcome="error"}"#), 2);
    // It was one connection all the time, and one for the subscription.
    assert_eq!(site.metric(r#"connects_total{outcome="connected"}"#), 2);
}

#[tokio::test]
async fn a_user_that_may_not_listen_is_told_so() {
    let user = ["--user", "agent", "on", ">pw", "~*", "&other", "+@all"];
    let redis = Redis::start(&user).await;
    let site = Site::with(&redis, |options| options.redis.credentials = given(Some("agent"), "pw"));
    let mut pipe = site.pipe();
    let told = pipe.ask(&["SUBSCRIBE", CHANNEL]).await;
    assert!(told.starts_with("-ERR Redis refused the command: NOPERM"), "{told}");
    assert_eq!(pipe.ask(&["GET", TREE]).await, r"$-1\r\n");
}

#[tokio::test]
async fn a_database_that_is_not_there_is_told() {
    let redis = Redis::start(&[]).await;
    let site = Site::with(&redis, |options| options.redis.database = 99);
    let mut pipe = site.pipe();
    let expected = r"-ERR Redis refused database 99: ERR DB index is out of range\r\n";
    assert_eq!(pipe.ask(&["GET", TREE]).await, expected);
}

#[tokio::test]
async fn tls_is_spoken_and_verified() {
    let (folder, ca, port) = (tempfile::tempdir().unwrap(), Ca::new(), process::port());
    let (certificate, key) = ca.server().write(folder.path(), "redis");
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let redis = Redis::start(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        certificate,
        "--tls-key-file",
        key,
        "--tls-auth-clients",
        "no",
        "--tls-ca-cert-file",
        certificate,
    ])
    .await;
    let value = vec![b'x'; 3 << 20];
    Pipe::direct(&redis).await.set(LOCAL_TREE, &value).await;
    let authority = harness::pki::write(folder.path(), "ca.crt", &ca.pem());
    let other = harness::pki::write(folder.path(), "other.crt", &Ca::new().pem());
    let at = |verification: Verification| {
        let tls = client_config(None, verification, TlsVersions::TLS13, &[]).unwrap();
        Site::at(&format!("localhost:{port}"), |options| options.tls = Some(tls.into()))
    };
    let of = |path: &std::path::Path| Verification::Roots(Roots::from_file(path).unwrap());
    for tls in [of(&authority), Verification::Insecure] {
        let site = at(tls);
        let mut pipe = site.pipe();
        pipe.say(&["GET", TREE]).await;
        assert!(string(&pipe.reply().await.unwrap()) == value);
        let expected = format!(r"*3\r\n$9\r\nsubscribe\r\n$45\r\n{CHANNEL}\r\n:1\r\n");
        assert_eq!(pipe.ask(&["SUBSCRIBE", CHANNEL]).await, expected);
    }
    let site = at(of(&other));
    let told = site.pipe().ask(&["GET", TREE]).await;
    let expected = "-ERR cannot reach Redis: the TLS handshake failed: invalid peer certificate";
    assert!(told.starts_with(expected), "{told}");
}
