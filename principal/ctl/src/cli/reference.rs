//! `docs/cli.md`, generated from the command tree, so that it cannot tell what is not so.

use clap::{Arg, Command};

use super::command;

/// The whole page.
fn page() -> String {
    let mut tree = command();
    tree.build();
    let mut text = HEAD.to_owned();
    text += "\n## Global options\n\nEvery command takes these.\n\n";
    text += &options(tree.get_arguments().filter(|arg| arg.is_global_set()));
    commands(&tree, "argocd-agentctl", &mut text);
    text
}

fn commands(parent: &Command, path: &str, text: &mut String) {
    for command in parent.get_subcommands() {
        let path = format!("{path} {}", command.get_name());
        if command.has_subcommands() {
            let aliases: Vec<_> = command.get_visible_aliases().map(|alias| format!("`{alias}`")).collect();
            if !aliases.is_empty() {
                *text += &format!("\n`{path}` is also called {}.\n", aliases.join(", "));
            }
            commands(command, &path, text);
            continue;
        }
        let positionals: Vec<&Arg> = command.get_positionals().collect();
        let words: String = positionals.iter().map(|arg| format!(" {arg}")).collect();
        *text += &format!("\n## `{path}{words}`\n\n{}.\n", about(parent, command));
        let aliases: Vec<_> = command.get_visible_aliases().map(|alias| format!("`{alias}`")).collect();
        if !aliases.is_empty() {
            *text += &format!("\nAlso called {}.\n", aliases.join(", "));
        }
        let own = command.get_arguments().filter(|arg| !arg.is_global_set());
        let own = options(own.filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version")));
        if !own.is_empty() {
            *text += &format!("\n{own}");
        }
    }
}

/// What a command does; where its group is what is done, and it says to what, both.
fn about(group: &Command, command: &Command) -> String {
    let text = |command: &Command| command.get_about().map(ToString::to_string).unwrap_or_default();
    let own = text(command);
    let is_object = ["A ", "An ", "For "].iter().any(|start| own.starts_with(start));
    if is_object {
        let (first, rest) = own.split_at(1);
        format!("{}: {}{rest}", text(group), first.to_lowercase())
    } else {
        own
    }
}

/// A table of options; nothing where there are none.
fn options<'a>(args: impl Iterator<Item = &'a Arg>) -> String {
    let rows: String = args.map(row).collect();
    if rows.is_empty() { rows } else { format!("| option | default | what |\n|---|---|---|\n{rows}") }
}

fn row(arg: &Arg) -> String {
    let short = arg.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
    let value = arg.get_value_names().and_then(<[_]>::first).map(ToString::to_string).unwrap_or_default();
    let is_switch = value == "BOOL";
    let name = match arg.get_long() {
        Some(long) if is_switch => format!("{short}--{long}"),
        Some(long) => format!("{short}--{long}={value}"),
        None => format!("<{value}>"),
    };
    let defaults = arg.get_default_values().iter().map(|value| value.to_string_lossy());
    let default = defaults.filter(|_| !is_switch).collect::<Vec<_>>().join(", ");
    let mut what = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let possible: Vec<_> = arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    if !possible.is_empty() && !is_switch {
        what += &format!(": {}", possible.join(", "));
    }
    if let Some(variable) = arg.get_env() {
        what += &format!(" (`{}`)", variable.to_string_lossy());
    }
    let default = if default.is_empty() { default } else { format!("`{default}`") };
    format!("| `{name}` | {default} | {} |\n", what.replace('|', "\\|"))
}

const HEAD: &str = "# `argocd-agentctl`

Made from the command tree; `BLESS=1 cargo test -p argocd-agentctl reference` writes it anew.

It works on two sides, the principal's and the agent's, each a context of your kubeconfig and a namespace. Where each is,
in this order: `--principal-context` and `--principal-namespace` (`--agent-…`), the name given by `--principal`
(`--agent`) in the config file, its `default-principal`, the current context and the namespace `argocd`.

Answers go to stdout, as text, JSON or YAML (`-o`); what goes wrong goes to stderr, in one line with the next step. Exit
codes: 0 done, 1 failed, 2 the command line is to blame.
";

#[test]
fn the_reference_in_docs_is_that_of_the_command_tree() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    let page = page();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/cli.md is out of date: run `BLESS=1 cargo test -p argocd-agentctl reference`");
}
