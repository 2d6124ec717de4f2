//! RESP, the protocol of Redis, as far as somebody between a client and a Redis must read it.
//!
//! Redis itself stays the judge of what passes here: [`commands`] and [`replies`] only find where one command or reply
//! ends and the next begins, and the few words that decide who is asked. Every byte is handed on as it came. [`frames`]
//! are the few that we say ourselves. All is pure: bytes in, bytes out, in chunks that may be cut anywhere.
//!
//! What must always be true, whatever the bytes: what both scanners hold has a bound, nothing recurses, each byte is
//! looked at once or twice, and nothing leaves the command scanner that Redis could read otherwise than we did.

pub mod commands;
#[cfg(test)]
mod cut;
pub mod frames;
mod line;
pub mod replies;

pub use commands::{Command, CommandEvent, CommandScanner, ProtocolError, Word};
pub use frames::Protocol;
pub use replies::{Reply, ReplyEvent, ReplyScanner};
