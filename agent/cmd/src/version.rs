//! `argocd-agent version`, with upstream's flags and, where they mean the same, its keys.

use clap::ValueEnum;
use common::{build_info, tunnel::limits};
use serde::Serialize;

use crate::cli::NAME;

#[derive(Debug, clap::Args)]
pub(crate) struct VersionArgs {
    /// Print the version number only
    #[arg(long, short)]
    short: bool,

    /// How to print it
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
    Yaml,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Build {
    name: &'static str,
    version: &'static str,
    git_revision: &'static str,
    /// The versions of the tunnel's protocol: two builds can talk when these ranges meet.
    min_protocol: u32,
    max_protocol: u32,
}

// === impl VersionArgs ===

impl VersionArgs {
    /// What to print, less the last line's end.
    pub(crate) fn render(&self) -> String {
        let build = Build {
            name: NAME,
            version: build_info::VERSION,
            git_revision: build_info::COMMIT,
            min_protocol: *limits::VERSIONS.start(),
            max_protocol: *limits::VERSIONS.end(),
        };
        match self.output {
            _ if self.short => build.version.to_owned(),
            Format::Text => format!("{}-{} (commit {})", build.name, build.version, build.git_revision),
            Format::Json => build.json(),
            Format::Yaml => build.yaml(),
        }
    }
}

// === impl Build ===

impl Build {
    fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("text and numbers only")
    }

    /// Strings are quoted as in JSON, which is YAML, too.
    fn yaml(&self) -> String {
        let Self { name, version, git_revision, min_protocol, max_protocol } = self;
        format!(
            "name: {name:?}\nversion: {version:?}\ngitRevision: {git_revision:?}\n\
             minProtocol: {min_protocol}\nmaxProtocol: {max_protocol}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(short: bool, output: Format) -> String {
        VersionArgs { short, output }.render()
    }

    #[test]
    fn every_format_tells_version_and_commit() {
        let (version, commit) = (build_info::VERSION, build_info::COMMIT);
        assert_eq!(render(true, Format::Json), version);
        assert_eq!(render(false, Format::Text), format!("argocd-agent-{version} (commit {commit})"));
        let json: serde_json::Value = serde_json::from_str(&render(false, Format::Json)).unwrap();
        assert_eq!((&json["version"], &json["gitRevision"]), (&version.into(), &commit.into()));
        assert_eq!(json["maxProtocol"], *limits::VERSIONS.end());
        let yaml = render(false, Format::Yaml);
        let keys: Vec<_> = yaml.lines().map(|line| line.split_once(": ").unwrap().0).collect();
        assert_eq!(keys, ["name", "version", "gitRevision", "minProtocol", "maxProtocol"]);
    }
}
