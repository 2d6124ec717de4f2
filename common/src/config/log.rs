//! What is logged and how, from `--log-level` and `--log-format`; `telemetry::logging` makes a subscriber of it.

use super::FlagError;

/// The settings of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// Comma-separated directives as `tracing_subscriber` reads them: one for everybody else's modules, one for each
    /// crate of ours, then those of single components.
    pub directives: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines: one object a line.
    Json,
}

// === impl LogConfig ===

impl LogConfig {
    /// Reads a list of `level` and `component=level`; of two for the same, the later wins.
    ///
    /// # Errors
    /// When an item names no level or no component.
    pub fn parse(levels: &[String], format: LogFormat) -> Result<Self, FlagError> {
        let mut all = "info";
        let mut single = Vec::new();
        for item in levels.iter().map(|item| item.trim()).filter(|item| !item.is_empty()) {
            let refuse = |allowed| FlagError::not_allowed("log-level", item, allowed);
            match item.split_once('=') {
                None => all = level(item).ok_or_else(|| refuse(ALLOWED_LEVELS))?,
                Some((component, of_component)) => {
                    let of_component = level(of_component).ok_or_else(|| refuse(ALLOWED_LEVELS))?;
                    let modules = modules(component).ok_or_else(|| refuse(ALLOWED_COMPONENTS))?;
                    single.extend(modules.iter().map(|module| format!(",{module}={of_component}")));
                }
            }
        }
        // What our dependencies say is for us, not for the operator, unless everything is asked for.
        let others = match all {
            "error" => "error",
            "trace" => "debug",
            _ => "warn",
        };
        let mut directives = others.to_owned();
        if others != "debug" {
            // What goes wrong with a watch we tell ourselves, once; kube-rs tells it each time, bodies included.
            directives.push_str(",kube_client=error,kube_client::client::builder=off,kube_runtime=error");
        }
        for krate in OURS {
            directives.push_str(&format!(",{krate}={all}"));
        }
        directives.extend(single);
        Ok(Self { directives, format })
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self::parse(&[], LogFormat::Text).expect("no items, so none that is wrong")
    }
}

/// The level in `tracing`'s words; case does not matter, as in logrus.
fn level(text: &str) -> Option<&'static str> {
    ["trace", "debug", "info", "warn", "error"].into_iter().find(|level| level.eq_ignore_ascii_case(text))
}

/// The modules that do what a component of upstream does.
fn modules(component: &str) -> Option<&'static [&'static str]> {
    match component {
        "resource-proxy" => Some(&["principal::doors::kube", "agent::executors::kube", "audit"]),
        "redis-proxy" => Some(&["principal::doors::redis", "agent::executors::redis"]),
        "grpc-event" => Some(&["common::tunnel", "principal::agents", "agent::link", "agent::dispatch"]),
        // Part of the synchronisation of Applications, which is not done here.
        "informer-event-buffer" => Some(&[]),
        _ => None,
    }
}

/// Our crates, the binary's by its file name, and the audit's lines.
const OURS: [&str; 5] = ["argocd_agent", "common", "principal", "agent", "audit"];

const ALLOWED_LEVELS: &str = "must be [component=]level with a level of trace, debug, info, warn, error";
const ALLOWED_COMPONENTS: &str =
    "must be a level, or name a component of resource-proxy, redis-proxy, grpc-event, informer-event-buffer";

#[cfg(test)]
mod tests {
    use tracing_subscriber::filter::Targets;

    use super::*;

    fn filter(levels: &[&str]) -> Targets {
        let levels: Vec<_> = levels.iter().map(|level| (*level).to_owned()).collect();
        LogConfig::parse(&levels, LogFormat::Text).unwrap().directives.parse().unwrap()
    }

    #[test]
    fn a_level_is_for_our_crates_and_dependencies_stay_quiet() {
        use tracing::Level;
        for (levels, module, level, shown) in [
            (&[][..], "principal::doors::kube", Level::INFO, true),
            (&[], "principal::doors::kube", Level::DEBUG, false),
            (&[], "audit", Level::INFO, true),
            (&["warn"], "audit", Level::INFO, false),
            (&["warn", "resource-proxy=info"], "audit", Level::INFO, true),
            (&["debug"], "agent::link::run", Level::DEBUG, true),
            (&["DEBUG"], "agent::link::run", Level::DEBUG, true),
            (&["debug"], "h2::proto", Level::INFO, false),
            (&["info"], "h2::proto", Level::WARN, true),
            (&["info"], "kube_runtime::watcher", Level::WARN, false),
            (&["info"], "kube_client::client::builder", Level::ERROR, false),
            (&["error"], "kube_client::client::builder", Level::ERROR, false),
            (&["trace"], "kube_runtime::watcher", Level::WARN, true),
            (&["error"], "h2::proto", Level::WARN, false),
            (&["trace"], "h2::proto", Level::DEBUG, true),
            (&["warn", "resource-proxy=trace"], "agent::executors::kube::filter", Level::TRACE, true),
            (&["resource-proxy=trace", "warn"], "agent::executors::kube::filter", Level::TRACE, true),
            (&["warn", "resource-proxy=trace"], "agent::link", Level::INFO, false),
            (&["grpc-event=error"], "principal::agents::service", Level::WARN, false),
            (&["grpc-event=error"], "principal::principal", Level::INFO, true),
            (&["grpc-event=error", "grpc-event=debug"], "agent::dispatch", Level::DEBUG, true),
        ] {
            assert_eq!(filter(levels).would_enable(module, &level), shown, "{levels:?} {module} {level}");
        }
    }

    #[test]
    fn every_component_of_upstream_is_known_and_no_other() {
        for component in ["resource-proxy", "redis-proxy", "grpc-event", "informer-event-buffer"] {
            filter(&[&format!("{component}=debug")]);
        }
        let refused = |item: &str| LogConfig::parse(&[item.to_owned()], LogFormat::Json).unwrap_err().to_string();
        assert_eq!(refused("loud"), format!(r#"--log-level: "loud" is not allowed: {ALLOWED_LEVELS}"#));
        assert_eq!(refused("grpc-event=x"), format!(r#"--log-level: "grpc-event=x" is not allowed: {ALLOWED_LEVELS}"#));
        assert_eq!(refused("grpc=info"), format!(r#"--log-level: "grpc=info" is not allowed: {ALLOWED_COMPONENTS}"#));
    }
}
