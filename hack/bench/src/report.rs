//! What is left of a run: a file for machines.

use std::{env, fs, path::PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::stage::Surroundings;

/// All figures of a run, every round's included.
#[derive(Debug, Serialize)]
pub(crate) struct Report<'a, T> {
    pub(crate) scenario: &'static str,
    pub(crate) surroundings: &'a Surroundings,
    pub(crate) tables: &'a [T],
}

// === impl Report ===

impl<T: Serialize> Report<'_, T> {
    /// Writes `<scenario>.json` in the run's directory, and returns its path.
    pub(crate) fn write(&self) -> Result<PathBuf> {
        let dir = directory(self.surroundings)?;
        let path = dir.join(format!("{}.json", self.scenario));
        let json = serde_json::to_string_pretty(self).context("writing JSON")?;
        fs::write(&path, json + "\n").with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}

/// Where a run's files go: `bench` in the target directory, or `bench/quick` where its figures are worth nothing.
pub(crate) fn directory(surroundings: &Surroundings) -> Result<PathBuf> {
    // Cargo put this program into a profile's directory there.
    let program = env::current_exe().context("looking for this program")?;
    let dir = program.ancestors().nth(2).context("no target directory")?.join("bench");
    let dir = if surroundings.smoke { dir.join("quick") } else { dir };
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    Ok(dir)
}
