//! Every way in which we, and not the workload cluster, say no to a request; no protocol in it.
//!
//! Each protocol has one total function that renders a refusal: HTTP doors use [`crate::http::refusal`]. The text is
//! what a stranger may read; the chain of causes belongs into our own log.

use std::borrow::Cow;

/// Why a request was not carried out, in the words that the caller sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The caller showed neither a client certificate nor a token.
    NoIdentity,
    /// The caller showed a token that is not valid.
    BadBearer,
    /// The caller's certificate names no possible agent.
    BadAgentName,
    /// The request itself cannot be carried: the text says what is wrong with it.
    BadRequest(Cow<'static, str>),
    /// No session of that agent is attached.
    AgentNotConnected,
    /// The agent, or what stands behind it, did not answer in time.
    AgentTimeout,
    /// The tunnel broke while the request was in flight: it may or may not have been carried out.
    TunnelBroken,
    /// The agent cannot reach its API server: the text says why.
    UpstreamUnreachable(Cow<'static, str>),
    /// The object is not one that Argo CD manages.
    NotManaged,
    /// Collections cannot be deleted through the managed filter.
    DeleteCollectionNotAllowed,
    /// A created object must be managed here (`--managed-creates-only`).
    CreateNotManaged,
    /// Whether the object is managed cannot be decided: the text says why.
    Undecidable(Cow<'static, str>),
    /// An item of a list is larger than what the filter looks through.
    ItemTooLarge,
    /// The agent was started with its resource proxy off.
    ProxyDisabled,
    /// A limit on requests in flight is reached.
    TooManyRequests,
}

/// Who must act before the same request can succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Whoever sent the request.
    Caller,
    /// Something between the door and the workload cluster.
    Path,
}

// === impl Refusal ===

impl Refusal {
    /// The public text, in the words of upstream's documentation where it has any.
    #[must_use]
    pub fn text(&self) -> Cow<'static, str> {
        match self {
            Self::NoIdentity => "no authorization found".into(),
            Self::BadBearer => "authentication failed".into(),
            Self::BadAgentName => "invalid agent name".into(),
            Self::BadRequest(what) => what.clone(),
            Self::AgentNotConnected => "Agent is not connected, stop proxying".into(),
            Self::AgentTimeout => "Timeout communicating to the agent".into(),
            Self::TunnelBroken => "Connection to the agent was lost".into(),
            Self::UpstreamUnreachable(cause) => format!("agent cannot reach its API server: {cause}").into(),
            Self::NotManaged => "resource not managed by app".into(),
            Self::DeleteCollectionNotAllowed => "not authorized to delete collections of resources".into(),
            Self::CreateNotManaged => "not authorized to create resources that are not managed by app".into(),
            Self::Undecidable(cause) => format!("cannot decide whether the resource is managed by app: {cause}").into(),
            Self::ItemTooLarge => {
                "an item of the list is larger than 16 MiB, the most that the agent looks through".into()
            }
            Self::ProxyDisabled => "resource proxy is disabled on this agent".into(),
            Self::TooManyRequests => "too many requests in flight".into(),
        }
    }

    /// A short word for metrics and audit lines, and the agent's word to the principal.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::NoIdentity => "no_identity",
            Self::BadBearer => "bad_bearer",
            Self::BadAgentName => "bad_agent_name",
            Self::BadRequest(_) => "bad_request",
            Self::AgentNotConnected => "agent_not_connected",
            Self::AgentTimeout => "agent_timeout",
            Self::TunnelBroken => "tunnel_broken",
            Self::UpstreamUnreachable(_) => "upstream_unreachable",
            Self::NotManaged => "not_managed",
            Self::DeleteCollectionNotAllowed => "delete_collection_not_allowed",
            Self::CreateNotManaged => "create_not_managed",
            Self::Undecidable(_) => "undecidable",
            Self::ItemTooLarge => "item_too_large",
            Self::ProxyDisabled => "proxy_disabled",
            Self::TooManyRequests => "too_many_requests",
        }
    }

    /// Whose fault it is, which decides the level of our own log line.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::AgentNotConnected
            | Self::AgentTimeout
            | Self::TunnelBroken
            | Self::UpstreamUnreachable(_)
            | Self::Undecidable(_)
            | Self::ItemTooLarge
            | Self::TooManyRequests => Fault::Path,
            Self::NoIdentity
            | Self::BadBearer
            | Self::BadAgentName
            | Self::BadRequest(_)
            | Self::NotManaged
            | Self::DeleteCollectionNotAllowed
            | Self::CreateNotManaged
            | Self::ProxyDisabled => Fault::Caller,
        }
    }
}
