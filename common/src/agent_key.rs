//! The keys of Argo CD's cache that hold what only the workload cluster knows: an application's resources and their tree.
//!
//! Whatever is no such key, byte for byte as Argo CD writes it, is none: not text, with a line's end, too long, or with
//! names that no object of Kubernetes has. A key that is one comes out again as it came in.

use std::{fmt, num::NonZeroU32};

/// `[prefix]app|managed-resources|<instance>|<version>[.gz]` or
/// `[prefix]app|resources-tree|<instance>[|<shard>]|<version>[.gz]` (Argo CD, `util/cache/appstate/cache.go` and
/// `util/cache/redis.go`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AgentKey {
    prefix: Box<str>,
    kind: KeyKind,
    instance: Instance,
    version: Box<str>,
    gzip: bool,
}

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// The live and the wished state of each resource. Its key is also the channel that says when a tree changes.
    ManagedResources,
    /// The tree, or one of the further parts of a large one.
    ResourcesTree(Option<NonZeroU32>),
}

/// An application, as an installation of Argo CD calls it: `<namespace>_<name>`, or its name alone where it is in the
/// installation's own namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Instance {
    namespace: Option<Box<str>>,
    name: Box<str>,
}

// === impl AgentKey ===

impl AgentKey {
    /// A key that is longer is none: its names are limited, and no operator needs such a prefix.
    pub const LONGEST: usize = 4 << 10;

    /// The only way in.
    #[must_use]
    pub fn parse(key: &[u8]) -> Option<Self> {
        // From the end: a prefix may hold anything, bars included. So at most five parts are looked at.
        let text = std::str::from_utf8(Some(key).filter(|key| key.len() <= Self::LONGEST)?).ok()?;
        if text.contains(char::is_control) {
            return None;
        }
        let (rest, version) = text.rsplit_once('|')?;
        let (version, gzip) = match version.strip_suffix(GZIP) {
            Some(version) => (version, true),
            None => (version, false),
        };
        if !is_version(version) {
            return None;
        }
        let (rest, last) = rest.rsplit_once('|')?;
        let (rest, before) = rest.rsplit_once('|')?;
        let (rest, instance, kind) = match before {
            MANAGED_RESOURCES if rest.ends_with(APP) => (rest, last, KeyKind::ManagedResources),
            RESOURCES_TREE if rest.ends_with(APP) => (rest, last, KeyKind::ResourcesTree(None)),
            instance => {
                let (rest, kind) = rest.rsplit_once('|')?;
                let shard = Some(shard(last)?).filter(|_| kind == RESOURCES_TREE)?;
                (rest, instance, KeyKind::ResourcesTree(Some(shard)))
            }
        };
        let prefix = rest.strip_suffix(APP)?;
        let instance = Instance::parse(instance)?;
        Some(Self { prefix: prefix.into(), kind, instance, version: version.into(), gzip })
    }

    /// What stands before, of the operator's choice (`ARGOCD_REDIS_KEY_PREFIX`).
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What it holds.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Of which application.
    #[must_use]
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// The version of what it holds. Those of two installations of Argo CD may differ.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether what it holds is compressed.
    #[must_use]
    pub fn gzip(&self) -> bool {
        self.gzip
    }

    /// Whether it is the name of a channel, too: those have no prefix and are not compressed.
    #[must_use]
    pub fn is_channel(&self) -> bool {
        self.prefix.is_empty() && !self.gzip && self.kind == KeyKind::ManagedResources
    }

    /// The same of an application that is called otherwise.
    #[must_use]
    pub fn with_instance(self, instance: Instance) -> Self {
        Self { instance, ..self }
    }

    /// The same where what is held is compressed, or is not.
    #[must_use]
    pub fn with_gzip(self, gzip: bool) -> Self {
        Self { gzip, ..self }
    }

    /// The same behind another prefix, if that can be one.
    #[must_use]
    pub fn with_prefix(self, prefix: &str) -> Option<Self> {
        let key = Self { prefix: prefix.into(), ..self };
        Self::parse(key.to_string().as_bytes())
    }
}

