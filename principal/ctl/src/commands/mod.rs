//! What each command does, one noun per file.

mod agents;
mod authority;
mod blocklist;
mod checks;
mod completion;
mod config;
mod confirm;
mod doctor;
mod issue;
mod jwt;
mod kubeconfig;
mod pki;
mod roll_over;
mod secret;
mod secret_names;
mod surroundings;
mod validate;
mod version;

use crate::{
    cli::{Cli, Command},
    kube::Places,
    output::Answer,
};

/// Runs the command; what it answers is printed by who called.
///
/// # Errors
/// When it could not do all of what it was asked.
pub(crate) async fn run(cli: Cli) -> anyhow::Result<Answer> {
    let Cli { global, command } = cli;
    let format = global.output;
    // Not before it is needed: what needs no cluster does not fail for the config file's sake.
    let places = || Places::new(global.clone());
    match command {
        Command::Agent(command) => agents::run(&places()?, command, format).await,
        Command::Pki(command) => pki::run(&places()?, command).await,
        Command::Jwt(command) => jwt::run(&places()?, command).await,
        Command::Blocklist(command) => blocklist::run(&places()?, command).await,
        Command::Config(command) => config::run(&global, command),
        Command::Validate(side) => validate::run(&places()?, side).await,
        Command::Doctor(args) => doctor::run(&places()?, &args).await,
        Command::Kubeconfig(args) => kubeconfig::run(&places()?, &args).await,
        Command::Completion(args) => completion::completion(&args),
        Command::Version(args) => version::version(&args),
    }
}
