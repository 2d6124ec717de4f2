//! Whether one object of a list or a watch is managed.

use std::sync::Arc;

use common::Refusal;

use super::{
    Filter,
    ancestry::{Ask, Following},
    decide::is_argo_cds,
    item::{ItemKind, Subject},
    scope::Scope,
    tracking::Tracking,
    uid::Uid,
    watch::shown::{Hanging, Standing, Verdict},
};

/// What an object says itself.
enum Look {
    Managed,
    Hangs(Hanging),
    Unmanaged,
}

// === impl Filter ===

impl Filter {
    /// Decides on an object of a list.
    pub(super) async fn standing(
        &self,
        scope: &Scope,
        subject: &Subject,
        tracking: &Arc<Tracking>,
        ask: Ask,
    ) -> Result<Standing, Refusal> {
        let hanging = match self.look(scope, subject, tracking) {
            Look::Managed => return Ok(Standing::Itself),
            Look::Unmanaged => return Ok(Standing::Unmanaged),
            Look::Hangs(hanging) => hanging,
        };
        let owned = self.ancestry.managed(&hanging.links, tracking, ask).await;
        let verdict = self.verdict(scope, &hanging, owned).await?;
        Ok(Standing::Others(hanging, verdict))
    }

    /// Decides on an object of a watch.
    pub(super) async fn standing_now(
        &self,
        scope: &Scope,
        subject: &Subject,
        tracking: &Tracking,
        following: &mut Following,
    ) -> Result<Standing, Refusal> {
        match self.look(scope, subject, tracking) {
            Look::Managed => Ok(Standing::Itself),
            Look::Unmanaged => Ok(Standing::Unmanaged),
            Look::Hangs(hanging) => {
                let verdict = self.verdict_now(scope, &hanging, following).await?;
                Ok(Standing::Others(hanging, verdict))
            }
        }
    }

    /// Decides anew on an object of a watch that hangs on others.
    pub(super) async fn verdict_now(
        &self,
        scope: &Scope,
        hanging: &Hanging,
        following: &mut Following,
    ) -> Result<Verdict, Refusal> {
        let owned = following.managed(&hanging.links).await;
        self.verdict(scope, hanging, owned).await
    }

    async fn verdict(
        &self,
        scope: &Scope,
        hanging: &Hanging,
        owned: Result<bool, Refusal>,
    ) -> Result<Verdict, Refusal> {
        let managed = match owned {
            Ok(false) if scope.is_namespaces() => self.applications.deploy_to(&hanging.name).await?,
            owned => owned?,
        };
        Ok(if managed { Verdict::Managed } else { Verdict::Unmanaged })
    }

    fn look(&self, scope: &Scope, subject: &Subject, tracking: &Tracking) -> Look {
        let meta = &subject.meta;
        let links = match (scope.items(), &subject.about) {
            (ItemKind::Object, _) => {
                let argo_cds = is_argo_cds(&scope.group, &scope.resource, meta.namespace.as_deref(), &self.rules.argo);
                if argo_cds || tracking.marks(meta) {
                    if let Some(uid) = Uid::parse(&meta.uid) {
                        self.ancestry.remember(&uid);
                    }
                    return Look::Managed;
                }
                self.ancestry.links(&scope.group, &scope.resource, meta)
            }
            (ItemKind::CoreEvent | ItemKind::Event, Some(about)) => self.ancestry.link_to(about),
            (ItemKind::CoreEvent | ItemKind::Event, None) => return Look::Unmanaged,
        };
        if links.is_empty() && !scope.is_namespaces() {
            return Look::Unmanaged;
        }
        Look::Hangs(Hanging {
            namespace: meta.namespace.as_deref().map(Into::into),
            name: meta.name.as_str().into(),
            links,
        })
    }
}
