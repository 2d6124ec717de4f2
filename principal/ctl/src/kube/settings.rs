//! The config file: names for the contexts and namespaces of principals and agents.

use std::{collections::BTreeMap, io::Write, path::Path};

use anyhow::{Context, anyhow};
use serde::{Deserialize, Serialize};

use super::Role;

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    #[serde(default)]
    pub(crate) contexts: Contexts,
    #[serde(rename = "default-principal", default, skip_serializing_if = "Option::is_none")]
    pub(crate) default_principal: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Contexts {
    #[serde(default)]
    principals: BTreeMap<String, Entry>,
    #[serde(default)]
    agents: BTreeMap<String, Entry>,
}

/// What a name stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    #[serde(rename = "kube-context", default)]
    pub(crate) kube_context: String,
    #[serde(default)]
    pub(crate) namespace: String,
}

// === impl Settings ===

impl Settings {
    /// A file that is not there is an empty one.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub(crate) fn read_if_there(path: &Path) -> anyhow::Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).map_err(|problem| anyhow!("{} is not valid: {problem}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        // The rest of what the parser says is an excerpt of several lines.
        serde_saphyr::from_str(text).map_err(|error| error.to_string().lines().next().unwrap_or_default().to_owned())
    }

    /// Writes the file beside itself first: whoever reads meanwhile reads the old or the new one, whole.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let failed = || format!("cannot write {}", path.display());
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).with_context(failed)?;
        let mut file = tempfile::NamedTempFile::new_in(folder).with_context(failed)?;
        file.write_all(serde_saphyr::to_string(self)?.as_bytes()).with_context(failed)?;
        file.persist(path).with_context(failed)?;
        Ok(())
    }

    pub(crate) fn entries(&self, role: Role) -> &BTreeMap<String, Entry> {
        match role {
            Role::Principal => &self.contexts.principals,
            Role::Agent => &self.contexts.agents,
        }
    }

    pub(crate) fn entries_mut(&mut self, role: Role) -> &mut BTreeMap<String, Entry> {
        match role {
            Role::Principal => &mut self.contexts.principals,
            Role::Agent => &mut self.contexts.agents,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_an_upstream_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/ctl.conf");
        assert_eq!(Settings::read_if_there(&path).unwrap(), Settings::default());
        let mut settings = Settings { default_principal: Some("p".into()), ..Settings::default() };
        let entry = Entry { kube_context: "kind-a: b".into(), namespace: "argocd".into() };
        settings.entries_mut(Role::Principal).insert("p".into(), entry);
        settings.write(&path).unwrap();
        assert_eq!(Settings::read_if_there(&path).unwrap(), settings);
        let upstream = "contexts:\n    principals:\n        p:\n            kube-context: c\n            namespace: n\n    \
                        agents: {}\ndefault-principal: p\n";
        assert_eq!(Settings::parse(upstream).unwrap().entries(Role::Principal)["p"].namespace, "n");
        std::fs::write(&path, "contexts: [").unwrap();
        let error = Settings::read_if_there(&path).unwrap_err().to_string();
        assert!(error.contains("ctl.conf is not valid") && error.lines().count() == 1, "{error}");
    }
}
