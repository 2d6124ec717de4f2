//! Who types into a command that says back what it hears.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::Instant;

use super::{
    channels::{Channels, STDIN, STDOUT},
    connection::Endpoint,
    crew::{Client, Crew},
};

/// Types one byte, and waits until it is said back.
#[derive(Debug)]
pub(crate) struct Typist {
    channels: Channels,
    typed: u8,
}

// === impl Typist ===

impl Typist {
    /// So many of them, each with a command of its own in the same Pod.
    pub(crate) async fn crew(endpoint: &Endpoint, pod: &str, clients: usize) -> Result<Crew<Self>> {
        let mut crew = Vec::with_capacity(clients);
        for _ in 0..clients {
            crew.push(Self { channels: Channels::exec(endpoint, pod, "cat").await?, typed: 0 });
        }
        Ok(Crew::new(crew))
    }
}

impl Client for Typist {
    async fn once(&mut self) -> Result<Option<Duration>> {
        self.typed = self.typed.wrapping_add(1);
        let start = Instant::now();
        self.channels.feed(STDIN, &[self.typed]).await?;
        self.channels.flush().await?;
        let said = self.channels.next(STDOUT).await?;
        if said != [self.typed][..] {
            bail!("{} was typed, and {said:?} said back", self.typed);
        }
        Ok(Some(start.elapsed()))
    }
}