impl fmt::Display for AgentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { prefix, kind, instance, version, gzip } = self;
        write!(f, "{prefix}{APP}|")?;
        match kind {
            KeyKind::ManagedResources => write!(f, "{MANAGED_RESOURCES}|{instance}")?,
            KeyKind::ResourcesTree(None) => write!(f, "{RESOURCES_TREE}|{instance}")?,
            KeyKind::ResourcesTree(Some(shard)) => write!(f, "{RESOURCES_TREE}|{instance}|{shard}")?,
        }
        write!(f, "|{version}{}", if *gzip { GZIP } else { "" })
    }
}

// === impl Instance ===

impl Instance {
    /// Reads `<namespace>_<name>` or `<name>`. Neither holds another `_` (Argo CD, `util/argo/argo.go`,
    /// `ParseFromQualifiedName`).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (namespace, name) = match text.split_once('_') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, text),
        };
        let good = namespace.is_none_or(is_label) && is_subdomain(name);
        good.then(|| Self { namespace: namespace.map(Into::into), name: name.into() })
    }

    /// The namespace of the application, unless it is the installation's own.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The name of the application.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As an installation calls it that has the application in its own namespace.
    #[must_use]
    pub fn without_namespace(self) -> Self {
        Self { namespace: None, ..self }
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}_")?;
        }
        f.write_str(&self.name)
    }
}

/// The number of a further part: not 0, and as Go writes it.
fn shard(text: &str) -> Option<NonZeroU32> {
    let canonical = !text.starts_with(['0', '+']);
    text.parse().ok().filter(|_| canonical)
}

/// The version of what a key of Argo CD's cache holds.
pub(crate) fn is_version(text: &str) -> bool {
    let part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+');
    !text.is_empty() && text.len() <= MAX_VERSION && text.bytes().all(part) && !text.ends_with(GZIP)
}

/// A DNS-1123 label (`k8s.io/apimachinery/pkg/util/validation`).
fn is_label(text: &str) -> bool {
    text.len() <= MAX_LABEL && is_part(text)
}

/// A DNS-1123 subdomain: parts with dots between, and no limit for one of them (same file).
fn is_subdomain(text: &str) -> bool {
    text.len() <= MAX_SUBDOMAIN && text.split('.').all(is_part)
}

fn is_part(text: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends = bytes.first().is_some_and(alphanumeric) && bytes.last().is_some_and(alphanumeric);
    ends && bytes.iter().all(|byte| alphanumeric(byte) || *byte == b'-')
}

const APP: &str = "app";
const MANAGED_RESOURCES: &str = "managed-resources";
const RESOURCES_TREE: &str = "resources-tree";
pub(crate) const GZIP: &str = ".gz";

/// Kubernetes's limits (RFC 1123).
const MAX_LABEL: usize = 63;
const MAX_SUBDOMAIN: usize = 253;

