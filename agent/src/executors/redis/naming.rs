//! What Argo CD in this cluster calls what Argo CD at the principal calls otherwise.
//!
//! Only the application's namespace, the prefix and the compression are of one side alone. What the key is for, the
//! application's name, the part of a tree and the version stay. This cluster itself has one name, on either side.

use bytes::Bytes;
use common::{AgentKey, ClusterInfoKey, agent_key::Instance};

use crate::config::Compression;

/// How keys are written in this cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Naming {
    pub(super) namespaces: Namespaces,
    /// What stands before every key, of this operator's choice.
    pub(super) prefix: String,
    /// What Argo CD does here to what it keeps.
    pub(super) compression: Compression,
}

/// What becomes of an application's namespace on the way here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Namespaces {
    /// At the principal it names the agent; here every application is in the namespace of Argo CD.
    Agents,
    /// It is the same on both sides (`--destination-based-mapping`), and this one is that of Argo CD here.
    Kept(String),
}

/// A key as it is called here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LocalKey {
    pub(super) key: Bytes,
    pub(super) conversion: Conversion,
}

/// What has to become of a value that is kept here, for the one who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conversion {
    /// Nothing.
    None,
    /// It is kept plain, and asked for compressed.
    Compress,
    /// It is kept compressed, and asked for plain.
    Decompress,
}

/// A channel, as each side calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Channel {
    /// As it came, and as it goes back.
    pub(super) principals: Bytes,
    pub(super) local: Bytes,
}

// === impl Naming ===

impl Naming {
    /// What this key is called here; none where it is no agent's key, or with our prefix can be none.
    pub(super) fn key(&self, asked: &[u8]) -> Option<LocalKey> {
        let asked = AgentKey::parse(asked)?;
        let conversion = self.conversion(asked.gzip());
        let instance = self.instance(asked.instance());
        let local = asked.with_instance(instance).with_gzip(self.compresses()).with_prefix(&self.prefix)?;
        Some(LocalKey { key: local.to_string().into(), conversion })
    }

    /// What the key is called here that says how it stands with this cluster; none where it is not that key. The prefix
    /// is ours alone.
    pub(super) fn cluster_info(&self, asked: &[u8]) -> Option<LocalKey> {
        let asked = ClusterInfoKey::parse_in_cluster(asked)?;
        let conversion = self.conversion(asked.gzip());
        let local = asked.with_gzip(self.compresses());
        Some(LocalKey { key: format!("{}{local}", self.prefix).into(), conversion })
    }

    /// What this channel is called here; none where it is no agent's channel. Channels have no prefix.
    pub(super) fn channel(&self, asked: &[u8]) -> Option<Channel> {
        let key = AgentKey::parse(asked).filter(AgentKey::is_channel)?;
        let instance = self.instance(key.instance());
        let local = key.with_instance(instance).to_string().into();
        Some(Channel { principals: Bytes::copy_from_slice(asked), local })
    }

    fn compresses(&self) -> bool {
        self.compression == Compression::Gzip
    }

    fn conversion(&self, asked_compressed: bool) -> Conversion {
        match (asked_compressed, self.compresses()) {
            (true, false) => Conversion::Compress,
            (false, true) => Conversion::Decompress,
            (true, true) | (false, false) => Conversion::None,
        }
    }

