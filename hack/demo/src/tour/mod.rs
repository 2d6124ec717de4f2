//! The tour: commands as a user types them, their real output, and whether it is what it should be.
//!
//! A step that fails is shown as failed and the tour goes on; it never turns a failure into silence.

pub(crate) mod own;
pub(crate) mod redis;
pub(crate) mod sample;
mod step;
mod timing;
mod watched;

use anyhow::Result;
pub(crate) use step::Step;
pub(crate) use timing::Way;

use crate::screen::{Look, Screen};

/// The steps so far.
#[derive(Debug)]
pub(crate) struct Tour<'a> {
    screen: &'a Screen,
    steps: usize,
    failed: Vec<String>,
}

// === impl Tour ===

impl<'a> Tour<'a> {
    /// No step yet.
    pub(crate) fn new(screen: &'a Screen) -> Self {
        Self { screen, steps: 0, failed: Vec::new() }
    }

    /// One step; its error says what was expected.
    pub(crate) async fn step(&mut self, title: &str, work: impl AsyncFnOnce(&Step<'_>) -> Result<()>) {
        self.steps += 1;
        let title = format!("{}. {title}", self.steps);
        self.screen.heading(&title);
        let step = Step::new(self.screen);
        match work(&step).await {
            Ok(()) => self.screen.verdict(true, step.outcome()),
            Err(error) => {
                self.screen.verdict(false, self.screen.paint(Look::Bad, format!("{error:#}")));
                self.failed.push(title);
            }
        }
    }

    /// Says how it went; returns whether all went as it should.
    pub(crate) fn summary(&self) -> bool {
        let good = self.failed.is_empty();
        self.screen.heading("The tour");
        if good {
            self.screen.verdict(true, format!("all {} steps went as they should", self.steps));
        } else {
            self.screen.verdict(false, format!("{} of {} steps failed:", self.failed.len(), self.steps));
            for title in &self.failed {
                self.screen.line(format!("  {}", self.screen.paint(Look::Bad, title)));
            }
        }
        good
    }
}
