//! Objects that may be there or not, and of which only this is asked: their kinds, too, may be unknown to the API server.

use kube::{
    Api,
    api::{DynamicObject, ListParams},
    core::{ApiResource, GroupVersionKind},
};

use super::{Side, told::Asked};

/// A kind of objects in namespaces.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listed {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) plural: &'static str,
}

// === impl Side ===

impl Side {
    /// All of this kind in the namespace; none where the API server does not know the kind.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub(crate) async fn list(&self, listed: Listed) -> anyhow::Result<Vec<DynamicObject>> {
        let Listed { group, version, kind, plural } = listed;
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), &self.place.namespace, &resource);
        let asked = Asked { kind, resource: plural, place: self.place.clone(), server: self.server.clone() };
        let mut found = Vec::new();
        let mut pages = ListParams::default().limit(PAGE);
        loop {
            let page = match api.list(&pages).await {
                Ok(page) => page,
                Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Vec::new()),
                Err(error) => return Err(asked.told("list", "", &error)),
            };
            found.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => pages = pages.continue_token(&token),
                None => return Ok(found),
            }
        }
    }
}

/// An Application with its history may have 100 KiB.
const PAGE: u32 = 100;
