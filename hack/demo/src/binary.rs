//! The `argocd-agent` that is shown: an optimised build of this checkout, so that its times are honest.

use std::collections::VecDeque;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;

use crate::screen::Progress;

/// Builds it, or finds that it is fresh, and returns its path.
///
/// # Cancel safety
///
/// The build ends with the future; cargo goes on from there the next time.
pub(crate) async fn build(progress: &Progress) -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut child = Command::new(cargo)
        .args(["build", "--profile=demo", "--package", "argocd-agent", "--message-format=json-render-diagnostics"])
        .current_dir(WORKSPACE)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("running cargo")?;
    let messages = child.stdout.take().context("cargo's output is not ours")?;
    let talk = child.stderr.take().context("cargo's messages are not ours")?;
    let (program, said, status) = tokio::join!(program(messages), follow(talk, progress), child.wait());
    let status = status.context("waiting for cargo")?;
    if !status.success() {
        bail!("cargo build: {status}\n{}", said.join("\n"));
    }
    program.context("cargo built no argocd-agent")
}

/// The program's path, as cargo reports it: the target directory may be anywhere.
async fn program(messages: impl AsyncRead + Unpin) -> Option<PathBuf> {
    let mut lines = BufReader::new(messages).lines();
    let mut program = None;
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
        if message.pointer("/target/name").and_then(Value::as_str) == Some("argocd-agent")
            && let Some(path) = message.get("executable").and_then(Value::as_str)
        {
            program = Some(PathBuf::from(path));
        }
    }
    program
}

/// Shows what cargo does, and returns the last of what it said.
async fn follow(talk: impl AsyncRead + Unpin, progress: &Progress) -> Vec<String> {
    let mut lines = BufReader::new(talk).lines();
    let mut last = VecDeque::new();
    let mut compiled = 0_usize;
    while let Ok(Some(line)) = lines.next_line().await {
        if line.trim_start().starts_with("Compiling") {
            compiled += 1;
            progress.detail(format!("crate {compiled}: {}", line.trim_start().trim_start_matches("Compiling ")));
            progress.result(format!("{compiled} crates"));
        } else {
            progress.detail(line.trim());
        }
        if last.len() == KEPT_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
    last.into()
}

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Enough for the compiler's last few errors.
const KEPT_LINES: usize = 60;

/// A program of the user's: it must be there before anything is started.
pub(crate) fn given(path: &Path) -> Result<PathBuf> {
    path.canonicalize().with_context(|| format!("--binary {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_program_is_found_among_cargos_messages() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"common"},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"argocd-agent"},"executable":"/t/argocd-agent"}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        assert_eq!(program(messages.as_bytes()).await.unwrap(), Path::new("/t/argocd-agent"));
        assert_eq!(program(&b"{}"[..]).await, None);
    }

    #[tokio::test]
    async fn only_the_end_of_a_long_failure_is_kept() {
        let talk = (0..100).map(|i| format!("   Compiling c{i}\n")).collect::<String>();
        let kept = follow(talk.as_bytes(), &Progress::default()).await;
        assert_eq!(kept.len(), KEPT_LINES);
        assert_eq!(kept.last().unwrap(), "   Compiling c99");
    }
}
