//! Real kubectl, run as a user would.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::command::{self, Tool, quoted};

/// kubectl for one cluster as one kubeconfig reaches it.
#[derive(Debug, Clone)]
pub(crate) struct Kubectl {
    program: PathBuf,
    /// Flags in front of every command.
    flags: Vec<String>,
    /// Those of them that a reader has to type.
    shown: Vec<String>,
}

// === impl Kubectl ===

impl Kubectl {
    /// One that uses the file. `cache` is for discovery: the user's own stays untouched.
    pub(crate) fn new(program: &Path, kubeconfig: &Path, cache: &Path) -> Self {
        let flags = vec![
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--cache-dir={}", cache.join("kubectl-cache").display()),
        ];
        Self { program: program.to_owned(), flags, shown: Vec::new() }
    }

    /// The same with a context, which is shown.
    pub(crate) fn with_context(mut self, context: &str) -> Self {
        self.flags.push(format!("--context={context}"));
        self.shown.push(format!("--context={context}"));
        self
    }

    /// The same, and a reader sees which file it is.
    pub(crate) fn with_file_shown(mut self) -> Self {
        let file = self.flags.first().cloned();
        self.shown.splice(0..0, file);
        self
    }
}

impl Tool for Kubectl {
    fn line(&self, args: &[&str]) -> String {
        let mut line = "kubectl".to_owned();
        for word in self.shown.iter().map(String::as_str).chain(args.iter().copied()) {
            let _ = write!(line, " {}", quoted(word));
        }
        line
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        // The user's own aliases and defaults would change what the tour expects.
        command.args(&self.flags).args(args).env("KUBERC", "off").env_remove("KUBECONFIG");
        command
    }
}

/// kubectl of the user's, who has to have one.
pub(crate) fn in_path() -> Result<PathBuf> {
    find().context("kubectl is not in PATH; with --kubeconfig the demo uses yours, please install it")
}

/// kubectl of the user's, if there is one.
pub(crate) fn find() -> Option<PathBuf> {
    command::find("kubectl")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_command_can_be_pasted() {
        let kubectl = Kubectl::new(Path::new("k"), Path::new("/f"), Path::new("/c"));
        assert_eq!(
            kubectl.line(&["exec", "p", "--", "sh", "-c", "echo 'a'"]),
            r"kubectl exec p -- sh -c 'echo '\''a'\'''"
        );
        let other = kubectl.with_context("c").with_file_shown();
        assert_eq!(other.line(&["get", "x"]), "kubectl --kubeconfig=/f --context=c get x");
    }
}
