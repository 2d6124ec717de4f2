//! What a client says to Redis, found command by command.
//!
//! Read exactly as Redis 7 reads it (`processInputBuffer`, networking.c), oddities included: nobody looks what the two
//! bytes behind an argument are, nor at the second byte that ends a line; a NUL hides the end of its line for ever; an
//! empty line and an array of no or fewer elements are nothing. Where Redis's verdict depends on how the bytes happen to
//! be cut (lines of more than 64 KiB that are there at once), ours is what Redis says when they come one by one.
//!
//! Nothing comes out before it is certain how Redis will read it: a line that is not judged is held, and so is a command
//! until what matters of its arguments is known. Then it streams.

mod command;
mod error;
mod inline;
mod limits;
mod scanner;
mod word;

pub use command::{Argument, Command, Part};
pub use error::ProtocolError;
pub use limits::{Limits, Login};
pub use scanner::{CommandEvent, CommandScanner};
pub use word::Word;

#[cfg(test)]
mod tests;
