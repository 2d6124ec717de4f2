//! The programs that contestants run, found or built before anything is started.

use anyhow::Result;

use super::{Kind, Nginx, Ours, Rival, argocd_agent::ArgocdAgent, konnectivity::Konnectivity};
use crate::{args, stage::Versions};

/// The programs that contestants run.
#[derive(Debug, Default)]
pub(crate) struct Programs {
    pub(crate) nginx: Option<Nginx>,
    pub(crate) ours: Option<Ours>,
    pub(crate) argocd_agent: Option<ArgocdAgent>,
    pub(crate) konnectivity: Option<Konnectivity>,
}

// === impl Programs ===

impl Programs {
    /// Finds what these need: ours is built, nginx installed, and rivals are where somebody says that they are.
    pub(crate) async fn find(kinds: &[Kind], rivals: &[&Rival], wanted: &args::Program) -> Result<Self> {
        let mut programs = Self::default();
        // First what takes no time, and what a slip of the pen may be in.
        for rival in rivals {
            match rival {
                Rival::ArgocdAgent(path) => programs.argocd_agent = Some(ArgocdAgent::given(rival, path).await?),
                Rival::Konnectivity(path) => programs.konnectivity = Some(Konnectivity::given(rival, path).await?),
            }
        }
        if kinds.iter().any(|kind| kind.is_ours()) {
            programs.ours = Some(Ours::given_or_build(wanted).await?);
        }
        if kinds.contains(&Kind::Chain) {
            programs.nginx = Some(Nginx::locate_or_install().await?);
        }
        Ok(programs)
    }

    pub(crate) fn versions(&self) -> Versions {
        let Self { nginx, ours, argocd_agent, konnectivity } = self;
        let rivals = [argocd_agent.as_ref().map(|it| &it.version), konnectivity.as_ref().map(|it| &it.version)];
        Versions {
            argocd_agent: ours.as_ref().map(|ours| ours.version.clone()),
            nginx: nginx.as_ref().map(|nginx| nginx.version.clone()),
            redis: None,
            rivals: rivals.into_iter().flatten().cloned().collect(),
        }
    }
}
