//! What a pipe leads to at the agent. Never an address: the agent alone knows where its backends are.

use crate::proto;

/// A kind of executor at the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// The Kubernetes API of the workload cluster; HTTP/1.1 runs in the pipe.
    Kube,
    /// The Redis of Argo CD in the workload cluster; RESP runs in the pipe.
    Redis,
}

// === impl Target ===

impl Target {
    /// Reads a target from the wire; `None` for one that this build does not know.
    #[must_use]
    pub fn from_wire(wire: &proto::Target) -> Option<Self> {
        match wire.target.as_ref()? {
            proto::target::Target::Kube(_) => Some(Self::Kube),
            proto::target::Target::Redis(_) => Some(Self::Redis),
        }
    }

    /// The target as it stands on the wire.
    #[must_use]
    pub fn to_wire(self) -> proto::Target {
        let target = match self {
            Self::Kube => proto::target::Target::Kube(proto::target::Kube {}),
            Self::Redis => proto::target::Target::Redis(proto::target::Redis {}),
        };
        proto::Target { target: Some(target) }
    }

    /// A word for metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Kube => "kube",
            Self::Redis => "redis",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_on_the_wire_what_it_was() {
        for target in [Target::Kube, Target::Redis] {
            assert_eq!(Target::from_wire(&target.to_wire()), Some(target), "{}", target.label());
        }
        assert_eq!(Target::from_wire(&proto::Target { target: None }), None);
    }
}
