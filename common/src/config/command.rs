//! A clap command that behaves as Go's cobra and pflag do, so that manifests and habits carry over.

use std::ffi::{OsStr, OsString};

use clap::{Arg, ArgAction, Command, builder::StyledStr};

use super::values::boolean;

/// Applies to the command and all its subcommands:
///
/// - a bool flag takes `--flag`, and `--flag=` with any spelling of Go's, and the same from its environment variable;
/// - of a flag given twice the later wins;
/// - an environment variable that is set but empty is not set: the shipped manifests wire empty strings;
/// - help names environment variables but never shows what they hold.
#[must_use]
pub fn go_style(command: Command) -> Command {
    go_style_in(command, |variable| std::env::var_os(variable))
}

/// The command without any environment variable, so that only defaults and what is typed count.
#[must_use]
pub fn without_environment(command: Command) -> Command {
    command.mut_args(|arg| arg.env(None::<&str>)).mut_subcommands(without_environment)
}

/// The environment variable of a flag that took its value from there: it is set, and the flag was not typed.
#[must_use]
pub fn environment_source(command: &Command, flag: &str, typed: &[String]) -> Option<String> {
    let arg = command.get_arguments().find(|arg| arg.get_long() == Some(flag))?;
    let is_flag = |word: &String| {
        let long = word.strip_prefix("--").and_then(|rest| rest.strip_prefix(flag));
        let is_short = arg.get_short().is_some_and(|short| word.starts_with(&format!("-{short}")));
        long.is_some_and(|rest| rest.is_empty() || rest.starts_with('=')) || is_short
    };
    let variable = arg.get_env()?;
    let is_set = std::env::var_os(variable).is_some_and(|value| !value.is_empty());
    (is_set && !typed.iter().any(is_flag)).then(|| variable.to_string_lossy().into_owned())
}

fn go_style_in(command: Command, environment: impl Fn(&OsStr) -> Option<OsString> + Copy) -> Command {
    let is_empty = |variable: &OsStr| environment(variable).is_some_and(|value| value.is_empty());
    command
        .args_override_self(true)
        .mut_args(|arg| {
            let arg = with_bool_values(arg.hide_env_values(true));
            if arg.get_env().is_some_and(is_empty) { without_variable(arg) } else { arg }
        })
        .mut_subcommands(|sub| go_style_in(sub, environment))
}

fn with_bool_values(arg: Arg) -> Arg {
    if !matches!(arg.get_action(), ArgAction::SetTrue) {
        return arg;
    }
    let has_default = !arg.get_default_values().is_empty();
    let arg = arg
        .action(ArgAction::Set)
        .value_parser(boolean)
        .value_name("BOOL")
        .num_args(0..=1)
        // As in pflag: `--flag false` would leave `false` as an argument of its own.
        .require_equals(true)
        .default_missing_value("true");
    if has_default { arg } else { arg.default_value("false") }
}

/// Help still names the variable: inside a Pod with the shipped manifests most are wired, and empty.
fn without_variable(arg: Arg) -> Arg {
    let note = format!(" [env: {}]", arg.get_env().unwrap_or_default().to_string_lossy());
    let noted = |help: &StyledStr| StyledStr::from(format!("{}{note}", help.ansi()));
    let (help, long) = (arg.get_help().map(noted), arg.get_long_help().map(noted));
    let arg = arg.env(None::<&str>);
    let arg = match help {
        Some(help) => arg.help(help),
        None => arg,
    };
    match long {
        Some(long) => arg.long_help(long),
        None => arg,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        let switch = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
        let words = Arg::new("words").long("words").action(ArgAction::Append).value_delimiter(',');
        let name = Arg::new("name").long("name").short('n').env("PATH");
        let sub = Command::new("sub").arg(switch("off")).arg(switch("on").default_value("true")).arg(words).arg(name);
        go_style(Command::new("test").subcommand(sub))
    }

    fn bools(args: &[&str]) -> Result<(bool, bool), clap::Error> {
        let matches = command().try_get_matches_from(["test", "sub"].iter().chain(args))?;
        let (_, matches) = matches.subcommand().unwrap();
        Ok((*matches.get_one("off").unwrap(), *matches.get_one("on").unwrap()))
    }

    #[test]
    fn a_bool_flag_takes_no_value_or_one_with_an_equals_sign() {
        assert_eq!(bools(&[]).unwrap(), (false, true));
        assert_eq!(bools(&["--off", "--on"]).unwrap(), (true, true));
        assert_eq!(bools(&["--off=t", "--on=FALSE"]).unwrap(), (true, false));
        assert_eq!(bools(&["--off=1", "--off=0"]).unwrap(), (false, true), "the later wins");
        assert!(bools(&["--off", "false"]).is_err());
        assert!(bools(&["--off=maybe"]).is_err());
    }

    #[test]
    fn an_empty_variable_is_not_set_and_still_named_in_help() {
        let arg = Arg::new("name").long("name").env("PATH").help("A name").long_help("A long name");
        let mut command = go_style_in(Command::new("test").arg(arg), |_| Some(OsString::new()));
        for help in [command.render_help(), command.render_long_help()] {
            assert!(help.to_string().contains("name [env: PATH]"), "{help}");
        }
        let matches = command.get_matches_from(["test"]);
        assert_eq!(matches.get_one::<String>("name"), None);
    }

    #[test]
    fn a_list_is_comma_separated_and_repeatable() {
        let matches = command().get_matches_from(["test", "sub", "--words=a,b", "--words", "c"]);
        let (_, matches) = matches.subcommand().unwrap();
        let words: Vec<&String> = matches.get_many("words").unwrap().collect();
        assert_eq!(words, ["a", "b", "c"]);
    }

    #[test]
    fn knows_whether_a_value_came_from_the_environment() {
        // PATH is set wherever tests run.
        let command = command();
        let sub = command.find_subcommand("sub").unwrap();
        let source = |typed: &[&str]| {
            let typed: Vec<_> = typed.iter().map(|word| (*word).to_owned()).collect();
            environment_source(sub, "name", &typed)
        };
        assert_eq!(source(&["--named=x", "--nam"]).as_deref(), Some("PATH"));
        for typed in ["--name", "--name=x", "-n", "-nx", "-n=x"] {
            assert_eq!(source(&[typed]), None, "{typed}");
        }
        assert_eq!(environment_source(sub, "off", &[]), None);
    }

    #[test]
    fn help_names_the_variable_and_not_what_it_holds() {
        let mut command = command();
        let help = command.find_subcommand_mut("sub").unwrap().render_help().to_string();
        assert!(help.contains("[env: PATH]"), "{help}");
        assert!(!help.contains("/bin"), "{help}");
        let bare = without_environment(command);
        assert!(bare.find_subcommand("sub").unwrap().get_arguments().all(|arg| arg.get_env().is_none()));
    }
}
