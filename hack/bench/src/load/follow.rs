//! A log that is written line by line, and those who follow it.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use hyper::body::Incoming;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    connection::{Connection, Encoding, Endpoint, Protocol},
    fetch::{next_data, open},
};

/// Writes a log.
#[derive(Debug)]
pub(crate) struct Scribe {
    file: File,
    /// How many lines there are.
    written: usize,
}

/// Some follows of the same log, each on its own connection.
#[derive(Debug)]
pub(crate) struct Followers {
    follows: Vec<Follow>,
}

#[derive(Debug)]
struct Follow {
    body: Incoming,
    /// What has come of lines that have not been taken.
    text: Vec<u8>,
    /// How many lines have been taken.
    read: usize,
    /// Kept, so that it runs.
    _connection: Connection,
}

// === impl Scribe ===

impl Scribe {
    /// Begins a log anew, with one line.
    pub(crate) fn begin(path: &Path) -> Result<Self> {
        // Not emptied: whoever still follows the old one would go on at its place in the new one.
        if path.exists() {
            fs::remove_file(path).with_context(|| format!("removing {}", path.display()))?;
        }
        let file = OpenOptions::new().create_new(true).append(true).open(path);
        let mut scribe = Self { file: file.with_context(|| format!("creating {}", path.display()))?, written: 0 };
        scribe.write()?;
        Ok(scribe)
    }

    /// Writes so many lines, and says when.
    pub(crate) async fn lines(&mut self, lines: usize, pause: Duration) -> Result<Vec<Instant>> {
        let mut ticks = interval(pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut written = Vec::with_capacity(lines);
        for _ in 0..lines {
            ticks.tick().await;
            written.push(Instant::now());
            self.write()?;
        }
        Ok(written)
    }

    fn write(&mut self) -> Result<()> {
        // In one write: half a line would be a line that comes later.
        self.file.write_all(line(self.written).as_bytes()).context("writing a log")?;
        self.written += 1;
        Ok(())
    }
}

// === impl Followers ===

impl Followers {
    /// Opens follows of a log that has one line, and waits until each has seen it: what follows is new.
    pub(crate) async fn open(endpoint: &Endpoint, protocol: Protocol, path: &str, follows: usize) -> Result<Self> {
        let mut followers = Self { follows: Vec::with_capacity(follows) };
        for _ in 0..follows {
            let mut connection = endpoint.connect(protocol).await?;
            let body = open(&mut connection, path, Encoding::Json).await?;
            followers.follows.push(Follow { body, text: Vec::new(), read: 0, _connection: connection });
        }
        followers.see(1).await?;
        Ok(followers)
    }

    /// Waits until each has seen so many lines more, and says when each saw them.
    pub(crate) async fn see(&mut self, lines: usize) -> Result<Vec<Vec<Instant>>> {
        let mut tasks = JoinSet::new();
        for mut follow in self.follows.drain(..) {
            tasks.spawn(async move {
                let mut seen = Vec::with_capacity(lines);
                while seen.len() < lines {
                    seen.push(follow.next().await?);
                }
                anyhow::Ok((follow, seen))
            });
        }
        let mut all = Vec::new();
        while let Some(follow) = tasks.join_next().await {
            let (follow, seen) = follow.context("a follow")??;
            self.follows.push(follow);
            all.push(seen);
        }
        Ok(all)
    }
}

// === impl Follow ===

impl Follow {
    async fn next(&mut self) -> Result<Instant> {
        let expected = line(self.read);
        while self.text.len() < expected.len() {
            let data = next_data(&mut self.body).await?.context("the follow ended")?;
            self.text.extend_from_slice(&data);
        }
        let rest = self.text.split_off(expected.len());
        if self.text != expected.as_bytes() {
            bail!("line {} of a follow is {:?}", self.read, String::from_utf8_lossy(&self.text));
        }
        self.text = rest;
        self.read += 1;
        Ok(Instant::now())
    }
}

/// A log of whole lines that has this size, or is a little larger: of the line that is not at its end nothing is seen.
pub(crate) fn log(size: usize) -> Vec<u8> {
    let mut log = Vec::with_capacity(size + LONGEST_LINE);
    for number in 0.. {
        if log.len() >= size {
            break;
        }
        log.extend_from_slice(line(number).as_bytes());
    }
    log
}

/// A line of a log, no two the same. Its first word is no time, which the kubelet would take for its own.
fn line(number: usize) -> String {
    let words =
        "level=info component=cart message=\"an order was placed\" customer=4711 currency=EUR items=3 total=119.90";
    format!("number={number:08} {words} trace={:016x}\n", number.wrapping_mul(0x9e37_79b9))
}

/// No line is longer.
const LONGEST_LINE: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_has_its_size_and_lines_that_all_differ() {
        for size in [1, 1000, 100_000] {
            let log = log(size);
            assert!((size..size + LONGEST_LINE).contains(&log.len()) && log.ends_with(b"\n"));
        }
        let log = String::from_utf8(log(100_000)).unwrap();
        let lines = log.lines().collect::<Vec<_>>();
        assert!(lines.windows(2).all(|pair| pair[0] != pair[1]) && lines.len() > 500);
        assert!(line(usize::MAX).len() <= LONGEST_LINE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_that_is_begun_anew_is_another_file_with_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut scribe = Scribe::begin(&path).unwrap();
        assert_eq!(scribe.lines(2, Duration::from_secs(1)).await.unwrap().len(), 2);
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}{}{}", line(0), line(1), line(2)));
        Scribe::begin(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), line(0));
    }
}
