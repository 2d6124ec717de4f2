//! Questions to whoever sits at the terminal, on stderr, so that answers on stdout stay clean.

use std::io::{BufRead, Write};

use anyhow::Context;

/// Asks, and gives the line that was typed, without space around it; none at the input's end.
pub(super) fn ask(question: &str) -> anyhow::Result<Option<String>> {
    let mut stderr = std::io::stderr();
    write!(stderr, "{question} ").and_then(|()| stderr.flush()).context("cannot ask on stderr")?;
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line).context("cannot read the answer")?;
    Ok((read > 0).then(|| line.trim().to_owned()))
}

/// Whether the answer is yes; no answer is a no.
pub(super) fn yes(question: &str) -> anyhow::Result<bool> {
    Ok(matches!(ask(question)?.as_deref(), Some("y" | "Y" | "yes")))
}
