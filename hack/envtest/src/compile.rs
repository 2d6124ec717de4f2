//! `go build` of the cluster's programs.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::process::Command;
use tokio::time::Instant;

use crate::cache::{Cache, kubernetes_version};

/// Where go.mod is. The sources stay in the checkout; only the programs are cached.
const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/go");

/// Flags of every build. They are part of the cache's name.
pub(crate) const FLAGS: &[&str] = &["-mod=readonly", "-trimpath", "-buildvcs=false"];

/// Builds one package into the cache under `name`. The caller holds the cache's lock.
pub(crate) async fn build(
    cache: &Cache,
    package: &str,
    name: &str,
    progress: &mut impl FnMut(&str),
) -> Result<PathBuf> {
    progress(&format!("building {name} (the first build takes minutes)"));
    let started = Instant::now();
    // Under another name until it is complete: an interrupted build must not look like a program.
    let unfinished = tempfile::Builder::new()
        .prefix(&format!(".{name}."))
        .tempdir_in(cache.dir())
        .context("creating a folder for the build")?;
    let program = unfinished.path().join(name);
    go_build(package, &program).await.with_context(|| format!("building {name}"))?;
    let place = cache.admit(&program, name).with_context(|| format!("moving {name} into the cache"))?;
    progress(&format!("built {name} in {} s", started.elapsed().as_secs()));
    Ok(place)
}

async fn go_build(package: &str, program: &Path) -> Result<()> {
    let output = Command::new("go")
        .arg("build")
        .args(FLAGS)
        .arg(format!("-ldflags={}", link_flags(kubernetes_version())))
        .arg("-o")
        .arg(program)
        .arg(package)
        .current_dir(MODULE)
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("running `go` (install Go 1.26 or newer, or set KUBEBUILDER_ASSETS for the parts that it has)")?;
    if !output.status.success() {
        bail!("go build {package}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Without these `/version` says v0.0.0-master, which some clients refuse.
fn link_flags(version: &str) -> String {
    let mut numbers = version.trim_start_matches('v').split('.');
    let major = numbers.next().unwrap_or_default();
    let minor = numbers.next().unwrap_or_default();
    let package = "k8s.io/component-base/version";
    format!(
        "-s -w -X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor} \
         -X {package}.gitTreeState=clean"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_linked_in_whole_and_in_parts() {
        let flags = link_flags("v1.36.3");
        assert!(flags.contains(".gitVersion=v1.36.3 "));
        assert!(flags.contains(".gitMajor=1 "));
        assert!(flags.contains(".gitMinor=36 "));
    }
}
