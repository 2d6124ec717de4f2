//! All scenarios, one after the other.

use anyhow::{Context, Result};
use clap::{Args, Parser};

use super::{Command, Program, Scenario};

#[derive(Debug, Args)]
pub(crate) struct All {
    /// As small as shows that everything works: under 2 minutes, also as a debug build. The figures are worth nothing
    #[arg(long)]
    pub(crate) quick: bool,

    /// Only these scenarios
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) only: Vec<String>,

    #[command(flatten)]
    pub(crate) program: Program,
}

/// One scenario of all.
#[derive(Debug, Clone, Copy)]
struct Line {
    /// Its command line.
    full: &'static str,
    /// The same, as small as it goes.
    quick: &'static str,
    /// Whether the chain of nginx can take part.
    chain: bool,
}

// === impl All ===

impl All {
    /// The scenarios, each with its command line, for this program.
    pub(crate) fn scenarios(&self, binary: &str, with_chain: bool) -> Result<Vec<(String, Scenario)>> {
        for name in &self.only {
            LINES
                .iter()
                .find(|line| line.name() == name)
                .with_context(|| format!("--only {name}: no such scenario"))?;
        }
        let wanted =
            LINES.iter().filter(|line| self.only.is_empty() || self.only.iter().any(|name| line.name() == name));
        wanted.map(|line| self.scenario(*line, binary, with_chain)).collect()
    }

    fn scenario(&self, line: Line, binary: &str, with_chain: bool) -> Result<(String, Scenario)> {
        let mut text = if self.quick { line.quick } else { line.full }.to_owned();
        text += match (line.chain, self.quick, with_chain) {
            (true, true, true) => " --contestants direct,chain,ours",
            (true, true, false) => " --contestants direct,ours",
            (true, false, false) => " --contestants direct,ours,ours-no-filter",
            _ => "",
        };
        let threads = self.program.worker_threads.map(|threads| format!("--worker-threads={threads}"));
        let smoke = self.quick.then(|| "--smoke".to_owned());
        let words = std::iter::once("bench").chain(text.split(' ')).map(str::to_owned);
        let rivals = self.program.rivals.iter().map(|rival| format!("--rival={rival}"));
        let words = words.chain(threads).chain(smoke).chain(rivals).chain([format!("--binary={binary}")]);
        let command = Command::try_parse_from(words).with_context(|| format!("the scenario {text}"))?;
        Ok((text, command.scenario))
    }
}

// === impl Line ===

impl Line {
    fn name(self) -> &'static str {
        self.full.split(' ').next().unwrap_or_default()
    }
}

const LINES: &[Line] = &[
    Line {
        full: "get --clients 1,16,64 --size 1KiB,1MiB",
        quick: "get --clients 2 --size 1KiB,64KiB --seconds 0.2 --rounds 1",
        chain: true,
    },
    Line {
        full: "get --http2 --clients 1,16,64 --size 1KiB,1MiB",
        quick: "get --http2 --clients 2 --size 1KiB --seconds 0.2 --rounds 1",
        chain: true,
    },
    Line { full: "get-owned", quick: "get-owned --clients 2 --pods 4 --seconds 0.2 --rounds 1", chain: true },
    Line { full: "mutate", quick: "mutate --clients 2 --seconds 0.2 --rounds 1", chain: true },
    Line { full: "fresh", quick: "fresh --clients 2 --seconds 0.2 --rounds 1", chain: true },
    Line {
        full: "list --population managed,half,pods",
        quick: "list --population managed,half,pods --items 40 --pods 30 --rounds 1",
        chain: true,
    },
    Line { full: "watch --watches 1,1000", quick: "watch --watches 3 --rate 20 --seconds 0.5 --rounds 1", chain: true },
    Line { full: "logs", quick: "logs --size 256KiB --follows 3 --rate 20 --seconds 0.5 --rounds 1", chain: true },
    Line { full: "exec", quick: "exec --clients 2 --size 1MiB --seconds 0.2 --rounds 1", chain: true },
    Line { full: "slow-reader", quick: "slow-reader --stalled 2 --items 300 --seconds 0.4 --rounds 1", chain: true },
    Line {
        full: "redis",
        quick: "redis --clients 2 --subscribers 3 --idle 20 --large 8MiB --seconds 0.2 --rounds 1",
        chain: false,
    },
    Line { full: "agents", quick: "agents --agents 100 --clients 5 --seconds 1", chain: false },
    Line { full: "rtt", quick: "rtt --round-trip 20 --items 40 --rounds 1", chain: true },
];

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn all(words: &[&str]) -> All {
        match Command::try_parse_from([&["bench", "all"], words].concat()).unwrap().scenario {
            Scenario::All(all) => all,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_scenario_has_its_line_in_both_sizes() {
        let names = LINES.iter().map(|line| line.name()).collect::<Vec<_>>();
        for command in Command::command().get_subcommands().filter(|command| command.get_name() != "all") {
            assert!(names.contains(&command.get_name()), "{} is not among all", command.get_name());
        }
        for words in [&[][..], &["--quick"], &["--worker-threads", "2"], &["--rival", "konnectivity=/k"]] {
            for with_chain in [true, false] {
                assert_eq!(all(words).scenarios("/bin/true", with_chain).unwrap().len(), LINES.len());
            }
        }
        for line in LINES {
            assert_eq!(line.quick.split(' ').next(), Some(line.name()));
        }
    }

    #[test]
    fn rivals_are_passed_on_to_every_scenario() {
        let words = ["--rival=argocd-agent=/a b", "--rival", "konnectivity=/k"];
        for (line, scenario) in all(&words).scenarios("/bin/true", true).unwrap() {
            let scenario = format!("{scenario:?}");
            let both = r#"rivals: [ArgocdAgent("/a b"), Konnectivity("/k")]"#;
            assert!(scenario.contains(both), "{line}: {scenario}");
        }
        let error = Command::try_parse_from(["bench", "get", "--rival", "nginx=/n"]).unwrap_err().to_string();
        assert!(error.contains("--rival <NAME=PATH>") && error.contains("argocd-agent=FILE or"), "{error}");
    }

    #[test]
    fn some_may_be_chosen() {
        let scenarios = all(&["--only", "get,redis"]).scenarios("x", true).unwrap();
        let lines = scenarios.iter().map(|(line, _)| line.split(' ').next().unwrap()).collect::<Vec<_>>();
        assert_eq!(lines, ["get", "get", "redis"]);
        let error = all(&["--only", "gets"]).scenarios("x", true).unwrap_err();
        assert_eq!(error.to_string(), "--only gets: no such scenario");
    }
}
