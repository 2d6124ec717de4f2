//! Lines of the log on their way out: queued by whoever logs, written by a thread of their own.
//!
//! Always true:
//! - Whoever logs never waits for whoever reads the log. A request ends with its audit line, so a reader that stalls
//!   would else stop every request of every agent.
//! - Lines are whole and in order.
//! - What finds no room is lost, but not in silence: it is counted, and told of as soon as somebody reads again.

use std::{
    fmt, io, mem,
    sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use prometheus_client::metrics::counter::Counter;
use tracing_subscriber::fmt::MakeWriter;

/// The queue to one output. Cheap to clone.
#[derive(Clone)]
pub(super) struct Lines(Arc<Shared>);

/// Takes one line, in one write.
#[derive(Debug)]
pub(super) struct Line<'a>(&'a Lines);

struct Shared {
    /// A std mutex: held for as long as it takes to copy a line.
    queue: Mutex<Queue>,
    /// Told that there is something to write.
    queued: Condvar,
    /// Told that all of it has been written.
    written: Condvar,
}

#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    /// The thread has bytes of its own in hand.
    writing: bool,
    /// Somebody waits.
    hurry: bool,
    /// Lines that found no room, since this was told.
    lost: u64,
}

/// Lines lost by this process, on either output.
pub(super) static LOST: LazyLock<Counter> = LazyLock::new(Counter::default);

// === impl Lines ===

impl Lines {
    /// A queue whose lines go to `output`. The first waits for `gather` whether more come, so that many cost one write.
    /// `tell` is called with the number of lines that were lost, when there is room again to say so.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(super) fn to(
        output: impl io::Write + Send + 'static,
        gather: Duration,
        tell: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Shared { queue: Mutex::default(), queued: Condvar::new(), written: Condvar::new() };
        let this = Self(Arc::new(shared));
        let lines = this.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || lines.write(output, gather, tell))?;
        Ok(this)
    }

    /// Waits until what is queued has been written, but not for longer than `limit`.
    pub(super) fn flush(&self, limit: Duration) {
        let Shared { queued, written, .. } = &*self.0;
        let mut queue = self.queue();
        if queue.is_written() {
            return;
        }
        queue.hurry = true;
        queued.notify_one();
        drop(written.wait_timeout_while(queue, limit, |queue| !queue.is_written()));
    }

    fn push(&self, line: &[u8]) {
        let mut queue = self.queue();
        let before = queue.bytes.len();
        let after = before + line.len();
        if after > MAX_QUEUED {
            queue.lost += 1;
            LOST.inc();
            return;
        }
        queue.bytes.extend_from_slice(line);
        drop(queue);
        // A thread that is awake is not woken, since that costs as much as a write.
        if before == 0 || (before < ENOUGH && after >= ENOUGH) {
            self.0.queued.notify_one();
        }
    }

    /// Runs for as long as the process.
    fn write(&self, mut output: impl io::Write, gather: Duration, tell: impl Fn(u64)) {
        let mut bytes = Vec::new();
        loop {
            let lost = self.take(&mut bytes, gather);
            LOST.inc_by(write_all(&mut output, &bytes));
            bytes.clear();
            bytes.shrink_to(ENOUGH);
            let mut queue = self.queue();
            queue.writing = false;
            if queue.is_written() {
                self.0.written.notify_all();
            }
            drop(queue);
            if lost > 0 {
                tell(lost);
            }
        }
    }

    /// Waits for lines and takes them into `bytes`, which is empty; returns how many were lost beside them.
    fn take(&self, bytes: &mut Vec<u8>, gather: Duration) -> u64 {
        let queued = &self.0.queued;
        let queue = queued.wait_while(self.queue(), |queue| queue.bytes.is_empty());
        let queue = queue.unwrap_or_else(PoisonError::into_inner);
        let more = queued.wait_timeout_while(queue, gather, |queue| !queue.hurry && queue.bytes.len() < ENOUGH);
        let (mut queue, _) = more.unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut queue.bytes, bytes);
        queue.writing = true;
        queue.hurry = false;
        mem::take(&mut queue.lost)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("queued", &self.queue().bytes.len()).finish()
    }
}

// === impl Line ===

impl io::Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// === impl Queue ===

impl Queue {
    fn is_written(&self) -> bool {
        self.bytes.is_empty() && !self.writing
    }
}

