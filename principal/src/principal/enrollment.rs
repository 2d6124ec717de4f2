//! Puts together how agents get their certificates.

use std::sync::Arc;

use common::telemetry::Registry as Metrics;

use crate::{
    agents::auth::Authenticator,
    config::Config,
    control_plane::ControlPlane,
    enrollment::{Authority, EnrollmentMetrics, EnrollmentService, Options},
};

/// The service, where there is to be one. Without a control plane there is none, which the settings do not let happen.
pub(super) fn service(
    config: &Config,
    control_plane: Option<&ControlPlane>,
    authenticator: &Arc<Authenticator>,
    metrics: &mut Metrics,
) -> Option<EnrollmentService> {
    let (enrollment, control_plane) = (config.enrollment.as_ref()?, control_plane?);
    let registry = metrics.part("enrollment");
    let authority = Arc::new(Authority::new(registry));
    control_plane.authority(&config.namespace, enrollment.authority.as_str(), Arc::clone(&authority));
    let options = Options {
        authority,
        tokens: control_plane.join_tokens(&config.namespace),
        authenticator: Arc::clone(authenticator),
        lifetime: enrollment.lifetime,
        namespace: config.namespace.clone(),
    };
    Some(EnrollmentService::new(options, EnrollmentMetrics::register(registry)))
}
