//! Which agents are attached, as a principal tells it to operators' tools, page by page.
//!
//! Append-only, like the tunnel's own messages: a tool may be older or newer than the principal. No secret is in it.

use serde::{Deserialize, Serialize};

/// Where a principal tells it.
pub const PATH: &str = "/agents";

/// The parameter that names the agent after which a page begins.
pub const AFTER: &str = "after";

/// One page, in order of names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Roster {
    /// The principal's build.
    pub version: String,
    /// Every agent that has attached since the principal started.
    pub agents: Vec<Entry>,
    /// The last of them, when there are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Whether a session is attached now.
    pub connected: bool,
    /// Since when it is so, RFC 3339.
    pub since: String,
    /// The agent's build.
    #[serde(default)]
    pub version: String,
    /// `managed` or `autonomous`.
    #[serde(default)]
    pub mode: String,
    /// The namespace of Argo CD in its cluster.
    #[serde(default)]
    pub namespace: String,
    /// What the last ping took, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_micros: Option<u64>,
}

/// How many agents are on a page: some 200 KiB.
pub const PAGE: usize = 1000;
