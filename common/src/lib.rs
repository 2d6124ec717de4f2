//! What both ends of the tunnel must agree on.
//!
//! This crate admits only what two of {principal, agent, ctl} use, or one half of a matched pair. It knows no door and
//! no executor.

pub mod accept;
pub mod agent_key;
pub mod agent_name;
pub mod api_server;
pub mod application;
pub mod auth;
pub mod build_info;
pub mod cluster_info_key;
pub mod config;
pub mod drain;
pub mod enrollment;
pub mod grpc;
pub mod http;
pub mod label;
pub mod pki;
pub mod proto;
pub mod proxy;
pub mod redis;
pub mod refusal;
pub mod report;
pub mod resp;
pub mod roster;
pub mod telemetry;
pub mod tls;
pub mod tunnel;

pub use agent_key::AgentKey;
pub use agent_name::AgentName;
pub use application::Application;
pub use cluster_info_key::ClusterInfoKey;
pub use refusal::Refusal;
pub use report::Report;
