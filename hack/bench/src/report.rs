//! What is left of a run: a file for machines, and a plot for people.

use std::{env, fmt, fs, path::PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::{plot::Plot, stage::Surroundings};

/// All figures of a run, every round's included.
#[derive(Debug, Serialize)]
pub(crate) struct Report<'a, T> {
    pub(crate) scenario: &'static str,
    pub(crate) surroundings: &'a Surroundings,
    pub(crate) tables: &'a [T],
}

/// Where the two are.
#[derive(Debug)]
pub(crate) struct Written {
    figures: PathBuf,
    plot: PathBuf,
}

// === impl Report ===

impl<T: Serialize> Report<'_, T> {
    /// Writes `<scenario>.json` and `<scenario>.svg` in the run's directory.
    pub(crate) fn write(&self, plot: &Plot) -> Result<Written> {
        let dir = directory(self.surroundings)?;
        let write = |ending: &str, text: String| {
            let path = dir.join(format!("{}.{ending}", self.scenario));
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
            anyhow::Ok(path)
        };
        let json = serde_json::to_string_pretty(self).context("writing JSON")?;
        Ok(Written { figures: write("json", json + "\n")?, plot: write("svg", plot.to_string())? })
    }
}

// === impl Written ===

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "all figures: {}, plot: {}", self.figures.display(), self.plot.display())
    }
}

/// Where a run's files go: `bench` in the target directory, or `bench/quick` where its figures are worth nothing.
fn directory(surroundings: &Surroundings) -> Result<PathBuf> {
    // Cargo put this program into a profile's directory there.
    let program = env::current_exe().context("looking for this program")?;
    let dir = program.ancestors().nth(2).context("no target directory")?.join("bench");
    let dir = if surroundings.smoke { dir.join("quick") } else { dir };
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    Ok(dir)
}
