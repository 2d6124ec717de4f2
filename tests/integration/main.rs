//! Integration and end-to-end tests: one module per behaviour, the names are sentences.

#![allow(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a panic fails the test, as it should"
)]

mod agentctl;
mod agents_auth;
mod bad_input;
mod bearer;
mod cancel;
mod changes;
mod cli;
mod cluster_info;
mod coverage;
mod drain;
mod encodings;
mod failures;
mod filter;
mod getting_started;
mod join;
mod kubectl;
mod logs;
mod observability;
mod proxy;
mod redis_door;
mod redis_endpoint;
mod redis_executor;
mod redis_routes;
mod redis_scanner;
mod redis_subscriptions;
mod refusals;
mod registration;
mod reload;
mod revocation;
mod round_trips;
mod streams;
mod tls;
mod tunnel;
mod unauthorized;
mod verbs;
mod watches;
mod windows;
