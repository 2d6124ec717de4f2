//! How the Redis of Argo CD in this cluster is reached.

use common::{
    auth::Secret,
    config::{FlagError, values::given},
    redis::{Compression, Credentials, Endpoint, Login},
    tls::{RootsKey, RootsSource},
};

use super::secret;
use crate::args::Args;

/// How to reach the Redis of Argo CD, and how Argo CD writes in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisConfig {
    /// Host and port.
    pub address: String,
    /// Whether TLS is spoken.
    pub tls: RedisTls,
    /// Who we are to it.
    pub credentials: Credentials,
    /// The number of the database.
    pub database: u32,
    /// What stands before every key.
    pub key_prefix: String,
    /// How values are compressed.
    pub compression: Compression,
}

/// Whether a Redis speaks TLS, and whose word about it we take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisTls {
    /// It does not.
    Off,
    /// That of these CA certificates.
    Verified(RootsSource),
    /// Anybody's; for experiments only.
    Insecure,
}

pub(super) fn redis(args: &Args) -> Result<RedisConfig, FlagError> {
    let usual = Args::from_flags([]).expect("the defaults are allowed").redis;
    let redis = &args.redis;
    let address = given(Some(&redis.redis_addr)).unwrap_or(&usual.redis_addr).to_owned();
    Endpoint::parse(&address, None).map_err(|error| FlagError::not_allowed("redis-addr", &*address, error))?;

    let user = given(redis.redis_username.as_ref()).map(str::to_owned);
    let password = redis.redis_password.clone().filter(|password| !password.reveal().is_empty());
    let credentials = match (given(redis.redis_creds_dir_path.as_ref()), user, password) {
        (None, None, None) => Credentials::None,
        (None, user, password) => {
            Credentials::Given(Login { user, password: password.unwrap_or_else(|| Secret::new("")) })
        }
        (Some(directory), None, None) => Credentials::Directory(directory.into()),
        // As upstream: which of the two would count, nobody could tell.
        (Some(directory), ..) => {
            let allowed = "must be the only source of the login: not beside --redis-username or --redis-password";
            return Err(FlagError::not_allowed("redis-creds-dir-path", directory, allowed));
        }
    };

    let tls = match given(redis.redis_tls_ca_path.as_ref()) {
        _ if !redis.redis_tls_enabled => RedisTls::Off,
        _ if redis.redis_tls_insecure => RedisTls::Insecure,
        Some(path) => RedisTls::Verified(RootsSource::File(path.into())),
        None => {
            let name = secret("redis-tls-ca-secret-name", &redis.redis_tls_ca_secret_name)?;
            RedisTls::Verified(RootsSource::Secret { name, key: RootsKey::Beside })
        }
    };

    let key_prefix = redis.redis_key_prefix.clone().unwrap_or_default();
    if key_prefix.len() > LONGEST_KEY_PREFIX || key_prefix.contains(char::is_control) {
        let allowed = "must be at most 3 KiB of text without control characters";
        return Err(FlagError::not_allowed("redis-key-prefix", key_prefix, allowed));
    }
    Ok(RedisConfig {
        address,
        tls,
        credentials,
        database: redis.redis_db,
        key_prefix,
        compression: redis.redis_compression_type,
    })
}

/// Behind it there is room for the longest names that an application's key has.
const LONGEST_KEY_PREFIX: usize = 3 << 10;

#[cfg(test)]
mod tests {
    use common::tls::InvalidSecretName;

    use super::*;
    use crate::config::tests::*;

    #[test]
    fn redis_is_where_and_as_it_is_said_to_be() {
        let redis = |flags: &[&str]| with(flags).unwrap().redis;
        let config = redis(&[
            "--redis-addr=[::1]:6380",
            "--redis-db=3",
            "--redis-key-prefix=p-",
            "--redis-compression-type=none",
            "--redis-tls-enabled",
            "--redis-tls-ca-path=/ca",
            "--redis-creds-dir-path=/creds",
        ]);
        assert_eq!((config.address.as_str(), config.database, config.key_prefix.as_str()), ("[::1]:6380", 3, "p-"));
        assert_eq!(config.compression, Compression::None);
        assert_eq!(config.tls, RedisTls::Verified(RootsSource::File("/ca".into())));
        assert_eq!(config.credentials, Credentials::Directory("/creds".into()));

        let tls = |flag| redis(&["--redis-tls-enabled", "--redis-tls-insecure", flag]).tls;
        assert_eq!(
            (tls("--redis-tls-ca-path="), tls("--redis-tls-ca-path=/ca")),
            (RedisTls::Insecure, RedisTls::Insecure)
        );
        assert_eq!(redis(&["--redis-addr="]).address, "argocd-redis:6379");
        for (flags, expected) in [
            (&["--redis-password=", "--redis-username=", "--redis-creds-dir-path="][..], Credentials::None),
            (&["--redis-password=pw"], given_login(None, "pw")),
            (&["--redis-username=u", "--redis-password=pw"], given_login(Some("u"), "pw")),
            (&["--redis-username=u"], given_login(Some("u"), "")),
        ] {
            assert_eq!(redis(flags).credentials, expected);
        }
    }

    #[test]
    fn what_is_said_of_redis_has_to_fit_together() {
        let address = "must be a host and a port, such as argocd-redis:6379, 10.0.0.1:6379 or [::1]:6379";
        let prefix = "must be at most 3 KiB of text without control characters";
        let login = "must be the only source of the login: not beside --redis-username or --redis-password";
        for (flags, expected) in [
            (&["--redis-addr=redis"][..], format!(r#"--redis-addr: "redis" is not allowed: {address}"#)),
            (&["--redis-key-prefix=a\nb"], format!(r#"--redis-key-prefix: "a\nb" is not allowed: {prefix}"#)),
            (
                &["--redis-creds-dir-path=/c", "--redis-password=hunter2"],
                format!(r#"--redis-creds-dir-path: "/c" is not allowed: {login}"#),
            ),
            (
                &["--redis-creds-dir-path=/c", "--redis-username=u"],
                format!(r#"--redis-creds-dir-path: "/c" is not allowed: {login}"#),
            ),
            (
                &["--redis-tls-enabled", "--redis-tls-ca-secret-name=A"],
                format!(r#"--redis-tls-ca-secret-name: "A" is not allowed: {InvalidSecretName}"#),
            ),
        ] {
            assert_eq!(line_with(flags), expected);
        }
        // What is not spoken needs no certificates.
        assert_eq!(with(&["--redis-tls-ca-secret-name=other"]).unwrap().redis.tls, RedisTls::Off);
    }

    #[test]
    fn behind_the_longest_prefix_there_is_room_for_the_longest_names() {
        let key = format!("app|resources-tree|{}_{}|4294967295|{}.gz", "n".repeat(63), "m".repeat(253), "1".repeat(32));
        let key = common::AgentKey::parse(key.as_bytes()).unwrap();
        let prefix = "p".repeat(LONGEST_KEY_PREFIX);
        assert!(key.with_prefix(&prefix).is_some());
        assert!(with(&[&format!("--redis-key-prefix={prefix}")]).is_ok());
        assert!(with(&[&format!("--redis-key-prefix={prefix}p")]).is_err());
    }
}
