//! kubectl, run as the cluster's administrator.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Runs kubectl against one cluster.
#[derive(Debug, Clone)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    cache_dir: PathBuf,
}

impl Kubectl {
    pub(crate) fn new(program: &Path, kubeconfig: &Path, cache_dir: PathBuf) -> Self {
        Self { program: program.to_owned(), kubeconfig: kubeconfig.to_owned(), cache_dir }
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// A command to add arguments to. It is killed when dropped.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        // The discovery cache of the user's other clusters is none of our business.
        command.arg("--kubeconfig").arg(&self.kubeconfig).arg("--cache-dir").arg(&self.cache_dir).kill_on_drop(true);
        command
    }

    /// Standard output of a run that succeeded; the error of one that did not quotes what kubectl said.
    pub async fn run(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<String> {
        self.run_with_input(args, "").await
    }

    /// As [`run`](Self::run), with something to read.
    pub async fn run_with_input(
        &self,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
        input: &str,
    ) -> Result<String> {
        let mut command = self.command();
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("running {}", self.program.display()))?;
        let stdin = child.stdin.take();
        let write = async move {
            if let Some(mut stdin) = stdin {
                // kubectl may end without reading; its exit code says whether that was right.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), write);
        let output = output.context("waiting for kubectl")?;
        if !output.status.success() {
            let words = command.as_std().get_args().skip(4).collect::<Vec<_>>();
            bail!("kubectl {words:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Server-side apply of a manifest, as the field manager of Argo CD.
    pub async fn apply(&self, manifest: &str) -> Result<()> {
        let args = ["apply", "--server-side", "--force-conflicts", "--field-manager=argocd-controller", "-f", "-"];
        self.run_with_input(args, manifest).await.map(drop)
    }
}
