//! What was typed.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Parser;

/// Shows kubectl and redis-cli working on a workload cluster through principal and agent.
///
/// Without flags: builds the binary and a throwaway cluster (from Go modules, cached after the first time), runs a tour,
/// and stays up until Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "demo", version)]
pub(crate) struct Args {
    /// End after the tour; the exit code is 0 if every step went as it should
    #[arg(long)]
    pub(crate) tour_only: bool,

    /// Use the cluster of this kubeconfig; needs kubectl in PATH and no Go. Nothing is ever written to it
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Context in that kubeconfig, if not its current one
    #[arg(long, value_name = "CONTEXT", requires = "kubeconfig")]
    pub(crate) context: Option<String>,

    /// An object of that cluster to show: NAMESPACE/KIND/NAME, or KIND/NAME for one without namespace
    #[arg(long, value_name = "OBJECT", requires = "kubeconfig")]
    pub(crate) object: Option<Object>,

    /// Port of 127.0.0.1 to serve kubectl on, if not a free one
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,

    /// Use this argocd-agent and build none
    #[arg(long, value_name = "FILE", overrides_with = "binary")]
    pub(crate) binary: Option<PathBuf>,

    /// Keep certificates, kubeconfig and logs here; without it they go to a temporary directory
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
}

/// An object as kubectl is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    namespace: Option<String>,
    kind: String,
    name: String,
}

// === impl Object ===

impl Object {
    /// One without a namespace.
    pub(crate) fn cluster_wide(kind: &str, name: &str) -> Self {
        Self { namespace: None, kind: kind.to_owned(), name: name.to_owned() }
    }

    /// Arguments of `kubectl get`.
    pub(crate) fn args(&self) -> impl Iterator<Item = String> {
        let namespace = self.namespace.as_ref().map(|namespace| format!("--namespace={namespace}"));
        [self.kind.clone(), self.name.clone()].into_iter().chain(namespace)
    }
}

impl FromStr for Object {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split('/').collect::<Vec<_>>();
        // A leading dash would become a flag of kubectl.
        if parts.iter().any(|part| part.is_empty() || part.starts_with('-')) {
            return Err(OBJECT);
        }
        match parts.as_slice() {
            [kind, name] => Ok(Self::cluster_wide(kind, name)),
            [namespace, kind, name] => {
                Ok(Self { namespace: Some((*namespace).to_owned()), ..Self::cluster_wide(kind, name) })
            }
            _ => Err(OBJECT),
        }
    }
}

const OBJECT: &str = "must be NAMESPACE/KIND/NAME or KIND/NAME, such as default/configmap/kube-root-ca.crt";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_named_with_and_without_a_namespace() {
        let args = |text: &str| text.parse::<Object>().map(|object| object.args().collect::<Vec<_>>());
        assert_eq!(args("default/configmap/c").unwrap(), ["configmap", "c", "--namespace=default"]);
        assert_eq!(args("namespace/default").unwrap(), ["namespace", "default"]);
    }

    #[test]
    fn an_object_never_becomes_a_flag_or_a_list() {
        for text in ["", "pods", "default/pods/", "/pods/a", "default/--all/a", "a/b/c/d"] {
            assert!(text.parse::<Object>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_flags_are_sound() {
        <Args as clap::CommandFactory>::command().debug_assert();
        assert!(Args::try_parse_from(["demo", "--context", "c"]).is_err());
        assert!(Args::try_parse_from(["demo", "--port", "0"]).is_err());
    }
}
