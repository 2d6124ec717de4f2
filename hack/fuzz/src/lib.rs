//! Attacks on the scanners that the product trusts. Four are the managed filter's: lists and watches, in JSON and in
//! protobuf.
//!
//! A target takes bytes, makes an answer of the API server of them, has a scanner filter it, and holds the outcome
//! against a plain decoder that sees the whole answer at once. Which objects are to be shown is said by the objects
//! themselves (`fate`), so that both sides know. Two things are asked, whatever the bytes:
//!
//! * What came out is what the plain decoder would show, or a beginning of that where the scanner gave up: so nothing
//!   of an object that is hidden, or that could not be read, ever comes out.
//! * An answer such as an API server writes passes to its end. There the bytes are not the answer but the choices of
//!   which it is made (`source`).
//!
//! Two more targets attack the scanners of what is said to Redis and by it: what they find in a stream, cut anywhere,
//! must be what a plain reader of the whole stream finds.
//!
//! `docs/development.md` tells how to run them under libFuzzer. `corpus.rs` runs what is checked in, and some
//! thousand variations of it, with the other tests.

mod case;
#[cfg(test)]
mod corpus;
mod fate;
mod json;
mod protobuf;
mod resp;
mod source;

pub use json::{list::json_list, watch::json_watch};
pub use protobuf::{list::protobuf_list, watch::protobuf_watch};
pub use resp::{commands::resp_commands, replies::resp_replies};
