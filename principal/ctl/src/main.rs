//! The `argocd-agentctl` binary: the operator's side of principal and agents.
//!
//! It manages what the two processes read, Secrets and ConfigMaps, and links neither of them. What goes wrong is told in
//! one line on stderr, with the next step; it exits with 1 when a command fails and with 2 when the command line is to
//! blame.

mod cli;
mod cluster_secret;
mod commands;
mod kube;
mod names;
mod output;
mod pki;

use std::{ffi::OsString, io::Write, process::ExitCode};

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let cli = match cli::parse(&words) {
        Ok(cli) => cli,
        Err(refused) => return refused.show(),
    };
    // Libraries that ask for the process's provider get the one that we name everywhere. It can only be set already.
    let _ = (*common::tls::provider()).clone().install_default();
    let format = cli.global.output;
    let run = || -> anyhow::Result<output::Answer> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(commands::run(cli))
    };
    match run() {
        Ok(answer) => {
            if let Some(warning) = answer.said_beside() {
                let _ = writeln!(std::io::stderr(), "argocd-agentctl: {warning}");
            }
            // A reader that has seen enough and left is no error.
            let _ = std::io::stdout().write_all(answer.render(format).as_bytes());
            answer.exit_code()
        }
        Err(error) => cli::show_failure(&error),
    }
}
