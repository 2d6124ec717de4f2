//! `argocd-agentctl completion`.

use anyhow::Context;

use crate::{
    cli::{Completion, NAME, command},
    output::Answer,
};

pub(super) fn completion(args: &Completion) -> anyhow::Result<Answer> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command(), NAME, &mut script);
    Answer::said(String::from_utf8(script).context("the script is not text")?)
}
