//! What the API server itself saw: its audit log.
//!
//! It tells which requests reached it, as whom, and when each of them ended, streams included.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    time::Duration,
};

use serde_json::Value;
use tokio::time::Instant;

use crate::{cluster::cluster, eventually};

/// A reader of the audit log, from when it was opened on.
#[derive(Debug)]
pub struct Audit {
    file: File,
    /// The beginning of a line whose end has not been written yet.
    rest: String,
    events: Vec<Value>,
}

// === impl Audit ===

impl Audit {
    /// Everything from here on.
    ///
    /// # Panics
    /// When the log cannot be read.
    #[must_use]
    pub fn from_now() -> Self {
        let mut file = File::open(cluster().log_dir().join(LOG)).expect("the API server's log");
        file.seek(SeekFrom::End(0)).expect("a file");
        Self { file, rest: String::new(), events: Vec::new() }
    }

    /// Waits for an event at this stage (`RequestReceived`, `ResponseStarted`, `ResponseComplete`) of a request whose target contains
    /// `target`.
    pub async fn event(&mut self, stage: &str, target: &str) -> Value {
        let matches = |event: &Value| {
            event["stage"] == stage && event["requestURI"].as_str().is_some_and(|uri| uri.contains(target))
        };
        eventually(&format!("{stage} of {target} at the API server"), async || {
            self.read();
            self.events.iter().find(|event| matches(event)).cloned()
        })
        .await
    }

    /// Waits until a request whose target contains `target` has come.
    pub async fn began(&mut self, target: &str) {
        self.event("RequestReceived", target).await;
    }

    /// Waits until a request whose target contains `target` is over, for as long as one that was cancelled may take.
    ///
    /// # Panics
    /// When it takes longer.
    pub async fn soon_complete(&mut self, target: &str) -> Value {
        let since = Instant::now();
        let over = self.event("ResponseComplete", target).await;
        assert!(since.elapsed() <= CANCELLED, "{target} went on at the API server for {:?}", since.elapsed());
        over
    }

    /// The requests so far that are complete and whose target contains `target`, as `verb target`.
    pub fn completed(&mut self, target: &str) -> Vec<String> {
        self.read();
        let complete = self.events.iter().filter(|event| event["stage"] == "ResponseComplete");
        let text = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
        complete
            .map(|event| (text(event, "verb"), text(event, "requestURI")))
            .filter(|(_, uri)| uri.contains(target))
            .map(|(verb, uri)| format!("{verb} {uri}"))
            .collect()
    }

    fn read(&mut self) {
        let mut bytes = Vec::new();
        self.file.read_to_end(&mut bytes).expect("the API server's log is readable");
        self.rest.push_str(&String::from_utf8_lossy(&bytes));
        let Some(end) = self.rest.rfind('\n') else { return };
        let rest = self.rest.split_off(end + 1);
        let lines = std::mem::replace(&mut self.rest, rest);
        // Among the server's other messages.
        let events = lines.lines().filter(|line| line.starts_with(r#"{"kind":"Event""#));
        self.events.extend(events.map(|line| serde_json::from_str::<Value>(line).expect("JSON")));
    }
}

/// Every request, without its body: when it came, when a stream began, and when it was over.
pub(crate) const POLICY: &str = r#"{
    "apiVersion": "audit.k8s.io/v1", "kind": "Policy",
    "rules": [{"level": "None", "users": ["system:apiserver"]}, {"level": "Metadata"}]
}"#;

/// How soon the API server sees that a client has left.
const CANCELLED: Duration = Duration::from_secs(2);

/// Where envtest has what the API server says on standard output.
const LOG: &str = "kube-apiserver.log";
