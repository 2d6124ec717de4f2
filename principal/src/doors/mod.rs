//! The doors: where callers in the control plane come in, each speaking one protocol.
//!
//! A door takes a connection from [`crate::listen`], finds out for each request who asks and which agent is meant,
//! reaches that agent through a [`crate::agents::Dialer`], and answers every request it took: with what came from the
//! agent, unchanged, or with a [`common::Refusal`].
//!
//! Doors never see each other, nor the registry of agents. What HTTP doors have in common is in `http`.
//!
//! # How to add a door
//!
//! 1. A [`common::tunnel::Target`] for what it leads to, and an executor for that target at the agent.
//! 2. A module here whose type has `new` (dialer, options, metrics, drain) and `serve` (one connection).
//! 3. Identity per request, never per connection, wherever the protocol can carry one in a request.
//! 4. Each `Refusal` in the words of its protocol: one total function, so that a new refusal does not compile until it
//!    has an answer here. Never an empty answer, never a dropped connection instead of one.
//! 5. Limits: a deadline for whatever waits, a bound for whatever grows. A caller that stalls stalls itself alone; one
//!    that leaves cancels its work at the agent.
//! 6. Every task on the drain, so that a principal that stops finishes what runs and waits for nothing else.
//! 7. One audit line at the end of each request; requests, durations and requests in flight as metrics.
//! 8. A listener in `principal.rs`, its flags in [`crate::args`], rows in the tables of the integration tests:
//!    unauthorised, limits, drain.

pub(crate) mod http;
pub mod kube;
pub mod redis;
