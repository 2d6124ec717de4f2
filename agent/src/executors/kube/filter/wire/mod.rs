//! Protobuf's wire format, read as it arrives and written: varints, fields, and nothing of what they mean.
//!
//! <https://protobuf.dev/programming-guides/encoding/>

mod head;
mod walk;
mod write;

#[cfg(test)]
pub(super) use self::walk::tests;
pub(crate) use self::{
    head::{FieldHeads, Head, bytes_fields, parts},
    walk::{Field, MessageWalk, fields},
    write::{put_bytes, put_filler, put_head, put_number, without},
};

/// Field numbers have 29 bits.
const LARGEST_FIELD: u64 = (1 << 29) - 1;
