//! The client asks kube-apiserver itself: what any way around it is measured against.

use super::{Contestant, Ground, Kind};

pub(super) fn start(ground: Ground<'_>) -> Contestant {
    Contestant::starting(Kind::Direct, ground.api_server.endpoint().clone(), Vec::new())
}
