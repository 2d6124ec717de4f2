//! What a command answers: words for people, JSON and YAML for scripts, always the same facts.

mod paint;
mod table;

use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;

pub(crate) use paint::Paint;
pub(crate) use table::{fields, table};

/// `-o`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
    Yaml,
}

/// The answer of a command that did what it was asked.
#[derive(Debug)]
pub(crate) struct Answer {
    text: String,
    json: String,
    yaml: String,
    default: Format,
    code: u8,
    warning: Option<String>,
}

/// What an action says in JSON and YAML.
#[derive(Debug, Serialize)]
struct Said<'a> {
    messages: Vec<&'a str>,
}

#[derive(Debug, Serialize)]
struct Pem<'a> {
    pem: &'a str,
}

// === impl Answer ===

impl Answer {
    /// Facts, which `text` tells people.
    ///
    /// # Errors
    /// When they cannot be written, which no type of ours can come to.
    pub(crate) fn of(facts: &impl Serialize, text: impl Into<String>) -> anyhow::Result<Self> {
        let json = serde_json::to_string_pretty(facts)? + "\n";
        let yaml = yaml(facts)?;
        Ok(Self { text: with_end(text.into()), json, yaml, default: Format::Text, code: 0, warning: None })
    }

    /// What was done, a line each.
    pub(crate) fn said(lines: impl Into<String>) -> anyhow::Result<Self> {
        let text = lines.into();
        let facts = Said { messages: text.lines().collect() };
        Self::of(&facts, text.as_str())
    }

    /// PEM, as it is.
    pub(crate) fn pem(text: &str) -> anyhow::Result<Self> {
        Self::of(&Pem { pem: text }, text)
    }

    /// The same where JSON is what is printed unless something else is asked for, as upstream does.
    pub(crate) fn json_by_default(self) -> Self {
        Self { default: Format::Json, ..self }
    }

    /// The same where YAML is what is printed unless something else is asked for.
    pub(crate) fn yaml_by_default(self) -> Self {
        Self { default: Format::Yaml, ..self }
    }

    /// An answer that is bad news: the exit code says so, too.
    pub(crate) fn failing(self, fails: bool) -> Self {
        Self { code: u8::from(fails), ..self }
    }

    /// The same with what the reader should know of it, a line on stderr.
    pub(crate) fn warning(self, warning: Option<String>) -> Self {
        Self { warning, ..self }
    }

    /// What is to be said beside it.
    pub(crate) fn said_beside(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// What is printed.
    pub(crate) fn render(&self, format: Option<Format>) -> &str {
        match format.unwrap_or(self.default) {
            Format::Text => &self.text,
            Format::Json => &self.json,
            Format::Yaml => &self.yaml,
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        self.code.into()
    }
}

/// YAML whose long lines, such as base64, stay in one piece.
///
/// # Errors
/// When the facts cannot be written, which no type of ours can come to.
pub(crate) fn yaml(facts: &impl Serialize) -> anyhow::Result<String> {
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    Ok(serde_saphyr::to_string_with_options(facts, options)?)
}

fn with_end(mut text: String) -> String {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_says_the_same_in_every_format() {
        let answer = Answer::said("one\ntwo").unwrap();
        assert_eq!(answer.render(None), "one\ntwo\n");
        let json: serde_json::Value = serde_json::from_str(answer.render(Some(Format::Json))).unwrap();
        assert_eq!(json, serde_json::json!({"messages": ["one", "two"]}));
        let yaml: serde_json::Value = serde_saphyr::from_str(answer.render(Some(Format::Yaml))).unwrap();
        assert_eq!(yaml, json);
        assert_eq!(answer.json_by_default().render(None).lines().next(), Some("{"));
    }
}
