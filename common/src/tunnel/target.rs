//! What a pipe leads to at the agent. Never an address: the agent alone knows where its backends are.

use crate::proto;

/// A kind of executor at the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// The Kubernetes API of the workload cluster; HTTP/1.1 runs in the pipe.
    Kube,
}

// === impl Target ===

impl Target {
    /// Reads a target from the wire; `None` for one that this build does not know.
    #[must_use]
    pub fn from_wire(wire: &proto::Target) -> Option<Self> {
        match wire.target.as_ref()? {
            proto::target::Target::Kube(_) => Some(Self::Kube),
        }
    }

    /// The target as it stands on the wire.
    #[must_use]
    pub fn to_wire(self) -> proto::Target {
        let target = match self {
            Self::Kube => proto::target::Target::Kube(proto::target::Kube {}),
        };
        proto::Target { target: Some(target) }
    }

    /// A word for metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Kube => "kube",
        }
    }
}
