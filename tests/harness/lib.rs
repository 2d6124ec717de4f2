//! What tests are made of: throwaway certificates, a shared real API server, principals and agents on port 0, faulty
//! peers, and conditions to wait for.

#![allow(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a panic fails the test, as it should"
)]

pub mod audit;
pub mod broken;
pub mod client;
pub mod cluster;
pub mod control;
pub mod eventually;
pub mod faulty;
pub mod guide;
pub mod kubectl;
pub mod line;
pub mod link;
pub mod memory;
pub mod mount;
pub mod oracle;
pub mod panics;
pub mod pki;
pub mod process;
pub mod raw;
pub mod redis;
pub mod redis_scene;
pub mod resp;
pub mod scene;
pub mod shown;
pub mod site;
pub mod watched;
pub mod wire;
pub mod world;

pub use eventually::{eventually, soon};
pub use world::World;
