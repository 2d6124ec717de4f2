//! Pipes without the gRPC connection between their ends. For tests; public behind the feature `test-util`.

use tonic::body::Body;

use super::{Incoming, stream::Outgoing};

/// What one end says, as it comes to the other.
#[must_use]
pub fn carried(outgoing: Outgoing) -> Incoming {
    Incoming::new(Body::new(outgoing))
}
