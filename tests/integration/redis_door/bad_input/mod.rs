//! Bad input at the Redis door: whoever says it is told and put out as Redis does it, it costs little, and nobody else
//! notices.

mod answers;
