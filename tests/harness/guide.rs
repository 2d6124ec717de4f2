//! A page of `docs/` whose commands are run as a reader would: its `sh` blocks, as they stand, in one shell. What the page
//! shows of their output (the `text` block behind one) must be what they say.

use std::{fs, path::Path, time::Duration};

use tokio::process::Command;

use crate::{pki, process::Process};

/// A page.
#[derive(Debug)]
pub struct Guide {
    steps: Vec<Step>,
}

/// One block of commands.
#[derive(Debug, Default)]
struct Step {
    /// Where it begins in the page.
    line: usize,
    commands: String,
    /// The lines that the page shows of its output; `…` stands for anything.
    shown: Vec<String>,
}

// === impl Guide ===

impl Guide {
    /// Reads `docs/<name>`.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn read(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
        Self::parse(&fs::read_to_string(path).expect("a page of docs/"))
    }

    fn parse(page: &str) -> Self {
        let mut steps: Vec<Step> = Vec::new();
        let mut lines = (1..).zip(page.lines());
        while let Some((line, text)) = lines.next() {
            let Some(language) = text.strip_prefix("```") else { continue };
            let block = lines.by_ref().map(|(_, text)| text).take_while(|text| *text != "```");
            match language {
                "sh" => {
                    let commands = block.map(|line| format!("{line}\n")).collect();
                    steps.push(Step { line, commands, shown: Vec::new() });
                }
                "text" => steps.last_mut().expect("commands").shown.extend(block.map(str::to_owned)),
                other => panic!("line {line}: nobody runs {other:?}"),
            }
        }
        Self { steps }
    }

    /// Runs all steps with bash, in `folder` and with nothing in their environment but `env`; what they leave running is
    /// killed. Each must succeed, and say what the page shows. Returns what each said.
    ///
    /// # Panics
    /// When one does not, or all take longer than five minutes.
    pub async fn run(&self, folder: &Path, env: &[(&str, String)]) -> Vec<String> {
        let mut script = "set -euo pipefail\n".to_owned();
        for step in &self.steps {
            script += &format!("echo {MARK}{}\n{}", step.line, step.commands);
        }
        let mut bash = Command::new("bash");
        bash.arg(pki::write(folder, "guide.sh", &script)).current_dir(folder).env_clear().envs(env.iter().cloned());
        let mut process = Process::spawn("guide", bash, folder);
        let ended = tokio::time::timeout(PATIENCE, process.end_or_pending()).await;
        let said = process.stdout();
        let Ok(ended) = ended else { panic!("it takes too long: {said}\n{}", process.stderr()) };
        process.sweep();
        assert!(ended.success(), "{ended}: {said}\n{}", process.stderr());
        let said: Vec<_> = said.split(MARK).skip(1).map(str::to_owned).collect();
        assert_eq!(said.len(), self.steps.len());
        for (step, said) in self.steps.iter().zip(&said) {
            let mut lines = said.lines();
            for shown in &step.shown {
                assert!(
                    lines.any(|line| is_like(&words(line), &words(shown))),
                    "line {}: never said {shown:?}: {said}",
                    step.line
                );
            }
        }
        said
    }
}

/// Whether a line is what is shown, where `…` stands for anything.
fn is_like(line: &str, shown: &str) -> bool {
    let Some((before, behind)) = shown.split_once('…') else { return line == shown };
    let ends = |line: &str| line.char_indices().any(|(at, _)| is_like(&line[at..], behind)) || is_like("", behind);
    line.strip_prefix(before).is_some_and(ends)
}

/// The line with one blank for any.
fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Nothing else says this.
const MARK: &str = "=====guide=====";

/// Builds of the binaries are not in it.
const PATIENCE: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;

    use futures_util::FutureExt;

    use super::*;
    use crate::eventually;

    #[test]
    fn commands_and_what_they_say_are_read_in_their_order() {
        let guide = Guide::parse("# A\n```sh\na\nb\n```\n\nSo:\n\n```text\n1\n```\n```sh\nc\n```\n");
        let steps: Vec<_> =
            guide.steps.iter().map(|step| (step.line, step.commands.as_str(), step.shown.len())).collect();
        assert_eq!(steps, [(2, "a\nb\n", 1), (12, "c\n", 0)]);
    }

    #[tokio::test]
    async fn what_a_guide_that_fails_has_started_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let guide = Guide::parse("```sh\nsleep 1000 &\necho $! > started\nfalse\n```\n");
        let env = [("PATH", std::env::var("PATH").unwrap())];
        assert!(AssertUnwindSafe(guide.run(folder.path(), &env)).catch_unwind().await.is_err());
        let started = fs::read_to_string(folder.path().join("started")).unwrap();
        // Nobody may have waited for it: then it is there, without a command line.
        let command = format!("/proc/{}/cmdline", started.trim());
        eventually("it is ended", async || fs::read(&command).unwrap_or_default().is_empty().then_some(())).await;
    }

    #[test]
    fn an_ellipsis_stands_for_anything() {
        for (line, shown) in [("a b", "a b"), ("a-xyz 1", "a-… 1"), ("a", "a…"), ("✅ a", "… a"), ("", "…")] {
            assert!(is_like(line, shown), "{line} {shown}");
        }
        for (line, shown) in [("a b", "a"), ("a", "a b"), ("a-xyz 2", "a-… 1"), ("b", "a…")] {
            assert!(!is_like(line, shown), "{line} {shown}");
        }
    }
}
