//! Clients that change an object, each its own, over and over.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::StatusCode;
use tokio::time::Instant;

use super::{
    Connection, Encoding, Endpoint, Expected, Protocol,
    crew::{Client, Crew},
    fetch::{fetch_whole, next_data},
};
use crate::{args::Change, objects::ConfigMap};

/// Changes one object. No two changes are the same, so the API server has to write each.
#[derive(Debug)]
pub(crate) struct Changer {
    connection: Connection,
    object: ConfigMap,
    change: Change,
    changes: usize,
    /// What the last change was answered with.
    answer: Vec<u8>,
}

// === impl Changer ===

impl Changer {
    /// One for each of these objects.
    pub(crate) async fn crew(
        endpoint: &Endpoint,
        protocol: Protocol,
        change: Change,
        objects: &[ConfigMap],
    ) -> Result<Crew<Self>> {
        let mut crew = Vec::with_capacity(objects.len());
        for object in objects {
            let connection = endpoint.connect(protocol).await?;
            crew.push(Self { connection, object: object.clone(), change, changes: 0, answer: Vec::new() });
        }
        Ok(Crew::new(crew))
    }

    /// Fails unless the last change was answered with what the API server has now, as far as `expects` says that of the
    /// contestant.
    pub(crate) async fn verify(
        &self,
        api_server: &mut Connection,
        expects: impl Fn(&Expected) -> Expected,
    ) -> Result<()> {
        let mut stored = fetch_whole(api_server, &self.object.path(), Encoding::Json).await?;
        stored.truncate(stored.trim_ascii_end().len());
        let expected = expects(&Expected::object(stored));
        let mut check = expected.check();
        check
            .feed(self.answer.trim_ascii_end())
            .and_then(|()| check.finish())
            .with_context(|| format!("{} is not what its last change was answered with", self.object.name))
    }
}

impl Client for Changer {
    async fn once(&mut self) -> Result<Option<Duration>> {
        self.changes += 1;
        let mark = self.changes.to_string();
        let path = self.object.path();
        let changed = self.object.changed(&mark);
        let start = Instant::now();
        let answer = match self.change {
            Change::Patch => self.connection.patch(&path, ConfigMap::patch(&mark)).await?,
            Change::Put => self.connection.put(&path, changed).await?,
        };
        let (head, mut body) = answer.into_parts();
        self.answer.clear();
        while let Some(data) = next_data(&mut body).await? {
            self.answer.extend_from_slice(&data);
        }
        let took = start.elapsed();
        if head.status != StatusCode::OK {
            bail!("{} of {path} was answered {}: {}", self.change, head.status, String::from_utf8_lossy(&self.answer));
        }
        let said = Bytes::from(format!(r#""change":"{mark}""#));
        let is_there = self.answer.windows(said.len()).any(|window| window == said);
        is_there.then_some(()).with_context(|| format!("{} of {path} was answered without it", self.change))?;
        Ok(Some(took))
    }
}
