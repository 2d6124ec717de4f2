//! Who makes events: changes objects one after the other, at the API server itself and at a steady rate.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use http::StatusCode;
use tokio::time::{MissedTickBehavior, interval};

use super::{
    connection::{Connection, Endpoint, Protocol},
    fetch::next_data,
    watch::State,
};
use crate::objects::ConfigMap;

/// Changes some objects in turn.
#[derive(Debug)]
pub(crate) struct Editor {
    connection: Connection,
    paths: Vec<String>,
    /// How often it has changed something. No two changes are the same.
    changes: usize,
}

// === impl Editor ===

impl Editor {
    pub(crate) async fn connect(endpoint: &Endpoint, paths: Vec<String>) -> Result<Self> {
        Ok(Self { connection: endpoint.connect(Protocol::Http1).await?, paths, changes: 0 })
    }

    /// Makes so many changes, and says in which state each left its object. A change that takes longer than the pause
    /// delays those behind it.
    pub(crate) async fn edit(&mut self, changes: usize, pause: Duration) -> Result<Vec<State>> {
        let mut ticks = interval(pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut states = Vec::with_capacity(changes);
        for _ in 0..changes {
            ticks.tick().await;
            states.push(self.change().await?);
        }
        Ok(states)
    }

    async fn change(&mut self) -> Result<State> {
        let number = self.changes % self.paths.len().max(1);
        let path = self.paths.get(number).context("nothing to change")?;
        self.changes += 1;
        let patch = ConfigMap::patch(&self.changes.to_string());
        let (head, mut body) = self.connection.patch(path, patch).await?.into_parts();
        let mut said = Vec::new();
        while let Some(data) = next_data(&mut body).await? {
            said.extend_from_slice(&data);
        }
        if head.status != StatusCode::OK {
            bail!("PATCH {path} was answered {}: {}", head.status, String::from_utf8_lossy(&said));
        }
        Ok(State::of(&said))
    }
}
