//! A contestant's process: started apart from us, with its output in a file, and gone when we are.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// A running program. Dropping it kills it and all that it started.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

// === impl Process ===

impl Process {
    /// Starts a program whose output goes to `<name>.log` in `dir`.
    pub(crate) fn start(
        name: &'static str,
        dir: &Path,
        program: &Path,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let out = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let err = out.try_clone().context("sharing the log")?;
        // A group of its own: Ctrl-C reaches only us, and what the program starts dies with it. setpriv ends it also
        // where we are killed without a chance to; that signal comes when the *thread* that started it ends, so
        // processes are started from the main thread only. Settings in the environment are not the benchmark's.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--"])
            .arg(program)
            .args(args)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {} (by setpriv of util-linux)", program.display()))?;
        Ok(Self { name, child, log })
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Fails, with the program's last words, once it has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait().with_context(|| format!("waiting for {}", self.name))? {
            None => Ok(()),
            Some(status) => bail!("{} ended ({status})\n{}", self.name, self.tail()),
        }
    }

    /// The end of what the program said.
    pub(crate) fn tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().collect::<Vec<_>>();
        let from = lines.len().saturating_sub(TAIL_LINES);
        let tail = lines.iter().skip(from).map(|line| format!("  {line}\n")).collect::<String>();
        format!("--- {}:\n{tail}", self.name)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The standard library kills one process, not a group; a shell's `kill` is there wherever a shell is.
        let _ = Command::new("/bin/sh")
            .args(["-c", r#"kill -s KILL -- "-$1""#, "kill"])
            .arg(self.child.id().to_string())
            .stderr(Stdio::null())
            .status();
        let _ = self.child.wait();
    }
}

/// How many lines of a log an error quotes.
const TAIL_LINES: usize = 15;

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};

    use super::*;

    #[test]
    fn a_process_that_ends_is_reported_with_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let mut process =
            Process::start("mortal", dir.path(), Path::new("sh"), ["-c", "echo farewell; exit 3"]).unwrap();
        process.child.wait().unwrap();
        let error = process.check().unwrap_err().to_string();
        assert!(error.contains("mortal ended") && error.contains("farewell"), "{error}");
    }

    #[test]
    fn dropping_a_process_ends_what_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        // Both hold the pipe's writing end, and it ends when the last of them has.
        let script = format!("exec 3> {}; sleep 600 & echo started >&3; wait", fifo.display());
        let process = Process::start("parent", dir.path(), Path::new("sh"), ["-c", &script]).unwrap();
        let mut pipe = BufReader::new(File::open(&fifo).unwrap());
        let mut said = String::new();
        pipe.read_line(&mut said).unwrap();
        assert_eq!(said, "started\n");
        drop(process);
        assert_eq!(pipe.read_to_string(&mut said).unwrap(), 0);
    }
}
