//! What the Redis door needs.

use std::net::SocketAddr;

use common::{
    config::{FlagError, values::given},
    redis::{Compression, Credentials, Endpoint, Login},
    tls::{IdentitySource, RootsKey, RootsSource},
};

use super::tls::{PairFlags, Reader};
use crate::args::{Args, REDIS_CA_SECRET, RedisProxy};

/// The settings of the Redis door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisDoorConfig {
    /// Where callers connect.
    pub listen: SocketAddr,
    /// Who the door is for callers; `None` where it speaks plain TCP.
    pub tls: Option<IdentitySource>,
    /// The principal's own Redis.
    pub redis: RedisConfig,
    /// The longest argument of a command, in bytes.
    pub max_bulk: u64,
    /// The most arguments of a command.
    pub max_args: u32,
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
    /// How Argo CD compresses what it keeps there.
    pub compression: Compression,
}

/// How the certificate of a Redis is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisTls {
    /// It is for the host that is dialled, and of one of these CAs.
    Verified {
        /// The CA certificates.
        ca: RootsSource,
    },
    /// Not at all; for experiments only.
    Insecure,
}

/// What the flags say; `None` when the door stays shut.
pub(super) fn redis_door(args: &Args, reader: Reader) -> Result<Option<RedisDoorConfig>, FlagError> {
    let flags = &args.redis_proxy;
    if flags.disable_redis_proxy {
        return Ok(None);
    }
    let address = flags.redis_server_address.trim();
    Endpoint::parse(address, None).map_err(|error| FlagError::not_allowed("redis-server-address", address, error))?;
    // The shipped parameters name files even where TLS is off; only the switch counts.
    let (tls, redis_tls) = match flags.redis_tls_enabled {
        true => (Some(key_pair(flags, reader)?), Some(verification(flags, reader)?)),
        false => (None, None),
    };
    let redis = RedisConfig {
        address: address.to_owned(),
        tls: redis_tls,
        credentials: credentials(flags)?,
        compression: flags.redis_compression_type,
    };
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

fn key_pair(flags: &RedisProxy, reader: Reader) -> Result<IdentitySource, FlagError> {
    reader.identity(&PairFlags {
        certificate: (&["redis-proxy-server-tls-cert"], flags.redis_proxy_server_tls_cert.as_ref()),
        key: (&["redis-proxy-server-tls-key"], flags.redis_proxy_server_tls_key.as_ref()),
        paths: &["redis-proxy-server-tls-cert", "redis-proxy-server-tls-key"],
        secret: ("redis-proxy-server-tls-secret-name", &flags.redis_proxy_server_tls_secret_name),
    })
}

/// One of three, as upstream: a file, no verification, or a Secret, which counts once it is not the usual one.
fn verification(flags: &RedisProxy, reader: Reader) -> Result<RedisTls, FlagError> {
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
        (None, true, None) => Ok(RedisTls::Insecure),
        (Some(_), false, None) | (None, false, _) => {
            let secret = ("redis-ca-secret-name", flags.redis_ca_secret_name.as_str());
            let ca = reader.roots(&["redis-ca-path"], flags.redis_ca_path.as_ref(), secret, RootsKey::Beside)?;
            Ok(RedisTls::Verified { ca })
        }
    }
}
