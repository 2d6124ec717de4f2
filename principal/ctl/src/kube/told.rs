//! What an API server refused, in one line: which object, why, and what to do about it.

use std::error::Error as _;

use anyhow::anyhow;

use super::Place;

/// What was asked for, and of whom.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) kind: &'static str,
    pub(super) resource: &'static str,
    pub(super) place: Place,
    pub(super) server: String,
}

// === impl Asked ===

impl Asked {
    pub(super) fn called(&self, name: &str) -> String {
        format!("{} {}/{name}", self.kind, self.place.namespace)
    }

    pub(super) fn told(&self, verb: &str, name: &str, error: &kube::Error) -> anyhow::Error {
        let Self { kind, resource, place, server } = self;
        let (namespace, role) = (&place.namespace, place.role.word());
        let what = if name.is_empty() {
            format!("cannot {verb} {kind}s in namespace {namespace}")
        } else {
            format!("cannot {verb} {}", self.called(name))
        };
        let kube::Error::Api(status) = error else {
            let why = root(error);
            return anyhow!(
                "{what}: {server} cannot be asked: {why}: see that `kubectl` reaches it, or give --{role}-context"
            );
        };
        match status.code {
            401 => anyhow!("{what}: the API server does not know who asks: log in again, or give --{role}-context"),
            403 if status.message.contains("because it is being terminated") => {
                anyhow!("{what}: the namespace is being deleted: wait until it is gone, then create it again")
            }
            403 => anyhow!(
                "{what}: not allowed: have `{verb}` on {resource} in namespace {namespace} granted ({})",
                one_line(&status.message)
            ),
            404 if verb == "create" => anyhow!(
                "{what}: there is no namespace {namespace}: create it, or give --{role}-namespace or --{role}-context"
            ),
            _ => anyhow!("{what}: {}", one_line(&status.message)),
        }
    }
}

/// The innermost cause: the layers above only say that there is one.
fn root(error: &kube::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    if error.source().is_none() { one_line(&error.to_string()) } else { one_line(&innermost.to_string()) }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
