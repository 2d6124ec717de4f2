//! The names by which principal, agents and Argo CD find each other's objects: upstream's, but where it says otherwise.

/// Certificate and key of the authority in the principal's namespace; in the agent's its certificate alone, `ca.crt`.
pub(crate) const CA: &str = "argocd-agent-ca";
/// Ours: the authority of those who call the doors, where it is another than that of the agents.
pub(crate) const CLIENT_CA: &str = "argocd-agent-client-ca";
pub(crate) const PRINCIPAL_TLS: &str = "argocd-agent-principal-tls";
pub(crate) const RESOURCE_PROXY_TLS: &str = "argocd-agent-resource-proxy-tls";
pub(crate) const CLIENT_TLS: &str = "argocd-agent-client-tls";
pub(crate) const JWT: &str = "argocd-agent-jwt";
pub(crate) const BLOCKLIST: &str = "argocd-agent-tls-blocklist";

pub(crate) const TLS_CRT: &str = "tls.crt";
pub(crate) const TLS_KEY: &str = "tls.key";
pub(crate) const CA_CRT: &str = "ca.crt";
pub(crate) const JWT_KEY: &str = "jwt.key";

pub(crate) const TYPE_TLS: &str = "kubernetes.io/tls";
pub(crate) const TYPE_OPAQUE: &str = "Opaque";

/// The common name of the principal's certificate.
pub(crate) const PRINCIPAL_CN: &str = "argocd-agent-principal";
/// The common name of the Kubernetes door's certificate.
pub(crate) const RESOURCE_PROXY_CN: &str = "argocd-agent-resource-proxy";
/// What upstream's certificates say of their authority, and scripts may look for.
pub(crate) const CA_ORGANIZATION: &str = "DO NOT USE IN PRODUCTION";

pub(crate) const DEFAULT_NAMESPACE: &str = "argocd";
pub(crate) const DEFAULT_RESOURCE_PROXY: &str = "argocd-agent-resource-proxy:9090";
