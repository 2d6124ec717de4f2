//! The Redis door, in front of real Redis servers on both sides.

mod alike;
mod bad_input;
mod clients;
mod failures;
mod order;
mod reads;
mod script;
mod subscriptions;
mod tls;

/// The tree of an application of `agent-a`, as the principal's Argo CD calls it, and as the agent's does.
const TREE: &str = "app|resources-tree|agent-a_guestbook|1.8.3.gz";
const THEIR_TREE: &str = "app|resources-tree|guestbook|1.8.3.gz";

/// Its resources.
const RESOURCES: &str = "app|managed-resources|agent-a_guestbook|1.8.3.gz";
const THEIR_RESOURCES: &str = "app|managed-resources|guestbook|1.8.3.gz";

/// A string as Redis says it.
fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}
