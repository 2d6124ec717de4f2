//! Rivals: programs of others that do the same job. They take part where somebody says where a built one is.
//!
//! One that cannot do what a scenario is about is left out of it, in a line that says why: no figure of it would be of the
//! same thing.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use super::Kind;
use crate::load::Protocol;

/// A rival, and where its program is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rival {
    /// The program.
    ArgocdAgent(PathBuf),
    /// The directory of its two programs.
    Konnectivity(PathBuf),
}

/// What a scenario is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    Get,
    GetOwned,
    Patch,
    Put,
    Fresh,
    List,
    Watch,
    Logs,
    Exec,
    SlowReader,
    Redis,
    Agents,
    Rtt,
}

// === impl Rival ===

impl Rival {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::ArgocdAgent(_) => Kind::ArgocdAgent,
            Self::Konnectivity(_) => Kind::Konnectivity,
        }
    }

    /// Why it cannot take part, where it cannot.
    fn cannot(&self, task: Task, protocol: Protocol) -> Option<&'static str> {
        match (self, task) {
            (_, Task::Agents) => Some("the agents there are our own"),
            (Self::ArgocdAgent(_), Task::Redis) => Some("of it only the resource proxy is measured here"),
            (Self::ArgocdAgent(_), Task::List | Task::SlowReader | Task::Rtt) => {
                Some("its resource proxy lists nothing but Events")
            }
            (Self::ArgocdAgent(_), Task::Watch) => Some("its resource proxy has no watches"),
            (Self::ArgocdAgent(_), Task::Put) => {
                Some("its resource proxy refuses PUT (--change patch leaves that out)")
            }
            (Self::ArgocdAgent(_), Task::Logs) => Some("it puts a time before every line, asked for or not"),
            (Self::ArgocdAgent(_), Task::Exec) => Some("its commands all have a terminal, and it forwards no ports"),
            (Self::ArgocdAgent(_), _) if protocol == Protocol::Http2 => {
                Some("its resource proxy speaks HTTP/1.1 alone")
            }
            (Self::Konnectivity(_), Task::Redis) => Some("it knows nothing of Redis"),
            _ => None,
        }
    }
}

impl FromStr for Rival {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some(("argocd-agent", path)) if !path.is_empty() => Ok(Self::ArgocdAgent(path.into())),
            Some(("konnectivity", path)) if !path.is_empty() => Ok(Self::Konnectivity(path.into())),
            _ => Err("must be argocd-agent=FILE or konnectivity=DIRECTORY".to_owned()),
        }
    }
}

/// As it is given.
impl fmt::Display for Rival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ArgocdAgent(path) => write!(f, "argocd-agent={}", path.display()),
            Self::Konnectivity(path) => write!(f, "konnectivity={}", path.display()),
        }
    }
}

/// Those that take part. Of each other a line says why it does not.
pub(crate) fn able(rivals: &[Rival], task: Task, protocol: Protocol) -> Vec<&Rival> {
    let able = |rival: &&Rival| match rival.cannot(task, protocol) {
        Some(reason) => {
            eprintln!("note: {} is left out: {reason}", rival.kind());
            false
        }
        None => true,
    };
    rivals.iter().filter(able).collect()
}

/// What a program says when it is asked for something that ends at once. Fails with a line that names the flag where there
/// is no such program.
pub(super) async fn said(rival: &Rival, program: &Path, args: &[&str]) -> Result<String> {
    let output = Command::new(program).args(args).output().await;
    let output = output.with_context(|| format!("--rival {rival}: {} cannot be run", program.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.trim().lines().last().map(|line| format!(", {line}")).unwrap_or_default();
        bail!("--rival {rival}: {} {}: {}{last}", program.display(), args.join(" "), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The module and version that a program was built from, by Go's own note in it, where Go is here to read it.
pub(super) async fn built_from(program: &Path) -> Option<String> {
    let output = Command::new("go").args(["version", "-m"]).arg(program).output().await.ok()?;
    module(&String::from_utf8_lossy(&output.stdout))
}

/// The line of the main module has its path, version and sum.
fn module(note: &str) -> Option<String> {
    let words = note.lines().find_map(|line| line.trim().strip_prefix("mod\t"))?;
    let mut words = words.split('\t').skip(1);
    words.next().filter(|version| !version.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rival_has_a_name_and_a_path() {
        assert_eq!("argocd-agent=/a".parse(), Ok(Rival::ArgocdAgent("/a".into())));
        assert_eq!("konnectivity=a=b".parse(), Ok(Rival::Konnectivity("a=b".into())));
        for given in ["argocd-agent=/a", "konnectivity=../b"] {
            assert_eq!(given.parse::<Rival>().unwrap().to_string(), given);
        }
        for bad in ["", "argocd-agent", "argocd-agent=", "konnectivity=", "nginx=/usr/sbin/nginx", "=/a"] {
            assert!(bad.parse::<Rival>().is_err(), "{bad}");
        }
    }

    #[test]
    fn who_cannot_do_something_is_left_out_of_it() {
        let rivals = [Rival::ArgocdAgent("/a".into()), Rival::Konnectivity("/b".into())];
        let taking_part =
            |task, protocol| able(&rivals, task, protocol).into_iter().map(Rival::kind).collect::<Vec<_>>();
        for task in [Task::Get, Task::GetOwned, Task::Patch, Task::Fresh] {
            assert_eq!(taking_part(task, Protocol::Http1), [Kind::ArgocdAgent, Kind::Konnectivity], "{task:?}");
            assert_eq!(taking_part(task, Protocol::Http2), [Kind::Konnectivity], "{task:?}");
        }
        for task in [Task::Put, Task::List, Task::Watch, Task::Logs, Task::Exec, Task::SlowReader, Task::Rtt] {
            assert_eq!(taking_part(task, Protocol::Http1), [Kind::Konnectivity], "{task:?}");
        }
        for task in [Task::Redis, Task::Agents] {
            assert_eq!(taking_part(task, Protocol::Http1), [], "{task:?}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_run_is_named_in_one_line_with_its_flag() {
        let rival = Rival::ArgocdAgent("/no/such/program".into());
        let error = said(&rival, Path::new("/no/such/program"), &["version"]).await.unwrap_err();
        let error = format!("{error:#}");
        assert!(
            error.starts_with("--rival argocd-agent=/no/such/program: /no/such/program cannot be run: "),
            "{error}"
        );
        let rival = Rival::ArgocdAgent("/bin/sh".into());
        let error =
            said(&rival, Path::new("/bin/sh"), &["-c", "echo one >&2; echo two >&2; exit 3"]).await.unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains("--rival argocd-agent=/bin/sh") && error.ends_with("exit status: 3, two"), "{error}");
        let error = said(&rival, Path::new("/bin/sh"), &["-c", "exit 3"]).await.unwrap_err().to_string();
        assert!(error.ends_with("exit status: 3"), "{error}");
        assert_eq!(said(&rival, Path::new("/bin/sh"), &["-c", "echo 1.2"]).await.unwrap(), "1.2");
    }

    #[test]
    fn a_program_of_go_names_its_module() {
        let note = "/x: go1.26.8\n\tpath\texample.com/cmd/server\n\tmod\texample.com\tv0.34.0\th1:sum=\n\tdep\ta\tv1\n";
        assert_eq!(module(note).as_deref(), Some("v0.34.0"));
        assert_eq!(module("/bin/sh: not a Go executable"), None);
    }
}
