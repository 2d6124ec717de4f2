//! The principal: the doors in the control plane, and the agents behind them.
//!
//! A request's way: [`listen`] → [`doors`] → [`agents::dialer`] → the tunnel.

pub mod agents;
pub mod args;
mod cluster_info;
pub mod config;
pub mod control_plane;
pub mod doors;
pub mod enrollment;
pub mod listen;
mod principal;
mod redis;
pub mod registration;
pub mod revocation;
mod turns;
mod wait;

pub use principal::{Error, Principal, run};
