//! `argocd-agentctl validate`.

use anyhow::anyhow;
use common::AgentName;
use serde::Serialize;
use serde_json::Value;

use super::{
    checks::{self, Roots},
    secret_names::{SecretNames, operators_spec},
    surroundings,
};
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
    let mut checks = Vec::new();
    let spec = read_operators(side, &mut checks).await;
    let names = SecretNames::of_principal(&spec);
    let authority = checks::authority(side, &names).await;
    // Without an authority the others are still looked at, for all but who signed them.
    let roots = authority.as_ref().cloned().unwrap_or_default();
    let principal = checks::principal_tls(side, &names, &roots).await;
    let routes = surroundings::routes(side, principal.as_ref().ok()).await;
    checks.extend([
        Check::of("CA", authority).ending(roots.ca.first()),
        Check::of_certificate("Principal TLS certificate", principal),
        Check::of_certificate("Resource proxy TLS certificate", checks::door_tls(side, &names, &roots).await),
        Check::of("JWT signing key", checks::jwt_key(side, &names).await),
        Check::of("Cluster secrets of agents", checks::clusters(side, &roots).await),
        Check::of("Scope of Argo CD", surroundings::scope(side, &spec).await),
        Check::of("Applications of no agent", surroundings::applications(side).await),
        Check::of("Network policies of Redis", surroundings::redis(side).await),
        Check::of("Deployed components", surroundings::components(side).await),
    ]);
    // Elsewhere than on OpenShift nobody knows what that is.
    if !matches!(routes, Ok(false)) {
        checks.push(Check::of("Routes", routes));
    }
    checks
}

async fn of_agent(principal: &Side, agent: &Side) -> Vec<Check> {
    let mut checks = Vec::new();
    let principals = SecretNames::of_principal(&read_operators(principal, &mut checks).await);
    let names = SecretNames::of_agent(&read_operators(agent, &mut checks).await);
    let authority = checks::authority(principal, &principals).await;
    let roots = authority.as_ref().cloned().unwrap_or_else(|_| Roots::default());
    let blocked = checks::blocklist(principal).await;
    let blocked_now = blocked.as_ref().cloned().unwrap_or_default();
    let ca = checks::agent_ca(agent, &names, &roots).await;
    let leaf = checks::agent_tls(agent, &names, &roots, &blocked_now).await;
    let name = leaf.as_ref().ok().and_then(|leaf| AgentName::parse(leaf.common_name.as_deref()?).ok());
    let not_known = || anyhow!("not known before the certificate can be used");
    let (known, namespace) = match &name {
        Some(name) => (checks::known(principal, name).await, surroundings::namespace_of(principal, name).await),
        None => (Err(not_known()), Err(not_known())),
    };
    checks.extend([
        Check::of("CA of the principal", authority).ending(roots.ca.first()),
        Check::of("Blocklist of the principal", blocked),
        Check::of("CA of the agent", ca),
        Check::of_certificate("Client certificate of the agent", leaf),
        Check::of("Cluster secret of the agent", known),
        Check::of_advice("Namespace of the agent", namespace),
        Check::of("Network policies of Redis", surroundings::redis(agent).await),
        Check::of("Deployed components", surroundings::components(agent).await),
    ]);
    checks
}

/// What Argo CD's operator is told there. That it cannot be asked is one more check, and all else is as without.
async fn read_operators(side: &Side, checks: &mut Vec<Check>) -> Value {
    let spec = operators_spec(side).await;
    spec.unwrap_or_else(|error| {
        checks.push(Check::of::<()>("Settings of Argo CD's operator", Err(error)));
        Value::Null
    })
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

    /// As [`of`](Self::of), of what is no fault but may be none that was meant.
    fn of_advice(check: &str, result: anyhow::Result<Option<String>>) -> Self {
        let warning = result.as_ref().ok().cloned().flatten();
        Self { warning, ..Self::of(check, result) }
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
