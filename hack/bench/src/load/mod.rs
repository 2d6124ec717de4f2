//! The client: one of its kind for every contestant, so that what it costs is the same for all.
//!
//! It lives on the benchmark's one thread, with a connection per client and one request at a time on each (closed loop),
//! and looks at every byte of every answer.

mod changer;
mod channels;
mod clients;
mod connection;
mod crew;
mod editor;
mod expected;
mod fetch;
mod follow;
mod items;
mod port;
mod protobuf;
mod proxy;
pub(crate) mod resp;
mod stalled;
mod typist;
mod watch;

pub(crate) use changer::Changer;
pub(crate) use clients::{Explorer, Newcomer, Reader};
pub(crate) use connection::{Connection, Encoding, Endpoint, Protocol};
pub(crate) use crew::{Burst, Client, Crew};
pub(crate) use editor::Editor;
pub(crate) use expected::Expected;
pub(crate) use fetch::{Fetch, fetch, fetch_whole, next_data};
pub(crate) use follow::{Followers, Scribe, log};
pub(crate) use port::Port;
pub(crate) use stalled::Stalled;
pub(crate) use typist::Typist;
pub(crate) use watch::{Sight, State, Watchers};
