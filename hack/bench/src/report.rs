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
    /// Writes `bench/<scenario>.json` in the target directory, or `bench/quick/<scenario>.json` where the figures are
    /// worth nothing, and returns its path.
    pub(crate) fn write(&self) -> Result<PathBuf> {
        // Cargo put this program into a profile's directory there.
        let program = env::current_exe().context("looking for this program")?;
        let dir = program.ancestors().nth(2).context("no target directory")?.join("bench");
        let dir = if self.surroundings.smoke { dir.join("quick") } else { dir };
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        let path = dir.join(format!("{}.json", self.scenario));
        let json = serde_json::to_string_pretty(self).context("writing JSON")?;
        fs::write(&path, json + "\n").with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}
