//! How many files this process, and what it starts, may have open: each connection is one, at each of its ends.

use std::{fs, process::Command};

use anyhow::{Context, Result};

/// Raises the limit to this where that is allowed, to what is allowed where not, and returns what it is then.
pub(crate) fn raise_limit(wanted: u64) -> Result<u64> {
    let limits = read()?;
    if limits.soft >= wanted {
        return Ok(limits.soft);
    }
    // Only the superuser may go beyond the hard limit, and not in every container.
    for limit in [format!("{wanted}:{}", limits.hard.max(wanted)), format!("{hard}:{hard}", hard = limits.hard)] {
        let mut prlimit = Command::new("prlimit");
        prlimit.arg(format!("--pid={}", std::process::id())).arg(format!("--nofile={limit}"));
        let output = prlimit.output().context("running prlimit (of util-linux)")?;
        if output.status.success() {
            break;
        }
    }
    Ok(read()?.soft)
}

struct Limits {
    soft: u64,
    hard: u64,
}

fn read() -> Result<Limits> {
    let text = fs::read_to_string("/proc/self/limits").context("reading /proc/self/limits")?;
    parse(&text).context("no open files in /proc/self/limits")
}

fn parse(text: &str) -> Option<Limits> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let mut numbers =
        line.split_ascii_whitespace().map(|word| if word == "unlimited" { Ok(u64::MAX) } else { word.parse() });
    Some(Limits { soft: numbers.next()?.ok()?, hard: numbers.next()?.ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_limits_are_read() {
        let text = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024    unlimited     files\n";
        let limits = parse(text).unwrap();
        assert_eq!((limits.soft, limits.hard), (1024, u64::MAX));
        assert!(parse("Max processes 1 2 files\n").is_none());
    }

    #[test]
    fn a_limit_that_is_there_already_is_left_alone() {
        assert_eq!(raise_limit(1).unwrap(), read().unwrap().soft);
    }
}
