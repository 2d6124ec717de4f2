//! nginx, as Debian packages it.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, bail};
use tokio::process::Command;

/// An nginx that was found.
#[derive(Debug)]
pub(crate) struct Nginx {
    pub(super) program: PathBuf,
    /// Such as `nginx/1.22.1`.
    pub(crate) version: String,
}

// === impl Nginx ===

impl Nginx {
    /// Finds nginx, or installs it where that is ours to do: on Debian and its kin, as root.
    pub(crate) async fn locate_or_install() -> Result<Self> {
        if let Some(nginx) = Self::locate().await? {
            return Ok(nginx);
        }
        let advice = "install nginx, or leave the chain out with --contestants direct,ours";
        if !is_root().await || !Path::new(APT_GET).is_file() {
            bail!("no nginx on this machine: {advice}");
        }
        eprintln!("installing nginx-light");
        apt_get(&["update", "-qq"]).await.context(advice)?;
        apt_get(&["install", "-y", "-qq", "--no-install-recommends", "nginx-light"]).await.context(advice)?;
        Self::locate().await?.with_context(|| format!("no nginx after its installation: {advice}"))
    }

    async fn locate() -> Result<Option<Self>> {
        // A user's PATH often lacks the second.
        for program in ["nginx", "/usr/sbin/nginx"].map(PathBuf::from) {
            let Ok(output) = Command::new(&program).arg("-v").output().await else { continue };
            let said = String::from_utf8_lossy(&output.stderr);
            let version = said.trim().rsplit(' ').next().unwrap_or_default();
            if !output.status.success() || !version.starts_with("nginx/") {
                bail!("{} is not nginx: {said}", program.display());
            }
            return Ok(Some(Self { program, version: version.to_owned() }));
        }
        Ok(None)
    }
}

async fn is_root() -> bool {
    Command::new("id").arg("-u").output().await.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

async fn apt_get(args: &[&str]) -> Result<()> {
    let mut command = Command::new(APT_GET);
    // Debian's package starts a server of its own where services run; runlevel 1 keeps it from that.
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
    let output = command.stdin(Stdio::null()).output().await.context("running apt-get")?;
    if !output.status.success() {
        bail!("apt-get {args:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

const APT_GET: &str = "/usr/bin/apt-get";
