//! One line for what clap could not take, in place of its paragraph.

use std::error::Error as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// A refused command line: which flag is to blame, and the line for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageLine {
    /// The flag's name without dashes, where one is to blame.
    pub flag: Option<String>,
    /// What is wrong and what is allowed.
    pub text: String,
}

// === impl UsageLine ===

impl UsageLine {
    /// The line for `error`; `None` when it is no error but help or a version to be printed.
    #[must_use]
    pub fn from_clap(error: &clap::Error) -> Option<Self> {
        let context = |kind| match error.get(kind)? {
            ContextValue::String(text) => Some(text.clone()),
            ContextValue::Strings(texts) => Some(texts.join(", ")),
            _ => None,
        };
        // `--port <PORT>` and `--switch[=<BOOL>]`: the name is what comes before.
        let named = context(ContextKind::InvalidArg).unwrap_or_default();
        let name = named.split([' ', '=', '[']).next().unwrap_or_default().escape_debug().to_string();
        let meant = |kind| context(kind).map(|other| format!(": did you mean {other}?")).unwrap_or_default();

        let text = match error.kind() {
            ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            | ErrorKind::MissingSubcommand => return None,
            ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
                let value = context(ContextKind::InvalidValue).unwrap_or_default();
                let listed = context(ContextKind::ValidValue).filter(|values| !values.is_empty());
                let listed = listed.map(|values| format!("must be one of {values}"));
                match error.source().map(ToString::to_string).or(listed) {
                    Some(allowed) => format!("{name}: {value:?} is not allowed: {allowed}"),
                    None => format!("{name} needs a value"),
                }
            }
            ErrorKind::UnknownArgument if name.starts_with('-') => {
                format!("{name} is no flag of this command{}", meant(ContextKind::SuggestedArg))
            }
            ErrorKind::UnknownArgument => {
                format!("`{name}` is not expected here: values of bools are given as --flag=false")
            }
            ErrorKind::InvalidSubcommand => {
                let typed = context(ContextKind::InvalidSubcommand).unwrap_or_default();
                format!("{typed:?} is no command{}", meant(ContextKind::SuggestedSubcommand))
            }
            _ => first_line(error),
        };
        let flag = name.strip_prefix("--").map(str::to_owned);
        Some(Self { flag, text })
    }
}

/// What clap says, less its prefix, its usage and its tips.
fn first_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests {
    use clap::{Arg, ArgAction, Command};

    use super::*;
    use crate::config::{command::go_style, values};

    fn line(args: &[&str]) -> Option<String> {
        let sub = Command::new("run")
            .arg(Arg::new("port").long("port").value_parser(values::number::<u16>(0..=65535)))
            .arg(Arg::new("format").long("format").value_parser(["text", "json"]))
            .arg(Arg::new("switch").long("switch").action(ArgAction::SetTrue));
        let command = go_style(Command::new("test").version("1").subcommand_required(true).subcommand(sub));
        let error = command.try_get_matches_from([&["test"], args].concat()).unwrap_err();
        let line = UsageLine::from_clap(&error)?.text;
        assert_eq!(line.lines().count(), 1, "{line}");
        Some(line)
    }

    #[test]
    fn every_refusal_is_one_line() {
        for (args, expected) in [
            (&["run", "--port=x"][..], r#"--port: "x" is not allowed: must be a whole number from 0 to 65535"#),
            (&["run", "--port", "x\ny"], r#"--port: "x\ny" is not allowed: must be a whole number from 0 to 65535"#),
            (&["run", "--format", "xml"], r#"--format: "xml" is not allowed: must be one of text, json"#),
            (&["run", "--switch=x"], r#"--switch: "x" is not allowed: must be true or false (or 1, 0, t, f)"#),
            (&["run", "--prot=1"], "--prot is no flag of this command: did you mean --port?"),
            (&["run", "--zzz"], "--zzz is no flag of this command"),
            (&["run", "--switch", "false"], "`false` is not expected here: values of bools are given as --flag=false"),
            (&["rum"], r#""rum" is no command: did you mean run?"#),
            (&["run", "--port"], "--port needs a value"),
        ] {
            assert_eq!(line(args).as_deref(), Some(expected), "{args:?}");
        }
    }

    #[test]
    fn help_and_versions_are_no_refusals() {
        for args in [&[][..], &["--help"], &["--version"], &["run", "-h"], &["help", "run"]] {
            assert_eq!(line(args), None, "{args:?}");
        }
    }
}
