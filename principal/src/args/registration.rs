//! The flags of self-registration, by which Argo CD learns of agents' clusters without anybody's doing.

use std::time::Duration;

use common::config::values::duration;

#[derive(Debug, Clone, PartialEq, clap::Args)]
pub(crate) struct Registration {
    /// Register the clusters of agents with Argo CD as they attach, and keep what was written good; needs get, list, watch,
    /// create and update on Secrets in the principal's namespace
    #[arg(long, env = "ARGOCD_PRINCIPAL_ENABLE_SELF_CLUSTER_REGISTRATION")]
    pub(crate) enable_self_cluster_registration: bool,

    /// Secret with the certificate and key (tls.crt, tls.key) that Argo CD shows for all self-registered clusters, and the CA
    /// certificate (ca.crt) that it trusts; followed as it changes
    #[arg(long, env = "ARGOCD_PRINCIPAL_SELF_REGISTRATION_CLIENT_CERT_SECRET", value_name = "SECRET")]
    pub(crate) self_registration_client_cert_secret: Option<String>,

    /// Where Argo CD reaches the resource proxy, for new Secrets; it is no address to listen on
    #[arg(
        long,
        env = "ARGOCD_PRINCIPAL_RESOURCE_PROXY_ADDRESS",
        value_name = "HOST:PORT",
        default_value = "argocd-agent-resource-proxy:9090"
    )]
    pub(crate) resource_proxy_address: String,

    /// Regular expression that matches the whole key of each label that agents may set on their Secret (--cluster-label of
    /// the agent); none by default, and never those of Argo CD and argocd-agent
    #[arg(long, env = "ARGOCD_PRINCIPAL_SELF_REGISTRATION_ALLOWED_LABELS", value_name = "REGEX")]
    pub(crate) self_registration_allowed_labels: Option<String>,

    /// How long a token lasts, from 10m; it is renewed when a third of that is left, and Argo CD then reads its cluster anew
    #[arg(long, env = "ARGOCD_PRINCIPAL_SELF_REGISTRATION_TOKEN_LIFETIME", value_name = "DURATION", default_value = "168h", value_parser = duration)]
    pub(crate) self_registration_token_lifetime: Duration,
}
