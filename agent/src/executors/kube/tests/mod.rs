//! The executor over an in-memory pipe, before an API server that counts, and that may misbehave.
//!
//! What a real API server does with the requests is for the integration tests to show; here it is shown which requests
//! reach it, and what becomes of answers that a real one would not give.

mod ancestry;
mod creates;
mod events;
mod exchange;
mod faults;
mod guard;
mod lists;
mod read;
mod server;
mod watches;
mod world;
