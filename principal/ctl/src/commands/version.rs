//! `argocd-agentctl version`.

use common::build_info;
use serde::Serialize;

use crate::{
    cli::{NAME, Version},
    output::Answer,
};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Build {
    name: &'static str,
    version: &'static str,
    git_revision: &'static str,
}

pub(super) fn version(args: &Version) -> anyhow::Result<Answer> {
    let build = Build { name: NAME, version: build_info::VERSION, git_revision: build_info::COMMIT };
    // As upstream: JSON in one line unless indented, or unless another format is asked for.
    let text = if args.indent { serde_json::to_string_pretty(&build)? } else { serde_json::to_string(&build)? };
    Answer::of(&build, text)
}