    fn instance(&self, asked: &Instance) -> Instance {
        let is_own = match &self.namespaces {
            Namespaces::Agents => true,
            Namespaces::Kept(own) => asked.namespace() == Some(own),
        };
        let asked = asked.clone();
        if is_own { asked.without_namespace() } else { asked }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naming(namespaces: Namespaces, prefix: &str, compression: Compression) -> Naming {
        Naming { namespaces, prefix: prefix.to_owned(), compression }
    }

    fn local(naming: &Naming, asked: &str) -> String {
        String::from_utf8(naming.key(asked.as_bytes()).unwrap().key.to_vec()).unwrap()
    }

    #[test]
    fn the_namespace_that_names_the_agent_is_not_known_here() {
        let naming = naming(Namespaces::Agents, "", Compression::Gzip);
        for (asked, expected) in [
            ("app|resources-tree|agent-a_guestbook|1.8.3.gz", "app|resources-tree|guestbook|1.8.3.gz"),
            ("app|resources-tree|agent-a_guestbook|3|1.8.3.gz", "app|resources-tree|guestbook|3|1.8.3.gz"),
            ("app|managed-resources|guestbook|2.0.gz", "app|managed-resources|guestbook|2.0.gz"),
        ] {
            assert_eq!(local(&naming, asked), expected);
        }
    }

    #[test]
    fn where_namespaces_are_kept_only_our_own_is_dropped() {
        let naming = naming(Namespaces::Kept("argocd".to_owned()), "", Compression::Gzip);
        for (asked, expected) in [
            ("app|resources-tree|argocd_guestbook|1.8.3.gz", "app|resources-tree|guestbook|1.8.3.gz"),
            ("app|resources-tree|team-a_guestbook|1.8.3.gz", "app|resources-tree|team-a_guestbook|1.8.3.gz"),
            ("app|resources-tree|guestbook|1.8.3.gz", "app|resources-tree|guestbook|1.8.3.gz"),
        ] {
            assert_eq!(local(&naming, asked), expected);
        }
    }

    #[test]
    fn prefix_and_compression_are_those_of_this_side() {
        let (plain, gzip) = ("p:app|resources-tree|a_b|1.8.3", "p:app|resources-tree|a_b|1.8.3.gz");
        for (prefix, compression, asked, expected, conversion) in [
            ("", Compression::Gzip, gzip, "app|resources-tree|b|1.8.3.gz", Conversion::None),
            ("q-", Compression::Gzip, plain, "q-app|resources-tree|b|1.8.3.gz", Conversion::Decompress),
            ("q-", Compression::None, gzip, "q-app|resources-tree|b|1.8.3", Conversion::Compress),
            ("", Compression::None, plain, "app|resources-tree|b|1.8.3", Conversion::None),
        ] {
            let found = naming(Namespaces::Agents, prefix, compression).key(asked.as_bytes());
            assert_eq!(found, Some(LocalKey { key: expected.into(), conversion }), "{asked}");
        }
    }

    #[test]
    fn what_is_no_agents_key_is_called_nothing_here() {
        let naming = naming(Namespaces::Agents, &"p".repeat(4_000), Compression::Gzip);
        for asked in ["", "secret", "cluster|info|https://a|1.8.3.gz", "mfst|a_b|x|1.8.3.gz"] {
            assert_eq!(naming.key(asked.as_bytes()), None, "{asked}");
        }
        assert_eq!(naming.key(&[0xff; 100]), None);
        // With our prefix it would be too long to be one.
        let long = format!("app|resources-tree|a_{}|1.8.3", "n".repeat(200));
        assert_eq!(naming.key(long.as_bytes()), None);
    }

    #[test]
    fn of_all_clusters_only_this_one_has_a_name_here() {
        let own = "cluster|info|https://kubernetes.default.svc|1.8.3";
        let (plain, gzip) = (own.to_owned(), format!("{own}.gz"));
        for (compression, asked, expected, conversion) in [
            (Compression::Gzip, &gzip, &gzip, Conversion::None),
            (Compression::Gzip, &plain, &gzip, Conversion::Decompress),
            (Compression::None, &gzip, &plain, Conversion::Compress),
            (Compression::None, &plain, &plain, Conversion::None),
        ] {
            let found = naming(Namespaces::Agents, "q-", compression).cluster_info(asked.as_bytes());
            assert_eq!(found, Some(LocalKey { key: format!("q-{expected}").into(), conversion }), "{asked}");
        }
        let naming = naming(Namespaces::Agents, "q-", Compression::Gzip);
        for asked in ["cluster|info|https://a|1.8.3.gz", "q-cluster|info|https://kubernetes.default.svc|1.8.3.gz"] {
            assert_eq!(naming.cluster_info(asked.as_bytes()), None, "{asked}");
        }
        assert_eq!(naming.key(gzip.as_bytes()), None);
    }

    #[test]
    fn a_channel_keeps_its_name_for_the_way_back() {
        let naming = naming(Namespaces::Agents, "q-", Compression::Gzip);
        let asked = "app|managed-resources|a_b|1.8.3";
        let expected = Channel { principals: asked.into(), local: "app|managed-resources|b|1.8.3".into() };
        assert_eq!(naming.channel(asked.as_bytes()), Some(expected));
        for asked in ["new-revoked-token", "app|resources-tree|a_b|1.8.3", "app|managed-resources|a_b|1.8.3.gz"] {
            assert_eq!(naming.channel(asked.as_bytes()), None, "{asked}");
        }
    }
}
