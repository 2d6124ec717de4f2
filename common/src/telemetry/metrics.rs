//! The metrics of a process: one registry, filled by the parts that move the metrics, printed for whoever scrapes.
//!
//! Names are `argocd_agent_<part>_<noun>_<unit>[_total]`; `prometheus-client` appends `_total` to counters itself. Labels
//! are enums or agent names. Exemplars are not used: the classic format has none.

use std::fmt::Write as _;

use http::{HeaderMap, header::ACCEPT};
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{family::Family, gauge::Gauge},
    registry,
};

use super::{lines, process::Process};
use crate::build_info;

/// All metrics of a process.
#[derive(Debug)]
pub struct Registry {
    root: registry::Registry,
}

/// In which of its two dialects Prometheus is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposition {
    /// The text format that every scraper understands.
    Classic,
    /// What Prometheus prefers.
    OpenMetrics,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
    git_revision: &'static str,
}

// === impl Registry ===

impl Registry {
    /// A registry with the metrics of the build and of the process.
    #[must_use]
    pub fn new() -> Self {
        let mut root = registry::Registry::default();
        let build = Family::<BuildLabels, Gauge>::default();
        build.get_or_create(&BuildLabels { version: build_info::VERSION, git_revision: build_info::COMMIT }).set(1);
        root.sub_registry_with_prefix(PREFIX).register("build_info", "Which build this is, always 1", build);
        let log = root.sub_registry_with_prefix(format!("{PREFIX}_log"));
        log.register("lines_lost", "Lines of the log that nobody read in time", lines::LOST.clone());
        root.register_collector(Box::new(Process));
        Self { root }
    }

    /// Where a part registers its metrics: `part` is in their names.
    pub fn part(&mut self, part: &str) -> &mut registry::Registry {
        self.root.sub_registry_with_prefix(format!("{PREFIX}_{part}"))
    }

    /// All metrics as text.
    #[must_use]
    pub fn encode(&self, exposition: Exposition) -> String {
        let mut open_metrics = String::new();
        text::encode(&mut open_metrics, &self.root).expect("writing to a string does not fail");
        match exposition {
            Exposition::Classic => classic(&open_metrics),
            Exposition::OpenMetrics => open_metrics,
        }
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Exposition ===

impl Exposition {
    /// What a scraper wants, by its `Accept` headers: OpenMetrics if it asks for that and does not prefer plain text.
    #[must_use]
    pub fn negotiate(headers: &HeaderMap) -> Self {
        let (mut open_metrics, mut plain) = (0.0, 0.0);
        for value in headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()) {
            for range in value.split(',') {
                let (media, parameters) = range.split_once(';').unwrap_or((range, ""));
                let wanted: &mut f32 = match media.trim() {
                    media if media.eq_ignore_ascii_case("application/openmetrics-text") => &mut open_metrics,
                    media if media.eq_ignore_ascii_case("text/plain") => &mut plain,
                    _ => continue,
                };
                *wanted = wanted.max(quality(parameters));
            }
        }
        if open_metrics > 0.0 && open_metrics >= plain { Self::OpenMetrics } else { Self::Classic }
    }

    /// The `Content-Type` of an answer.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// RFC 9110 section 12.4.2; what is not a number counts as 1, like what is not there.
fn quality(parameters: &str) -> f32 {
    let values = parameters.split(';').filter_map(|parameter| parameter.trim().strip_prefix("q="));
    values.filter_map(|value| value.parse().ok()).next().unwrap_or(1.0)
}

/// Rewrites OpenMetrics as the older text format. There the `# TYPE` of a counter bears the name of its samples,
/// `_total` included (else the scraper takes them for untyped), the kinds `info` and `unknown` do not exist (a line
/// with them is an error), and nothing marks unit or end.
fn classic(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map(|(_, help)| help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            if let Some(help) = help.take() {
                let _ = writeln!(text, "# HELP {name}{suffix} {help}");
            }
            let _ = writeln!(text, "# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// Before every metric of ours; those of the process have names of their own.
const PREFIX: &str = "argocd_agent";

#[cfg(test)]
mod tests {
    use prometheus_client::{
        metrics::{counter::Counter, histogram::Histogram, info::Info},
        registry::Unit,
    };

    use super::*;

    fn registry() -> Registry {
        let mut registry = Registry::new();
        let part = registry.part("kube");
        let requests = Counter::<u64>::default();
        requests.inc_by(3);
        part.register("requests", "Requests taken", requests);
        let duration = Histogram::new([0.1]);
        duration.observe(0.05);
        part.register_with_unit("duration", "How long they took", Unit::Seconds, duration);
        part.register("features", "What is on", Info::new([("filter", "on")]));
        registry
    }

    #[test]
    fn classic_text_is_what_a_plain_prometheus_reads() {
        let text = registry().encode(Exposition::Classic);
        let expected = "\
            # HELP argocd_agent_kube_requests_total Requests taken.\n\
            # TYPE argocd_agent_kube_requests_total counter\n\
            argocd_agent_kube_requests_total 3\n\
            # HELP argocd_agent_kube_duration_seconds How long they took.\n\
            # TYPE argocd_agent_kube_duration_seconds histogram\n\
            argocd_agent_kube_duration_seconds_sum 0.05\n\
            argocd_agent_kube_duration_seconds_count 1\n\
            argocd_agent_kube_duration_seconds_bucket{le=\"0.1\"} 1\n\
            argocd_agent_kube_duration_seconds_bucket{le=\"+Inf\"} 1\n\
            # HELP argocd_agent_kube_features_info What is on.\n\
            # TYPE argocd_agent_kube_features_info gauge\n\
            argocd_agent_kube_features_info{filter=\"on\"} 1\n";
        assert!(text.contains(expected), "{text}");
        assert!(!text.contains("# EOF") && !text.contains("# UNIT"), "{text}");
    }

    #[test]
    fn open_metrics_ends_as_it_must() {
        let text = registry().encode(Exposition::OpenMetrics);
        assert!(text.contains("# TYPE argocd_agent_kube_requests counter\nargocd_agent_kube_requests_total 3\n"));
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn build_and_process_are_always_there() {
        let text = Registry::new().encode(Exposition::Classic);
        let build = format!(
            "argocd_agent_build_info{{version=\"{}\",git_revision=\"{}\"}} 1\n",
            build_info::VERSION,
            build_info::COMMIT
        );
        assert!(text.contains(&build), "{text}");
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().parse().unwrap()
        };
        assert!(value("process_resident_memory_bytes ") > 100_000.0);
        assert!(value("process_cpu_seconds_total ") >= 0.0);
    }

    #[test]
    fn the_scraper_chooses_the_dialect() {
        let negotiate = |accept: &[&str]| {
            let headers = accept.iter().map(|value| (ACCEPT, value.parse().unwrap())).collect();
            Exposition::negotiate(&headers)
        };
        assert_eq!(negotiate(&[]), Exposition::Classic);
        assert_eq!(negotiate(&["*/*"]), Exposition::Classic);
        assert_eq!(negotiate(&["text/plain;version=0.0.4;q=1,*/*;q=0.1"]), Exposition::Classic);
        assert_eq!(negotiate(&["application/openmetrics-text;q=0"]), Exposition::Classic);
        assert_eq!(negotiate(&["application/openmetrics-text;q=0.2, text/plain"]), Exposition::Classic);
        assert_eq!(negotiate(&["text/plain;q=0.5", "application/openmetrics-text"]), Exposition::OpenMetrics);
        // Prometheus 3.
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert_eq!(negotiate(&[prometheus]), Exposition::OpenMetrics);
    }
}
