//! The Secrets of the agent's own namespace, read and written one at a time.
//!
//! A write is one call, and one that met another writer is done again on what that one left. Read by `list`, which the agent
//! may do anyway, for it follows them.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use tokio::time::timeout;

use super::PlaceError;

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Secrets {
    api: Api<Secret>,
    namespace: String,
}

/// What is to be in a Secret; all else that is in it stays.
#[derive(Clone, Copy)]
pub(super) struct Entries<'a> {
    pub(super) data: &'a [(&'static str, &'a str)],
    /// An annotation that says who made it.
    pub(super) mark: Option<&'static str>,
    /// Its type, where there is none yet.
    pub(super) kind: &'static str,
    /// Whether the API server only says whether it would.
    pub(super) rehearsal: bool,
}

// === impl Secrets ===

impl Secrets {
    pub(super) fn new(client: kube::Client, namespace: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), namespace: namespace.to_owned() }
    }

    /// As errors call it.
    pub(super) fn called(&self, name: &str) -> String {
        format!("Secret {}/{name}", self.namespace)
    }

    pub(super) async fn find(&self, name: &str) -> Result<Option<Secret>, PlaceError> {
        let one = ListParams::default().fields(&format!("metadata.name={name}"));
        let found = self.asked("list", name, self.api.list(&one)).await?;
        Ok(found.items.into_iter().next())
    }

    /// Creates the Secret, or puts these entries into the one that is there.
    pub(super) async fn put(&self, name: &str, entries: Entries<'_>) -> Result<(), PlaceError> {
        let params = PostParams { dry_run: entries.rehearsal, field_manager: Some(MANAGER.to_owned()) };
        for _ in 0..ATTEMPTS {
            let (verb, written) = match self.find(name).await? {
                Some(mut secret) => {
                    entries.write(&mut secret);
                    ("update", self.asked("update", name, self.api.replace(name, &params, &secret)).await)
                }
                None => {
                    let mut secret = Secret { type_: Some(entries.kind.to_owned()), ..Secret::default() };
                    secret.metadata.name = Some(name.to_owned());
                    entries.write(&mut secret);
                    ("create", self.asked("create", name, self.api.create(&params, &secret)).await)
                }
            };
            match written {
                Ok(_) => return Ok(()),
                Err(error) if error.met_another(verb) => {}
                Err(error) => return Err(error),
            }
        }
        Err(PlaceError::Contended(self.called(name)))
    }

    async fn asked<T>(
        &self,
        verb: &'static str,
        name: &str,
        call: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, PlaceError> {
        match timeout(PATIENCE, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(source)) => Err(PlaceError::Api { verb, object: self.called(name), source: source.into() }),
            Err(_elapsed) => Err(PlaceError::Silent(self.called(name))),
        }
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

// === impl Entries ===

impl Entries<'_> {
    pub(super) fn write(&self, secret: &mut Secret) {
        let data = secret.data.get_or_insert_with(BTreeMap::new);
        for (key, text) in self.data {
            data.insert((*key).to_owned(), ByteString(text.as_bytes().to_vec()));
        }
        if let Some(mark) = self.mark {
            let annotations = secret.metadata.annotations.get_or_insert_with(BTreeMap::new);
            annotations.insert(mark.to_owned(), "true".to_owned());
        }
    }
}

/// Who wrote, in `managedFields`.
const MANAGER: &str = "argocd-agent";
/// Each means that somebody else wrote in the milliseconds between.
const ATTEMPTS: usize = 10;
/// For one call; admission webhooks have 10 s each by default.
const PATIENCE: Duration = Duration::from_secs(30);
