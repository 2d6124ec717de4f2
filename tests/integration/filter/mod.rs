//! The managed filter in front of a real cluster: what it shows, what it hides, and by what it decides.

mod argo;
mod broken_lists;
mod broken_watches;
mod changed_settings;
mod creates;
mod event_lists;
mod events;
mod hidden;
mod kubectl;
mod list_permissions;
mod listed_argo;
mod lists;
mod lookups;
mod many;
mod mixed;
mod negotiation;
mod owners;
mod pages;
mod permissions;
mod population;
mod random;
mod resumed;
mod settings;
mod slow;
mod watched_owners;
mod watches;
