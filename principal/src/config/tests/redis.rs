//! The Redis door, and the Redis behind it.

use super::*;

#[test]
fn the_redis_door_is_as_its_flags_say() {
    assert_eq!(with(&["--disable-redis-proxy", "--redis-server-address=nowhere"]).unwrap().redis_door, None);
    let door = |flags: &[&str]| with(flags).unwrap().redis_door.unwrap();
    let plain = door(&[
        "--redis-proxy-listen=[::1]:0",
        "--redis-server-address=10.0.0.1:7000",
        "--redis-creds-dir-path=/creds",
        "--redis-compression-type=none",
        "--redis-max-bulk=1048576",
        "--redis-max-args=16",
    ]);
    let expected = RedisDoorConfig {
        listen: "[::1]:0".parse().unwrap(),
        tls: None,
        redis: RedisConfig {
            address: "10.0.0.1:7000".into(),
            tls: None,
            credentials: Credentials::Directory("/creds".into()),
            compression: Compression::None,
        },
        max_bulk: 1 << 20,
        max_args: 16,
    };
    assert_eq!(plain, expected);

    let pair = ["--redis-tls-enabled", "--redis-proxy-server-tls-cert=/crt", "--redis-proxy-server-tls-key=/key"];
    let verified = door(&[&pair[..], &["--redis-ca-path=/ca"]].concat());
    assert_eq!(verified.tls, Some(IdentitySource::Files { certificate: "/crt".into(), key: "/key".into() }));
    assert_eq!(verified.redis.tls, Some(RedisTls::Verified { ca: RootsSource::File("/ca".into()) }));
    let usual_secret = ["--redis-tls-insecure", "--redis-ca-secret-name=argocd-redis-tls"];
    assert_eq!(door(&[&pair[..], &usual_secret].concat()).redis.tls, Some(RedisTls::Insecure));
    // Of no effect without the switch, whatever they say.
    let off = door(&["--redis-ca-path=/ca", "--redis-tls-insecure", "--redis-proxy-server-tls-key=/key"]);
    assert_eq!((off.tls, off.redis.tls), (None, None));
    let empty = door(&["--redis-password=", "--redis-creds-dir-path="]);
    assert_eq!(empty.redis.credentials, Credentials::None);
}

#[test]
fn contradictions_of_the_redis_door_are_one_line_each() {
    let pair = ["--redis-tls-enabled", "--redis-proxy-server-tls-cert=/crt", "--redis-proxy-server-tls-key=/key"];
    let line_of_pair = |flags: &[&str]| line_with(&[&pair[..], flags].concat());
    assert_eq!(
        line_with(&["--redis-tls-enabled"]),
        "--redis-proxy-server-tls-cert and --redis-proxy-server-tls-key are not given: \
         loading from Secret \"argocd-redis-proxy-tls\" needs the control plane's Kubernetes API: \
         give --kubeconfig outside of a Pod there"
    );
    let together = "--redis-proxy-server-tls-cert and --redis-proxy-server-tls-key go together";
    assert_eq!(line_with(&pair[..2]), format!("--redis-proxy-server-tls-key is not given: {together}"));
    assert_eq!(line_with(&[pair[0], pair[2]]), format!("--redis-proxy-server-tls-cert is not given: {together}"));
    for (flags, expected) in [
        (
            &["--redis-ca-path=/ca", "--redis-tls-insecure"][..],
            r#"--redis-ca-path: "/ca" is not allowed: must not be given beside --redis-tls-insecure"#,
        ),
        (
            &["--redis-ca-path=/ca", "--redis-ca-secret-name=mine"],
            r#"--redis-ca-path: "/ca" is not allowed: must not be given beside --redis-ca-secret-name"#,
        ),
        (
            &["--redis-ca-secret-name=mine", "--redis-tls-insecure"],
            r#"--redis-ca-secret-name: "mine" is not allowed: must not be given beside --redis-tls-insecure"#,
        ),
    ] {
        assert_eq!(line_of_pair(flags), expected);
    }
    assert_eq!(
        line_with(&["--redis-creds-dir-path=/creds", "--redis-password=hunter2"]),
        r#"--redis-creds-dir-path: "/creds" is not allowed: must not be given beside --redis-password"#
    );
    let address = line_with(&["--redis-server-address=redis"]);
    assert!(address.starts_with(r#"--redis-server-address: "redis" is not allowed: must be a host and a port"#));
}

#[test]
fn no_password_is_shown() {
    let config = with(&["--redis-password=hunter2"]).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(!format!("{:?}", Args::from_flags(["--redis-password=hunter2"]).unwrap()).contains("hunter2"));
}
