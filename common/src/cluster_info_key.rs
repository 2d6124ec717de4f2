//! The keys of Argo CD's cache that hold how it stands with a cluster: the principal writes them for each agent, and reads
//! what the agent's own Argo CD says of the cluster that it runs in.

use std::{fmt, sync::Arc};

use crate::agent_key::{GZIP, is_version};

/// `cluster|info|<server>|<version>[.gz]` (Argo CD, `util/cache/appstate/cache.go` and `util/cache/redis.go`), without the
/// prefix that an operator may choose.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClusterInfoKey {
    server: Arc<str>,
    version: Arc<str>,
    gzip: bool,
}

// === impl ClusterInfoKey ===

impl ClusterInfoKey {
    /// By the address that Argo CD knows the cluster by, without slashes at its end.
    #[must_use]
    pub fn new(server: Arc<str>, gzip: bool) -> Self {
        Self { server, version: VERSION.into(), gzip }
    }

    /// Of the cluster in which an Argo CD itself runs.
    #[must_use]
    pub fn in_cluster(gzip: bool) -> Self {
        Self::new(IN_CLUSTER.into(), gzip)
    }

    /// Whether what it holds is compressed.
    #[must_use]
    pub fn gzip(&self) -> bool {
        self.gzip
    }

    /// The one key of these that may be read of an agent: that of its own cluster.
    #[must_use]
    pub fn parse_in_cluster(key: &[u8]) -> Option<Self> {
        let rest = std::str::from_utf8(key).ok()?.strip_prefix(START)?.strip_prefix(IN_CLUSTER)?.strip_prefix('|')?;
        let (version, gzip) = match rest.strip_suffix(GZIP) {
            Some(version) => (version, true),
            None => (rest, false),
        };
        is_version(version).then(|| Self { server: IN_CLUSTER.into(), version: version.into(), gzip })
    }

    /// The same where what is held is compressed, or is not.
    #[must_use]
    pub fn with_gzip(self, gzip: bool) -> Self {
        Self { gzip, ..self }
    }
}

impl fmt::Display for ClusterInfoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, version, gzip } = self;
        write!(f, "{START}{server}|{version}{}", if *gzip { GZIP } else { "" })
    }
}

const START: &str = "cluster|info|";

/// Argo CD's name for its own cluster (`KubernetesInternalAPIServerAddr`).
const IN_CLUSTER: &str = "https://kubernetes.default.svc";

/// Argo CD's `common.CacheVersion`, which it raises when what it keeps changes its form. It is the same from Argo CD 2.14
/// to 3.6. One with another neither finds what the principal writes, nor is found by what it asks for.
const VERSION: &str = "1.8.3";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_as_argo_cd_writes_it() {
        let key = |gzip| ClusterInfoKey::new("https://proxy:9090?agentName=a".into(), gzip).to_string();
        assert_eq!(key(true), "cluster|info|https://proxy:9090?agentName=a|1.8.3.gz");
        assert_eq!(key(false), "cluster|info|https://proxy:9090?agentName=a|1.8.3");
    }

    #[test]
    fn of_an_agent_only_the_key_of_its_own_cluster_may_be_read() {
        let own = "cluster|info|https://kubernetes.default.svc|";
        for (version, gzip) in [("1.8.3", false), ("1.8.3.gz", true), ("2.0", false)] {
            let key = ClusterInfoKey::parse_in_cluster(format!("{own}{version}").as_bytes()).unwrap();
            assert_eq!((key.to_string(), key.gzip()), (format!("{own}{version}"), gzip));
        }
        let own = ClusterInfoKey::in_cluster(true);
        assert_eq!(ClusterInfoKey::parse_in_cluster(own.to_string().as_bytes()), Some(own));
        for text in [
            "",
            "cluster|info|https://kubernetes.default.svc",
            "cluster|info|https://kubernetes.default.svc|",
            "cluster|info|https://kubernetes.default.svc|.gz",
            "cluster|info|https://kubernetes.default.svc|1|1.8.3",
            "cluster|info|https://kubernetes.default.svc|1.8.3.gz.gz",
            "cluster|info|https://kubernetes.default.svc/|1.8.3",
            "cluster|info|https://other|1.8.3",
            "p-cluster|info|https://kubernetes.default.svc|1.8.3",
            "Cluster|info|https://kubernetes.default.svc|1.8.3",
            "cluster|info|https://kubernetes.default.svc|1.8.3\r\n",
        ] {
            assert_eq!(ClusterInfoKey::parse_in_cluster(text.as_bytes()), None, "{text}");
        }
    }
}
