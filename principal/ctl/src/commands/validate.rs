//! `argocd-agentctl validate`.

use anyhow::anyhow;
use serde::Serialize;

use super::checks::{self, Roots};
use crate::{
    cli::Validate,
    kube::{Places, Side},
    output::{Answer, Paint},
    pki::{Certificate, now},
};

/// One check and how it went.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    pub(super) check: String,
    pub(super) ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    /// It is right, and will not be for long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) warning: Option<String>,
}

pub(super) async fn run(places: &Places, side: Validate) -> anyhow::Result<Answer> {
    let principal = Side::at(places.principal()?).await?;
    let checks = match side {
        Validate::Principal => of_principal(&principal).await,
        Validate::Agent => of_agent(&principal, &Side::at(places.agent()?).await?).await,
    };
    answer(&checks)
}

async fn of_principal(side: &Side) -> Vec<Check> {
    let authority = checks::authority(side).await;
    // Without an authority the others are still looked at, for all but who signed them.
    let roots = authority.as_ref().cloned().unwrap_or_default();
    vec![
        Check::of("CA", authority).ending(roots.ca.first()),
        Check::of_certificate("Principal TLS certificate", checks::principal_tls(side, &roots).await),
        Check::of_certificate("Resource proxy TLS certificate", checks::door_tls(side, &roots).await),
        Check::of("JWT signing key", checks::jwt_key(side).await),
        Check::of("Cluster secrets of agents", checks::clusters(side, &roots).await),
    ]
}

async fn of_agent(principal: &Side, agent: &Side) -> Vec<Check> {
    let authority = checks::authority(principal).await;
    let roots = authority.as_ref().cloned().unwrap_or_else(|_| Roots::default());
    let blocked = checks::blocklist(principal).await;
    let blocked_now = blocked.as_ref().cloned().unwrap_or_default();
    let ca = checks::agent_ca(agent, &roots).await;
    let leaf = checks::agent_tls(agent, &roots, &blocked_now).await;
    let known = match leaf.as_ref().map(|leaf| leaf.common_name.clone().unwrap_or_default()) {
        Ok(name) => checks::known(principal, &name).await,
        Err(_) => Err(anyhow!("not known before the certificate can be used")),
    };
    vec![
        Check::of("CA of the principal", authority).ending(roots.ca.first()),
        Check::of("Blocklist of the principal", blocked),
        Check::of("CA of the agent", ca),
        Check::of_certificate("Client certificate of the agent", leaf),
        Check::of("Cluster secret of the agent", known),
    ]
}

pub(super) fn answer(checks: &[Check]) -> anyhow::Result<Answer> {
    let paint = Paint::stdout();
    let line = |check: &Check| match &check.error {
        None => {
            let warning = check.warning.as_ref().map(|warning| format!(" ({warning})")).unwrap_or_default();
            format!("* {}: {}{}\n", check.check, paint.good("✅"), paint.bad(&warning))
        }
        Some(error) => format!("* {}: ❌ {}\n", check.check, paint.bad(error)),
    };
    let text: String = checks.iter().map(line).collect();
    Ok(Answer::of(&checks, text)?.failing(checks.iter().any(|check| !check.ok)))
}

// === impl Check ===

impl Check {
    pub(super) fn of<T>(check: &str, result: anyhow::Result<T>) -> Self {
        let error = result.err().map(|error| format!("{error:#}"));
        Self { check: check.to_owned(), ok: error.is_none(), error, warning: None }
    }

    /// As [`of`](Self::of), with a warning where it ends soon.
    pub(super) fn of_certificate(check: &str, result: anyhow::Result<Certificate>) -> Self {
        let certificate = result.as_ref().ok().cloned();
        Self::of(check, result).ending(certificate.as_ref())
    }

    /// The same with a warning where the certificate ends soon.
    pub(super) fn ending(mut self, certificate: Option<&Certificate>) -> Self {
        self.warning = certificate.filter(|_| self.ok).and_then(|certificate| certificate.ends_soon(now()));
        self
    }
}
