//! The managed filter in front of a real cluster: what it shows, what it hides, and by what it decides.

mod argo;
mod creates;
mod events;
mod hidden;
mod owners;
mod permissions;
mod settings;
