//! What HTTP doors share: a server for callers, a client with pipes to agents, and uploads watched between them.

pub(crate) mod client;
pub(crate) mod forward;
pub(crate) mod head_guard;
mod preface;
pub(crate) mod serve;
#[cfg(test)]
pub(crate) mod test_agent;
pub(crate) mod upload;
