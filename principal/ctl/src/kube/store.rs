//! Objects of one kind in one namespace.

use std::fmt::Debug;

use anyhow::bail;
use kube::{
    Api, Resource,
    api::{DeleteParams, ListParams, PostParams, Preconditions},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{Place, told::Asked};

#[derive(Clone)]
pub(crate) struct Store<K> {
    api: Api<K>,
    asked: Asked,
}

/// What is to become of an object.
#[derive(Debug)]
pub(crate) enum Change<K> {
    Write(K),
    Leave,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    Created,
    Updated,
    Left,
}

// === impl Store ===

impl<K> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    pub(super) fn new(kind: &'static str, resource: &'static str, api: Api<K>, place: &Place, server: &str) -> Self {
        let asked = Asked { kind, resource, place: place.clone(), server: server.to_owned() };
        Self { api, asked }
    }

    /// `Secret namespace/name`, as errors call it.
    pub(crate) fn called(&self, name: &str) -> String {
        self.asked.called(name)
    }

    pub(crate) async fn get(&self, name: &str) -> anyhow::Result<Option<K>> {
        self.api.get_opt(name).await.map_err(|error| self.asked.told("get", name, &error))
    }

    pub(crate) async fn list(&self, selector: &str) -> anyhow::Result<Vec<K>> {
        let mut found = Vec::new();
        let mut pages = ListParams::default().labels(selector).limit(PAGE);
        loop {
            let page = self.api.list(&pages).await.map_err(|error| self.asked.told("list", "", &error))?;
            found.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => pages = pages.continue_token(&token),
                None => return Ok(found),
            }
        }
    }

    /// Asks `decide` what is to become of what is there, and writes it with one call. Where somebody else wrote
    /// meanwhile, asks again about what is there then.
    ///
    /// # Errors
    /// What `decide` says, and what the API server does.
    pub(crate) async fn change(
        &self,
        name: &str,
        mut decide: impl FnMut(Option<K>) -> anyhow::Result<Change<K>>,
    ) -> anyhow::Result<Written> {
        let params = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
        for _ in 0..ATTEMPTS {
            let before = self.get(name).await?;
            let exists = before.is_some();
            // The version comes with what was read, so that a replacement of anything else is refused.
            let Change::Write(object) = decide(before)? else { return Ok(Written::Left) };
            let written = if exists {
                self.api.replace(name, &params, &object).await.map(|_| Written::Updated)
            } else {
                self.api.create(&params, &object).await.map(|_| Written::Created)
            };
            match written {
                Ok(written) => return Ok(written),
                Err(error) if met_another(&error, exists) => {}
                Err(error) => return Err(self.asked.told(if exists { "update" } else { "create" }, name, &error)),
            }
        }
        bail!("{} is changed by others all the time: see who does, then try again", self.called(name))
    }

    /// Deletes the very object that was looked at; false when it is gone, or is another one now.
    pub(crate) async fn delete(&self, object: &K) -> anyhow::Result<bool> {
        let meta = object.meta();
        let name = meta.name.as_deref().unwrap_or_default();
        let same = Preconditions { uid: meta.uid.clone(), resource_version: None };
        let params = DeleteParams { preconditions: Some(same), ..DeleteParams::default() };
        match self.api.delete(name, &params).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
            Err(error) => Err(self.asked.told("delete", name, &error)),
        }
    }
}

/// It was written (409 Conflict) or deleted (404) since it was read, or created (409 AlreadyExists).
fn met_another(error: &kube::Error, exists: bool) -> bool {
    let kube::Error::Api(status) = error else { return false };
    match status.reason.as_str() {
        "Conflict" | "NotFound" => exists,
        "AlreadyExists" => !exists,
        _ => false,
    }
}

/// Who wrote, in `managedFields`.
const MANAGER: &str = "argocd-agentctl";
/// Each means that somebody else wrote in the milliseconds between.
const ATTEMPTS: usize = 20;
/// A cluster Secret with chains of certificates may have 50 KiB.
const PAGE: u32 = 100;