/// Argo CD's are like `1.8.3`.
const MAX_VERSION: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(key: &str) -> Option<AgentKey> {
        AgentKey::parse(key.as_bytes())
    }

    #[test]
    fn keys_come_apart_and_together_again() {
        for text in [
            "app|managed-resources|agent-a_guestbook|1.8.3",
            "app|managed-resources|guestbook|1.8.3.gz",
            "app|resources-tree|agent-a_guest.book-2|1.8.3.gz",
            "app|resources-tree|agent-a_guestbook|12|1.8.3",
            "prefix|app|resources-tree|agent-a_guestbook|12|1.8.3",
            "ü:myapp|resources-tree|a_b|1.8.3",
            "app|resources-tree|5|1.8.3",
            "app|resources-tree|resources-tree|5|1.8.3",
            "app|resources-tree|app|resources-tree|5|1.8.3",
        ] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        let key = parse("x-app|resources-tree|agent-a_guestbook|12|1.8.3.gz").unwrap();
        assert_eq!((key.prefix(), key.version(), key.gzip()), ("x-", "1.8.3", true));
        assert_eq!(key.kind(), KeyKind::ResourcesTree(NonZeroU32::new(12)));
        assert_eq!((key.instance().namespace(), key.instance().name()), (Some("agent-a"), "guestbook"));
        // A shard of an application that is called as the kind is.
        let key = parse("app|resources-tree|resources-tree|5|1.8.3").unwrap();
        assert_eq!((key.prefix(), key.instance().name()), ("", "resources-tree"));
    }

    #[test]
    fn what_argo_cd_does_not_write_is_no_key() {
        for text in [
            "",
            "app",
            "app|managed-resources|x",
            "app|managed-resources||1.8.3",
            "app|managed-resources|_x|1.8.3",
            "app|managed-resources|a_|1.8.3",
            "app|managed-resources|a_b_c|1.8.3",
            "app|managed-resources|a.b_c|1.8.3",
            "app|managed-resources|A_b|1.8.3",
            "app|managed-resources|a b|1.8.3",
            "app|managed-resources|a..b|1.8.3",
            "app|managed-resources|a|1|1.8.3",
            "app|managed-resources|a|",
            "app|managed-resources|a|.gz",
            "app|managed-resources|a|1.8.3.gz.gz",
            "app|resources-tree|a|0|1.8.3",
            "app|resources-tree|a|01|1.8.3",
            "app|resources-tree|a|+1|1.8.3",
            "app|resources-tree|a|4294967296|1.8.3",
            "app|resources-tree|a|1|2|1.8.3",
            "ap|resources-tree|a|1.8.3",
            "app|resources-tree|a\r\n|1.8.3",
            "a\nb|app|resources-tree|a|1.8.3",
            "mfst|app.kubernetes.io/instance|a_b|rev|ns|1|1.8.3",
            "cluster|info|https://a|1.8.3",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
        assert_eq!(AgentKey::parse(b"\xffapp|resources-tree|a|1.8.3"), None);
        assert_eq!(AgentKey::parse(&vec![b'|'; 1_000_000]), None);
        assert_eq!(AgentKey::parse(&[0xff; 5_000]), None);
    }

    #[test]
    fn names_are_as_long_as_kubernetes_allows() {
        let key = |namespace: usize, name: usize, prefix: usize| {
            let (prefix, namespace, name) = ("p".repeat(prefix), "n".repeat(namespace), "m".repeat(name));
            parse(&format!("{prefix}app|resources-tree|{namespace}_{name}|1.8.3")).is_some()
        };
        assert!(key(63, 253, 3_000));
        assert!(!key(64, 253, 0));
        assert!(!key(63, 254, 0));
        assert!(!key(63, 253, AgentKey::LONGEST));
    }

    #[test]
    fn a_key_is_rewritten_part_by_part() {
        let key = parse("app|resources-tree|agent-a_guestbook|1|1.8.3").unwrap();
        let instance = key.instance().clone().without_namespace();
        let key = key.with_instance(instance).with_gzip(true).with_prefix("p:").unwrap();
        assert_eq!(key.to_string(), "p:app|resources-tree|guestbook|1|1.8.3.gz");
        assert_eq!(key.clone().with_prefix("\r\n"), None);
        assert_eq!(key.with_prefix(&"p".repeat(AgentKey::LONGEST)), None);
    }

    #[test]
    fn a_channel_has_neither_prefix_nor_compression() {
        assert!(parse("app|managed-resources|a_b|1.8.3").unwrap().is_channel());
        assert!(!parse("app|managed-resources|a_b|1.8.3.gz").unwrap().is_channel());
        assert!(!parse("p|app|managed-resources|a_b|1.8.3").unwrap().is_channel());
        assert!(!parse("app|resources-tree|a_b|1.8.3").unwrap().is_channel());
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_alike(text in "(app|resources-tree|managed-resources|[a-z_.]{0,3}|[0-9]|\\||1.8.3|.gz|\\PC){0,12}") {
            if let Some(key) = parse(&text) {
                prop_assert_eq!(key.to_string(), text);
            }
        }

        #[test]
        fn what_is_written_is_read_alike(
            prefix in "\\PC{0,5}(app\\|resources-tree\\|)?", namespace in "([a-z0-9]{1,5}_)?",
            name in "[a-z0-9]{1,4}([.-][a-z0-9])?|app|resources-tree", shard in "(\\|[1-9])?", gzip in "(\\.gz)?",
        ) {
            let tree = format!("{prefix}app|resources-tree|{namespace}{name}{shard}|1.8.3{gzip}");
            let key = parse(&tree).unwrap();
            prop_assert_eq!(key.prefix(), prefix.as_str());
            prop_assert_eq!(key.instance().name(), name.as_str());
            prop_assert_eq!(key.to_string(), tree);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(AgentKey::parse(&bytes), None);
        }
    }
}
