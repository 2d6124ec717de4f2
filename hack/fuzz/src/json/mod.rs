//! JSON, read the plain way: the whole text is there, and every value is looked for from its beginning.
//!
//! What stands in values that do not matter is read as leniently as the scanners do, which leave that to the client:
//! brackets must balance, and strings end. All that says what is an object, and which, is read strictly.

pub(crate) mod list;
mod object;
mod row;
mod text;
pub(crate) mod watch;
mod write;
