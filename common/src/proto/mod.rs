//! The generated wire types. They stop in [`crate::tunnel`] and [`crate::enrollment`], which decode them into types that
//! mean something.

#![allow(missing_docs, unreachable_pub, reason = "generated from proto/, whose comments are normative")]
#![allow(clippy::all, clippy::unwrap_used, clippy::allow_attributes_without_reason, reason = "generated")]

include!("argocdagent.tunnel.v1.rs");

/// `proto/enrollment.proto`.
pub mod enrollment {
    include!("argocdagent.enrollment.v1.rs");
}
