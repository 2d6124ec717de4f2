//! `argocd-agentctl config`: the config file, without any API server.

use std::path::Path;

use anyhow::{anyhow, bail, ensure};
use serde::Serialize;

use super::confirm::ask;
use crate::{
    cli::{BadUsage, Config, CreateConfig, EntryArgs, Global, Kind},
    kube::{Entry, Role, Settings, context_names},
    output::{Answer, table},
};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    name: String,
    context: String,
    namespace: String,
    default: bool,
}

pub(super) fn run(global: &Global, command: Config) -> anyhow::Result<Answer> {
    let path = global.config_path().ok_or_else(|| anyhow!("there is no home directory: give --config"))?;
    match command {
        Config::Create(args) => create(&path, &args),
        Config::Add(kind) => {
            let (role, args) = role(kind);
            add(&path, role, &args)
        }
        Config::Edit(kind) => {
            let (role, args) = role(kind);
            edit(&path, role, args)
        }
        Config::Delete(kind) => {
            let (role, args) = role(kind);
            delete(&path, role, &args.name)
        }
        Config::List(kind) => list(&path, role(kind).0),
    }
}

fn role<T: clap::Args>(kind: Kind<T>) -> (Role, T) {
    match kind {
        Kind::Principal(args) => (Role::Principal, args),
        Kind::Agent(args) => (Role::Agent, args),
    }
}

fn add(path: &Path, role: Role, args: &EntryArgs) -> anyhow::Result<Answer> {
    let word = role.word();
    check(role, args)?;
    let (Some(kube_context), Some(namespace)) = (args.context.clone(), args.namespace.clone()) else {
        return Err(BadUsage("--context and --namespace must be given".into()).into());
    };
    let mut settings = Settings::read_if_there(path)?;
    let entries = settings.entries_mut(role);
    ensure!(!entries.contains_key(&args.name), "{word} {:?} exists: change it with `config edit {word}`", args.name);
    entries.insert(args.name.clone(), Entry { kube_context, namespace });
    if args.set_default {
        settings.default_principal = Some(args.name.clone());
    }
    settings.write(path)?;
    Answer::said(format!("Added {word} {} to {}", args.name, path.display()))
}

fn edit(path: &Path, role: Role, args: EntryArgs) -> anyhow::Result<Answer> {
    let word = role.word();
    check(role, &args)?;
    if args.context.is_none() && args.namespace.is_none() && !args.set_default {
        return Err(BadUsage("nothing to change: give --context or --namespace".into()).into());
    }
    let mut settings = Settings::read_if_there(path)?;
    let entry = settings.entries_mut(role).get_mut(&args.name).ok_or_else(|| unknown(path, role, &args.name))?;
    if let Some(context) = args.context {
        entry.kube_context = context;
    }
    if let Some(namespace) = args.namespace {
        entry.namespace = namespace;
    }
    if args.set_default {
        settings.default_principal = Some(args.name.clone());
    }
    settings.write(path)?;
    Answer::said(format!("Changed {word} {} in {}", args.name, path.display()))
}

fn delete(path: &Path, role: Role, name: &str) -> anyhow::Result<Answer> {
    let mut settings = Settings::read_if_there(path)?;
    settings.entries_mut(role).remove(name).ok_or_else(|| unknown(path, role, name))?;
    if role == Role::Principal && settings.default_principal.as_deref() == Some(name) {
        // A default that stands for nothing would fail every command.
        settings.default_principal = None;
    }
    settings.write(path)?;
    Answer::said(format!("Deleted {} {name} from {}", role.word(), path.display()))
}

fn list(path: &Path, role: Role) -> anyhow::Result<Answer> {
    let settings = Settings::read_if_there(path)?;
    let default = settings.default_principal.as_deref().filter(|_| role == Role::Principal);
    let listed = settings.entries(role).iter().map(|(name, entry)| Listed {
        default: default == Some(name.as_str()),
        name: name.clone(),
        context: entry.kube_context.clone(),
        namespace: entry.namespace.clone(),
    });
    let listed: Vec<_> = listed.collect();
    let row = |one: &Listed| {
        let mark = if one.default { "*" } else { "" };
        vec![one.name.clone(), one.context.clone(), one.namespace.clone(), mark.to_owned()]
    };
    let rows: Vec<_> = listed.iter().map(row).collect();
    let text = if rows.is_empty() {
        format!("No {}s in {}.", role.word(), path.display())
    } else {
        table(&["NAME", "CONTEXT", "NAMESPACE", "DEFAULT"], &rows)
    };
    Answer::of(&listed, text)
}

/// Asks what upstream asks, in its order, so that scripts which answer carry over.
fn create(path: &Path, args: &CreateConfig) -> anyhow::Result<Answer> {
    let path = args.output_path.as_deref().unwrap_or(path);
    let mut settings = Settings::default();
    for context in context_names(args.kubeconfig_path.as_deref())? {
        let question = format!(
            "Found context {context}, is this a principal or agent, if it is neither type leave blank to skip?"
        );
        let Some(role) = ask_role(&question)? else { continue };
        let word = role.word();
        let namespace = ask_text(&format!("Which namespace is the {word} installed in?"))?;
        let name = ask_text(&format!("What name would you like to use for this {word}?"))?;
        let entries = settings.entries_mut(role);
        ensure!(!entries.contains_key(&name), "{word} {name:?} was named before: give every {word} a name of its own");
        entries.insert(name, Entry { kube_context: context, namespace });
    }
    let principals: Vec<_> = settings.entries(Role::Principal).keys().cloned().collect();
    if !principals.is_empty() {
        let question =
            format!("Which of the principals do you want to use as the default ({})?", principals.join(", "));
        let default = ask_text(&question)?;
        ensure!(principals.contains(&default), "{default:?} is none of the principals: answer with one of their names");
        settings.default_principal = Some(default);
    }
    settings.write(path)?;
    Answer::said(format!("Successfully wrote config to {}", path.display()))
}

fn ask_role(question: &str) -> anyhow::Result<Option<Role>> {
    let mut question = question;
    loop {
        match ask(question)?.as_deref() {
            Some("principal") => return Ok(Some(Role::Principal)),
            Some("agent") => return Ok(Some(Role::Agent)),
            Some("") | None => return Ok(None),
            Some(_) => question = "Invalid input, please enter principal, agent, or leave blank to skip:",
        }
    }
}

fn ask_text(question: &str) -> anyhow::Result<String> {
    match ask(question)? {
        Some(text) if !text.is_empty() => Ok(text),
        Some(_) => ask_text("Invalid input, this cannot be blank:"),
        None => bail!("the input ended before everything was answered: nothing was written"),
    }
}

fn check(role: Role, args: &EntryArgs) -> Result<(), BadUsage> {
    if role == Role::Agent && args.set_default {
        return Err(BadUsage("--set-default is for principals: agents have no default".into()));
    }
    let empty = |text: Option<&String>| text.is_some_and(|text| text.trim().is_empty());
    if args.name.trim().is_empty() || empty(args.context.as_ref()) || empty(args.namespace.as_ref()) {
        return Err(BadUsage("--name, --context and --namespace must not be empty".into()));
    }
    Ok(())
}

fn unknown(path: &Path, role: Role, name: &str) -> anyhow::Error {
    let word = role.word();
    anyhow!("no {word} is called {name:?} in {}: see `config list {word}`", path.display())
}
