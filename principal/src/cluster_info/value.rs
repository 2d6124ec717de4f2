//! What is written: Argo CD's `ClusterInfo` (`pkg/apis/application/v1alpha1/types.go`), as Go's encoder writes it.

use common::{AgentName, redis::Compression};
use jiff::Timestamp;
use serde::Serialize;

use super::figures::{Figures, gzip};

/// How it stands with the cluster of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing<'a> {
    /// The agent is attached. What is known of the cluster is what it has last told.
    Attached(Option<&'a Figures>),
    /// It is not, so nothing is known.
    Away,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ClusterInfo<'a> {
    connection_state: ConnectionState,
    #[serde(skip_serializing_if = "str::is_empty")]
    server_version: &'a str,
    cache_info: CacheInfo,
    applications_count: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    api_versions: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConnectionState {
    status: &'static str,
    message: String,
    attempted_at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CacheInfo {
    resources_count: i64,
    apis_count: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_cache_sync_time: Option<String>,
}

// === impl Standing ===

impl Standing<'_> {
    /// What Argo CD reads, said at that time. The words are upstream's, so that whoever looks for them finds them.
    pub(super) fn value(self, agent: &AgentName, at: Timestamp, compression: Compression) -> Vec<u8> {
        let nothing = Figures::default();
        let (status, is, figures) = match self {
            Self::Attached(figures) => ("Successful", "connected", figures.unwrap_or(&nothing)),
            Self::Away => ("Failed", "disconnected", &nothing),
        };
        let info = ClusterInfo {
            connection_state: ConnectionState {
                status,
                message: format!("Agent: '{agent}' is {is} with principal"),
                attempted_at: time(at),
            },
            server_version: &figures.server_version,
            cache_info: CacheInfo {
                resources_count: figures.resources,
                apis_count: figures.apis,
                last_cache_sync_time: figures.synced.map(time),
            },
            applications_count: figures.applications,
            api_versions: figures.api_versions.texts(),
        };
        let mut text = serde_json::to_vec(&info).expect("texts and numbers are JSON");
        text.push(b'\n');
        match compression {
            Compression::Gzip => gzip(&text),
            Compression::None => text,
        }
    }
}

/// As Kubernetes writes times: whole seconds, UTC (RFC 3339).
fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(standing: Standing<'_>) -> String {
        let agent = AgentName::parse("agent-1").unwrap();
        let at = "2026-11-21T20:00:00.999Z".parse().unwrap();
        let plain = standing.value(&agent, at, Compression::None);
        let mut unpacked = String::new();
        let packed = standing.value(&agent, at, Compression::Gzip);
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&*packed), &mut unpacked).unwrap();
        assert_eq!(unpacked.as_bytes(), plain);
        unpacked
    }

    #[test]
    fn an_agent_that_is_away_is_so_in_upstreams_words() {
        let expected = concat!(
            r#"{"connectionState":{"status":"Failed","message":"Agent: 'agent-1' is disconnected with principal","#,
            r#""attemptedAt":"2026-11-21T20:00:00Z"},"cacheInfo":{"resourcesCount":0,"apisCount":0},"applicationsCount":0}"#,
            "\n"
        );
        assert_eq!(text(Standing::Away), expected);
    }

    #[test]
    fn an_agent_that_is_attached_has_what_it_told() {
        let expected =
            r#"{"connectionState":{"status":"Successful","message":"Agent: 'agent-1' is connected with principal","#;
        assert!(text(Standing::Attached(None)).starts_with(expected));
        let told = json!({
            "serverVersion": "v1.34.1",
            "cacheInfo": {"resourcesCount": 419, "apisCount": 68, "lastCacheSyncTime": "2026-11-21T21:00:00+02:00"},
            "applicationsCount": 7,
            "apiVersions": ["apps/v1"],
        });
        let figures = Figures::parse(&gzip(told.to_string().as_bytes())).unwrap();
        let rest = concat!(
            r#""serverVersion":"v1.34.1","cacheInfo":{"resourcesCount":419,"apisCount":68,"#,
            r#""lastCacheSyncTime":"2026-11-21T19:00:00Z"},"applicationsCount":7,"apiVersions":["apps/v1"]}"#,
            "\n"
        );
        assert!(text(Standing::Attached(Some(&figures))).ends_with(rest));
    }
}
