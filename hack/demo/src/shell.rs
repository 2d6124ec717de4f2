//! A shell, for commands that are more than one program.

use tokio::process::Command;

use crate::command::Tool;

/// A shell with some variables in its environment.
#[derive(Debug, Clone)]
pub(crate) struct Shell {
    variables: Vec<(&'static str, String)>,
}

// === impl Shell ===

impl Shell {
    pub(crate) fn new(variables: Vec<(&'static str, String)>) -> Self {
        Self { variables }
    }
}

impl Tool for Shell {
    /// The one argument is the line.
    fn line(&self, args: &[&str]) -> String {
        args.concat()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("/bin/sh");
        // Without a shell in between, Ctrl-C is for the program.
        command.arg("-c").arg(format!("exec {}", self.line(args))).envs(self.variables.iter().cloned());
        command
    }
}
