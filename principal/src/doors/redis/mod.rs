//! The Redis door: Argo CD's server reads what agents hold as if it were in its own Redis.

pub mod subscriptions;
