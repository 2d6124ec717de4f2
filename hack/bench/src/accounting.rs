//! What a contestant cost, by the operating system's own books: CPU time and resident memory of its processes.
//!
//! Nothing is sampled: two readings of counters that the kernel keeps anyway bound what lies between them.

use std::{fs, ops::Sub, time::Duration};

use anyhow::{Context, Result, bail};

/// The processes of one part of a contestant: nginx is a master and its workers, ours are single processes.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// What the part is called in tables.
    pub(crate) name: &'static str,
    pids: Vec<u32>,
}

/// What the processes of a part have used since they started.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Usage {
    /// User and system time of all threads, those that have ended included.
    pub(crate) cpu: Duration,
    /// Bytes in memory now.
    pub(crate) resident: u64,
    /// The most bytes that were ever in memory.
    pub(crate) peak: u64,
}

// === impl Part ===

impl Part {
    /// A process and the children that it has by now.
    pub(crate) fn of(name: &'static str, pid: u32) -> Result<Self> {
        let mut pids = children(pid)?;
        pids.insert(0, pid);
        Ok(Self { name, pids })
    }

    /// A child of this part that runs the program of that name.
    pub(crate) fn child(&self, name: &'static str) -> Result<Self> {
        for &pid in &self.pids {
            let runs =
                |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name);
            if let Some(pid) = children(pid)?.into_iter().find(runs) {
                return Ok(Self { name, pids: vec![pid] });
            }
        }
        bail!("no {name} is running")
    }

    /// The benchmark's own process, which plays the clients.
    pub(crate) fn client() -> Self {
        Self { name: "client", pids: vec![std::process::id()] }
    }

    pub(crate) fn pids(&self) -> &[u32] {
        &self.pids
    }

    /// Makes the most memory that there ever was what there is now (`proc_pid_clear_refs(5)`).
    pub(crate) fn forget_peak(&self) -> Result<()> {
        for pid in &self.pids {
            let path = format!("/proc/{pid}/clear_refs");
            fs::write(&path, "5").with_context(|| format!("writing {path}"))?;
        }
        Ok(())
    }

    /// The books of all processes of this part, added up.
    pub(crate) fn usage(&self) -> Result<Usage> {
        let mut sum = Usage::default();
        for pid in &self.pids {
            let read = |file: &str| {
                let path = format!("/proc/{pid}/{file}");
                fs::read_to_string(&path).with_context(|| format!("{} has ended: no {path}", self.name))
            };
            sum.cpu += cpu_time(&read("stat")?).context("a line of /proc/<pid>/stat that is not as proc(5) says")?;
            let status = read("status")?;
            let field = |name| kibibytes(&status, name).with_context(|| format!("no {name} in /proc/{pid}/status"));
            sum.resident += field("VmRSS")?;
            sum.peak += field("VmHWM")?;
        }
        Ok(sum)
    }
}

// === impl Usage ===

impl Sub for Usage {
    type Output = Duration;

    /// The CPU time between two readings.
    fn sub(self, before: Self) -> Duration {
        self.cpu.saturating_sub(before.cpu)
    }
}

/// The processes that a process's main thread has started.
fn children(pid: u32) -> Result<Vec<u32>> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let children = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    children.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>().context("reading process ids")
}

/// The CPU time that the machine has spent on anything since it started.
pub(crate) fn machine_cpu() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
    busy_time(&stat).context("a line of /proc/stat that is not as proc(5) says")
}

/// The first line has user, nice, system, idle, waiting, interrupts and soft interrupts, of all cores together.
fn busy_time(stat: &str) -> Option<Duration> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace();
    let ticks = fields.take(7).map(str::parse::<u64>).collect::<Result<Vec<_>, _>>().ok()?;
    let [user, nice, system, _idle, _waiting, interrupts, soft] = ticks.try_into().ok()?;
    Some(TICK * u32::try_from(user + nice + system + interrupts + soft).ok()?)
}

/// Fields 14 and 15 of `/proc/<pid>/stat`. The second field is the program's name in brackets and may hold anything.
fn cpu_time(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut ticks = rest.split_ascii_whitespace().skip(11).map(str::parse::<u64>);
    let user = ticks.next()?.ok()?;
    let system = ticks.next()?.ok()?;
    Some(TICK * u32::try_from(user + system).ok()?)
}

fn kibibytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// `USER_HZ` is 100 on every architecture that Linux still gets built for, whatever the kernel's own clock is.
const TICK: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_survives_a_program_name_with_brackets_and_spaces() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 3 4 20 0 1 0 100 0 0";
        assert_eq!(cpu_time(stat), Some(Duration::from_secs(3)));
        assert_eq!(cpu_time("7 (short) S 1 2"), None);
    }

    #[test]
    fn idle_time_is_not_busy_time() {
        let stat = "cpu  100 20 30 9999 8888 7 3 5555 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(busy_time(stat), Some(Duration::from_millis(1600)));
        assert_eq!(busy_time("cpu  1 2 3\n"), None);
    }

    #[test]
    fn memory_is_read_by_its_whole_name() {
        let status = "Name:\tx\nVmRSSx:\t 9 kB\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(kibibytes(status, "VmRSS"), Some(1 << 20));
        assert_eq!(kibibytes(status, "VmHWM"), Some(2 << 20));
        assert_eq!(kibibytes(status, "VmSwap"), None);
    }

    #[test]
    fn this_process_has_used_memory() {
        Part::client().forget_peak().unwrap();
        let usage = Part::client().usage().unwrap();
        assert!(usage.resident > 0 && usage.peak >= usage.resident);
    }
}