/// Writes `bytes`; returns how many lines were lost because the output failed. That cannot be told in the log.
fn write_all(output: &mut impl io::Write, mut bytes: &[u8]) -> u64 {
    while !bytes.is_empty() {
        match output.write(bytes) {
            Ok(written @ 1..) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Whoever gave us the output has made it so, and std cannot wait for it.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::park_timeout(RETRY),
            Ok(0) | Err(_) => return bytes.iter().filter(|byte| **byte == b'\n').count() as u64,
        }
    }
    // Whole lines are not buffered by std, so there is nothing that could be lost here.
    output.flush().unwrap_or_default();
    0
}

/// The most bytes that wait for one output: some thousand lines, more than a second of a busy principal. The thread may
/// have as much in hand.
const MAX_QUEUED: usize = 1 << 20;

/// So much is written without waiting for more, and is what the queue keeps of its memory.
const ENOUGH: usize = 64 * 1024;

/// The pause before an output that takes nothing is tried again.
const RETRY: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _,
        sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    };

    use super::*;

    /// An output that takes what it is given only when it is read.
    struct Slow {
        taken: Sender<Vec<u8>>,
        reader: Receiver<io::Result<()>>,
    }

    struct World {
        lines: Lines,
        read: SyncSender<io::Result<()>>,
        written: Receiver<Vec<u8>>,
        told: Receiver<u64>,
    }

    impl io::Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.reader.recv().unwrap_or(Ok(()))?;
            self.taken.send(bytes.to_vec()).unwrap_or_default();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl World {
        fn new(gather: Duration) -> Self {
            let ((read, reader), (taken, written), (tell, told)) = (sync_channel(16), channel(), channel());
            let tell = move |lost| tell.send(lost).unwrap_or_default();
            Self { lines: Lines::to(Slow { taken, reader }, gather, tell).unwrap(), read, written, told }
        }

        fn say(&self, line: &str) {
            self.lines.make_writer().write_all(line.as_bytes()).unwrap();
        }

        fn next_write(&self) -> String {
            self.read.send(Ok(())).unwrap();
            String::from_utf8(self.written.recv_timeout(LONG).unwrap()).unwrap()
        }
    }

    #[test]
    fn what_is_said_meanwhile_is_one_write() {
        let world = World::new(Duration::ZERO);
        world.say("first\n");
        while !world.lines.queue().writing {
            thread::yield_now();
        }
        world.say("second\n");
        world.say("third\n");
        assert_eq!(world.next_write(), "first\n");
        assert_eq!(world.next_write(), "second\nthird\n");
    }

    #[test]
    fn a_flush_does_not_wait_for_more_lines_and_not_for_ever() {
        let world = World::new(LONG);
        world.say("last words\n");
        world.lines.flush(Duration::from_millis(1));
        assert!(!world.lines.queue().is_written());
        assert_eq!(world.next_write(), "last words\n");
        world.lines.flush(LONG);
        assert!(world.lines.queue().is_written());
        world.lines.flush(LONG);
    }

    #[test]
    fn a_reader_that_stalls_holds_up_nobody_and_hears_how_much_it_missed() {
        let world = World::new(Duration::ZERO);
        let before = LOST.get();
        let line = format!("{}\n", "x".repeat(MAX_QUEUED / 4 - 1));
        world.say(&line);
        while !world.lines.queue().writing {
            thread::yield_now();
        }
        for _ in 0..7 {
            world.say(&line);
        }
        assert_eq!(world.lines.queue().bytes.len(), MAX_QUEUED);
        assert_eq!(world.next_write().len(), line.len());
        assert_eq!(world.next_write().len(), MAX_QUEUED);
        assert_eq!(world.told.recv_timeout(LONG), Ok(3));
        assert!(LOST.get() >= before + 3);
        world.lines.flush(LONG);
        assert!(world.lines.queue().bytes.capacity() <= MAX_QUEUED);
    }

    #[test]
    fn lines_that_an_output_refuses_are_counted_and_the_next_are_tried_again() {
        let world = World::new(Duration::ZERO);
        let before = LOST.get();
        world.read.send(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
        world.say("a\n");
        world.lines.flush(LONG);
        assert!(LOST.get() > before);
        world.read.send(Err(io::ErrorKind::Interrupted.into())).unwrap();
        world.read.send(Err(io::ErrorKind::WouldBlock.into())).unwrap();
        world.say("b\n");
        assert_eq!(world.next_write(), "b\n");
        assert!(world.told.try_recv().is_err(), "nobody reads it");
    }

    const LONG: Duration = Duration::from_secs(60);
}
