//! How many elements are to come, level by level.

use super::ReplyError;

/// The elements that are to come at each level that is open, innermost last. A level whose last element has begun is
/// closed at once, so that only what comes back to its level costs memory.
#[derive(Debug, Default)]
pub(super) struct Nesting {
    levels: Vec<u64>,
}

// === impl Nesting ===

impl Nesting {
    /// Whether nothing is to come.
    pub(super) fn is_over(&self) -> bool {
        self.levels.is_empty()
    }

    /// An element begins.
    pub(super) fn element(&mut self) {
        if let Some(left) = self.levels.last_mut() {
            *left -= 1;
            if *left == 0 {
                self.levels.pop();
            }
        }
    }

    /// What has begun has so many elements.
    pub(super) fn open(&mut self, elements: u64, limit: usize) -> Result<(), ReplyError> {
        if elements == 0 {
            return Ok(());
        }
        if self.levels.len() >= limit {
            return Err(ReplyError::TooDeep { limit });
        }
        self.levels.push(elements);
        Ok(())
    }

    /// What is held, in levels.
    #[cfg(test)]
    pub(super) fn depth(&self) -> usize {
        self.levels.len()
    }
}
