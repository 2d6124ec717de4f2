//! What the Redis door needs.

use std::{net::SocketAddr, path::PathBuf};

use common::{
    config::{FlagError, values::given},
    redis::{Credentials, Endpoint, Login},
};

use crate::args::{Args, REDIS_CA_SECRET, RedisProxy};

/// The settings of the Redis door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisDoorConfig {
    /// Where callers connect.
    pub listen: SocketAddr,
    /// Who the door is for callers; `None` where it speaks plain TCP.
    pub tls: Option<KeyPairPaths>,
    /// The principal's own Redis.
    pub redis: RedisConfig,
    /// The longest argument of a command, in bytes.
    pub max_bulk: u64,
    /// The most arguments of a command.
    pub max_args: u32,
}

/// Where the parts of an identity are, both PEM. Nothing is asked of who is shown it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPairPaths {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// The private key of the chain's first certificate.
    pub key: PathBuf,
}

/// A Redis, and who we are to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisConfig {
    /// Host and port.
    pub address: String,
    /// How it is known by its certificate; `None` where it speaks plain TCP.
    pub tls: Option<RedisTls>,
    /// Where the login comes from.
    pub credentials: Credentials,
}

/// How the certificate of a Redis is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisTls {
    /// It is for the host that is dialled, and of one of these CAs.
    Verified {
        /// The CA certificates, PEM.
        ca: PathBuf,
    },
    /// Not at all; for experiments only.
    Insecure,
}

/// What the flags say; `None` when the door stays shut.
pub(super) fn redis_door(args: &Args) -> Result<Option<RedisDoorConfig>, FlagError> {
    let flags = &args.redis_proxy;
    if flags.disable_redis_proxy {
        return Ok(None);
    }
    let address = flags.redis_server_address.trim();
    Endpoint::parse(address, None).map_err(|error| FlagError::not_allowed("redis-server-address", address, error))?;
    // The shipped parameters name files even where TLS is off; only the switch counts.
    let (tls, redis_tls) = match flags.redis_tls_enabled {
        true => (Some(key_pair(flags)?), Some(verification(flags)?)),
        false => (None, None),
    };
    let redis = RedisConfig { address: address.to_owned(), tls: redis_tls, credentials: credentials(flags)? };
    Ok(Some(RedisDoorConfig {
        listen: flags.redis_proxy_listen,
        tls,
        redis,
        max_bulk: flags.redis_max_bulk,
        max_args: flags.redis_max_args,
    }))
}

fn credentials(flags: &RedisProxy) -> Result<Credentials, FlagError> {
    let password = flags.redis_password.as_ref().filter(|password| !password.reveal().is_empty());
    match (given(flags.redis_creds_dir_path.as_ref()), password) {
        (Some(directory), Some(_)) => {
            Err(FlagError::not_allowed("redis-creds-dir-path", directory, "must not be given beside --redis-password"))
        }
        (Some(directory), None) => Ok(Credentials::Directory(directory.into())),
        (None, Some(password)) => Ok(Credentials::Given(Login { user: None, password: password.clone() })),
        (None, None) => Ok(Credentials::None),
    }
}

fn key_pair(flags: &RedisProxy) -> Result<KeyPairPaths, FlagError> {
    let pair = "--redis-proxy-server-tls-cert and --redis-proxy-server-tls-key go together";
    let certificate = given(flags.redis_proxy_server_tls_cert.as_ref());
    match (certificate, given(flags.redis_proxy_server_tls_key.as_ref())) {
        (Some(certificate), Some(key)) => Ok(KeyPairPaths { certificate: certificate.into(), key: key.into() }),
        (Some(_), None) => Err(FlagError::missing(&["redis-proxy-server-tls-key"], pair)),
        (None, Some(_)) => Err(FlagError::missing(&["redis-proxy-server-tls-cert"], pair)),
        (None, None) => Err(FlagError::missing(
            &["redis-proxy-server-tls-cert", "redis-proxy-server-tls-key"],
            secret(&flags.redis_proxy_server_tls_secret_name),
        )),
    }
}

/// One of three, as upstream: a file, no verification, or a Secret, which counts once it is not the usual one.
fn verification(flags: &RedisProxy) -> Result<RedisTls, FlagError> {
    let ca = given(flags.redis_ca_path.as_ref());
    let other_secret = Some(flags.redis_ca_secret_name.trim()).filter(|name| *name != REDIS_CA_SECRET);
    match (ca, flags.redis_tls_insecure, other_secret) {
        (Some(ca), true, _) => {
            Err(FlagError::not_allowed("redis-ca-path", ca, "must not be given beside --redis-tls-insecure"))
        }
        (Some(ca), false, Some(_)) => {
            Err(FlagError::not_allowed("redis-ca-path", ca, "must not be given beside --redis-ca-secret-name"))
        }
        (None, true, Some(name)) => {
            Err(FlagError::not_allowed("redis-ca-secret-name", name, "must not be given beside --redis-tls-insecure"))
        }
        (Some(ca), false, None) => Ok(RedisTls::Verified { ca: ca.into() }),
        (None, true, None) => Ok(RedisTls::Insecure),
        (None, false, _) => Err(FlagError::missing(&["redis-ca-path"], secret(&flags.redis_ca_secret_name))),
    }
}

fn secret(name: &str) -> String {
    format!("loading from Secret {name:?} is not supported yet")
}
