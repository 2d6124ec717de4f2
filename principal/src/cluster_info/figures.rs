//! What an agent's own Argo CD says of its cluster: version, APIs, and how much there is of what.
//!
//! An agent is not trusted: what it says may be about its own cluster alone, has a bound, and whatever it is, Argo CD
//! can read what is written of it.

use std::io::{self, Read, Write};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use jiff::Timestamp;
use serde::Deserialize;

/// What is known of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Figures {
    /// The version of its API server.
    pub(super) server_version: Box<str>,
    /// Resources that its Argo CD watches.
    pub(super) resources: i64,
    /// APIs that it watches them by.
    pub(super) apis: i64,
    /// When it has last listed them all.
    pub(super) synced: Option<Timestamp>,
    /// Its Applications.
    pub(super) applications: i64,
    pub(super) api_versions: Packed,
}

/// Texts like `apps/v1` and `apps/v1/Deployment`. Compressed: a cluster has up to thousands of them, and there are
/// thousands of clusters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Packed(Box<[u8]>);

/// It is nothing that an Argo CD says of a cluster.
#[derive(Debug, thiserror::Error)]
pub(super) enum Nonsense {
    #[error("it is no gzip")]
    Gzip(#[source] io::Error),
    #[error("it is longer than {LONGEST} bytes")]
    TooLong,
    #[error("it is not what Argo CD says of a cluster")]
    Json(#[source] serde_json::Error),
}

/// As much of Argo CD's `ClusterInfo` (`pkg/apis/application/v1alpha1/types.go`) as is taken over.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Told {
    server_version: String,
    cache_info: CacheInfo,
    applications_count: i64,
    api_versions: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct CacheInfo {
    resources_count: i64,
    apis_count: i64,
    last_cache_sync_time: Option<String>,
}

// === impl Figures ===

impl Figures {
    /// Reads what an agent's Redis holds, which is compressed.
    ///
    /// # Errors
    /// When it makes no sense.
    pub(super) fn parse(compressed: &[u8]) -> Result<Self, Nonsense> {
        let mut text = Vec::new();
        let most = LONGEST as u64 + 1;
        GzDecoder::new(compressed).take(most).read_to_end(&mut text).map_err(Nonsense::Gzip)?;
        if text.len() > LONGEST {
            return Err(Nonsense::TooLong);
        }
        let told: Told = serde_json::from_slice(&text).map_err(Nonsense::Json)?;
        let version = Some(told.server_version).filter(|version| version.len() <= LONGEST_VERSION);
        Ok(Self {
            server_version: version.unwrap_or_default().into(),
            resources: told.cache_info.resources_count.max(0),
            apis: told.cache_info.apis_count.max(0),
            // A time that Go cannot read would make Argo CD read nothing of the cluster at all.
            synced: told.cache_info.last_cache_sync_time.and_then(|time| time.parse().ok()),
            applications: told.applications_count.max(0),
            api_versions: Packed::of(&told.api_versions.unwrap_or_default()),
        })
    }
}

// === impl Packed ===

impl Packed {
    fn of(texts: &[String]) -> Self {
        if texts.is_empty() {
            return Self::default();
        }
        let text = serde_json::to_vec(texts).expect("texts are JSON");
        Self(gzip(&text).into())
    }

    pub(super) fn texts(&self) -> Vec<String> {
        // Of our own making, so it can be read; nothing is nothing.
        serde_json::from_reader(GzDecoder::new(&*self.0)).unwrap_or_default()
    }
}

/// One gzip member.
pub(super) fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).and_then(|()| encoder.finish()).expect("a vector takes all bytes")
}

/// What is taken of an agent. A cluster with a hundred operators has some 100 KiB, most of which are names of APIs.
pub(super) const LONGEST: usize = 1 << 20;

/// Kubernetes's are like `v1.34.1-gke.1234000`.
const LONGEST_VERSION: usize = 128;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(text: &str) -> Result<Figures, Nonsense> {
        Figures::parse(&gzip(text.as_bytes()))
    }

    #[test]
    fn what_argo_cd_says_is_taken_over() {
        let told = json!({
            "connectionState": {"status": "Successful", "message": "", "attemptedAt": "2026-11-21T20:00:00Z"},
            "serverVersion": "v1.34.1",
            "cacheInfo": {"resourcesCount": 419, "apisCount": 68, "lastCacheSyncTime": "2026-11-21T19:00:00Z"},
            "applicationsCount": 7,
            "apiVersions": ["apps/v1", "apps/v1/Deployment"],
        });
        let figures = parse(&told.to_string()).unwrap();
        assert_eq!(&*figures.server_version, "v1.34.1");
        assert_eq!((figures.resources, figures.apis, figures.applications), (419, 68, 7));
        assert_eq!(figures.synced.unwrap().to_string(), "2026-11-21T19:00:00Z");
        assert_eq!(figures.api_versions.texts(), ["apps/v1", "apps/v1/Deployment"]);
    }

    #[test]
    fn what_is_missing_or_cannot_be_is_nothing() {
        assert_eq!(parse("{}\n").unwrap(), Figures::default());
        let told = json!({
            "serverVersion": "v".repeat(200),
            "cacheInfo": {"resourcesCount": -1, "lastCacheSyncTime": "yesterday"},
            "applicationsCount": -5,
            "apiVersions": null,
        });
        assert_eq!(parse(&told.to_string()).unwrap(), Figures::default());
        assert_eq!(Figures::default().api_versions.texts(), Vec::<String>::new());
    }

    #[test]
    fn nonsense_is_told_and_costs_no_memory() {
        assert!(matches!(Figures::parse(b""), Err(Nonsense::Gzip(_))));
        assert!(matches!(Figures::parse(b"{}"), Err(Nonsense::Gzip(_))));
        for text in ["", "null", "7", r#"{"applicationsCount": 1.5}"#, r#"{"serverVersion": 1}"#] {
            assert!(matches!(parse(text), Err(Nonsense::Json(_))), "{text}");
        }
        assert!(matches!(parse(&"[".repeat(10_000)), Err(Nonsense::Json(_))));
        let bomb = gzip(&vec![b' '; 100 << 20]);
        assert!(matches!(Figures::parse(&bomb), Err(Nonsense::TooLong)));
    }

    #[test]
    fn thousands_of_apis_are_held_in_little_memory() {
        let texts: Vec<_> = (0..2_000).map(|number| format!("group-{number}.example.com/v1/Kind{number}")).collect();
        let packed = Packed::of(&texts);
        assert!(packed.0.len() < 20_000, "{}", packed.0.len());
        assert_eq!(packed.texts(), texts);
    }
}
