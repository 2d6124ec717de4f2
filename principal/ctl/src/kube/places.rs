//! Where the two sides are: flags before names from the config file, before its default, before the current context.

use anyhow::anyhow;

use super::settings::{Entry, Settings};
use crate::{cli::Global, names::DEFAULT_NAMESPACE};

/// One of the two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Principal,
    Agent,
}

/// A namespace of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) role: Role,
    /// Of the kubeconfig; none means its current one.
    pub(crate) context: Option<String>,
    pub(crate) namespace: String,
}

/// What was typed of both, and the config file.
#[derive(Debug)]
pub(crate) struct Places {
    global: Global,
    settings: Settings,
}

// === impl Places ===

impl Places {
    pub(crate) fn new(global: Global) -> anyhow::Result<Self> {
        let settings = global.config_path().map(|path| Settings::read_if_there(&path)).transpose()?;
        let settings = settings.unwrap_or_default();
        Ok(Self { global, settings })
    }

    /// The principal's side.
    ///
    /// # Errors
    /// When a name is not in the config file.
    pub(crate) fn principal(&self) -> anyhow::Result<Place> {
        let Global { principal_context, principal_namespace, principal, .. } = &self.global;
        let default = || {
            // A context of its own says where; its namespace is not the default principal's.
            let name = self.settings.default_principal.as_deref().filter(|name| !name.is_empty());
            name.filter(|_| principal_context.is_none())
        };
        let entry = principal.as_deref().or_else(default);
        let entry = entry.map(|name| self.entry(Role::Principal, name)).transpose()?;
        Ok(Place::merged(Role::Principal, principal_context.as_ref(), principal_namespace.as_ref(), entry))
    }

    /// The agent's side.
    ///
    /// # Errors
    /// When a name is not in the config file.
    pub(crate) fn agent(&self) -> anyhow::Result<Place> {
        let Global { agent_context, agent_namespace, agent, .. } = &self.global;
        let entry = agent.as_deref().map(|name| self.entry(Role::Agent, name)).transpose()?;
        Ok(Place::merged(Role::Agent, agent_context.as_ref(), agent_namespace.as_ref(), entry))
    }

    fn entry(&self, role: Role, name: &str) -> anyhow::Result<&Entry> {
        self.settings.entries(role).get(name).ok_or_else(|| {
            let role = role.word();
            anyhow!("no {role} is called {name:?} in the config file: see `config list {role}`, or add it")
        })
    }
}

// === impl Place ===

impl Place {
    fn merged(role: Role, context: Option<&String>, namespace: Option<&String>, entry: Option<&Entry>) -> Self {
        let given = |text: Option<&String>| text.filter(|text| !text.is_empty()).cloned();
        let context = given(context).or_else(|| given(entry.map(|entry| &entry.kube_context)));
        let namespace = given(namespace).or_else(|| given(entry.map(|entry| &entry.namespace)));
        Self { role, context, namespace: namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.into()) }
    }
}

// === impl Role ===

impl Role {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Principal => "principal",
            Self::Agent => "agent",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: &str = "default-principal: home\ncontexts:\n  principals:\n    home: {kube-context: c-home, \
                            namespace: n-home}\n    other: {kube-context: c-other, namespace: n-other}\n  agents:\n    \
                            a: {kube-context: c-a, namespace: n-a}\n";

    fn places(settings: &str, change: impl FnOnce(&mut Global)) -> Places {
        let mut global = Global::default();
        change(&mut global);
        Places { global, settings: Settings::parse(settings).unwrap() }
    }

    fn principal(settings: &str, change: impl FnOnce(&mut Global)) -> (Option<String>, String) {
        let place = places(settings, change).principal().unwrap();
        (place.context, place.namespace)
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn flags_come_before_names_and_names_before_the_default() {
        assert_eq!(principal("", |_| {}), (None, "argocd".into()));
        assert_eq!(principal(SETTINGS, |_| {}), (some("c-home"), "n-home".into()));
        assert_eq!(principal(SETTINGS, |g| g.principal = some("other")), (some("c-other"), "n-other".into()));
        let both = |g: &mut Global| {
            g.principal = some("other");
            g.principal_context = some("typed");
        };
        assert_eq!(principal(SETTINGS, both), (some("typed"), "n-other".into()));
        assert_eq!(principal(SETTINGS, |g| g.principal_context = some("typed")), (some("typed"), "argocd".into()));
    }

    #[test]
    fn a_namespace_alone_is_honoured() {
        let namespace = |g: &mut Global| g.principal_namespace = some("typed");
        assert_eq!(principal("", namespace), (None, "typed".into()));
        assert_eq!(principal(SETTINGS, namespace), (some("c-home"), "typed".into()));
    }

    #[test]
    fn agents_have_no_default_and_unknown_names_are_told() {
        let agent = |change: fn(&mut Global)| places(SETTINGS, change).agent().map(|place| place.context);
        assert_eq!(agent(|_| {}).unwrap(), None);
        assert_eq!(agent(|g| g.agent = some("a")).unwrap(), some("c-a"));
        let error = agent(|g| g.agent = some("b")).unwrap_err().to_string();
        assert_eq!(error, "no agent is called \"b\" in the config file: see `config list agent`, or add it");
    }
}
