//! TLS for connections that are many and mostly idle: it has no buffers while nothing is on its way.
//!
//! tokio-rustls keeps 4 KiB for what it reads next as long as a connection lives. Here rustls leaves the buffers to us: what
//! comes and what goes is in one that a thread's connections share, and a connection has one of its own for the part of a
//! record that has come, for what is not read yet, and for what the socket has not taken. A write costs a copy more than
//! with tokio-rustls, which is why doors, where most of what is written is large, do not have it.
//!
//! What must always be true: what the session has said goes out in the order in which it was said; an end without a
//! close_notify is an error; and what is held is bounded, whatever the peer does.

mod stream;
#[cfg(test)]
mod tests;

use std::{
    cell::Cell,
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use rustls::{
    CommonState, ServerConfig,
    server::UnbufferedServerConnection,
    unbuffered::{ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

/// The server's end of a TLS connection over `IO`.
pub(super) struct LeanTls<IO> {
    io: IO,
    session: UnbufferedServerConnection,
    /// Records that have come and are not decrypted, the last of them perhaps in part.
    incoming: BytesMut,
    /// What was decrypted and not read yet.
    plain: BytesMut,
    /// Records that the socket has not taken yet.
    outgoing: Vec<u8>,
    end: End,
}

/// How what the peer says has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    NotYet,
    /// It has said that there is no more.
    Closed,
    /// It has broken the protocol, and nothing that comes now counts.
    Broken,
}

/// What is to be done next.
enum Next {
    GoOn,
    NeedsMore,
    Failed(rustls::Error),
}

/// Why rustls has written nothing.
enum NotWritten {
    NeedsRoom(usize),
    Never(io::Error),
}

// === impl LeanTls ===

impl<IO: AsyncRead + AsyncWrite + Unpin> LeanTls<IO> {
    /// Runs the handshake. What rustls refuses is an I/O error around its own.
    pub(super) async fn accept(io: IO, config: Arc<ServerConfig>) -> io::Result<Self> {
        let session = UnbufferedServerConnection::new(config).map_err(refused)?;
        let (incoming, plain, outgoing) = Default::default();
        let mut stream = Self { io, session, incoming, plain, outgoing, end: End::NotYet };
        std::future::poll_fn(|cx| stream.poll_handshake(cx)).await?;
        Ok(stream)
    }

    /// What was agreed on.
    pub(super) fn session(&self) -> &CommonState {
        &self.session
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            // Whether or not it was: a client may say something before it reads on.
            let sent = self.poll_send(cx)?;
            if !self.session.is_handshaking() {
                ready!(sent);
                return Pin::new(&mut self.io).poll_flush(cx);
            }
            match ready!(self.poll_receive(cx, None)) {
                Ok(true) => {}
                Ok(false) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "end within the handshake")));
                }
                Err(error) => {
                    // An alert that the socket does not take at once is none the peer would wait for.
                    let _alert = self.poll_send(cx);
                    return Poll::Ready(Err(error));
                }
            }
        }
    }

    /// Decrypts what has come, as far as there is room for it: into `reader`, or, without one, all of it for the next.
    fn process(&mut self, reader: Option<&mut ReadBuf<'_>>) -> io::Result<()> {
        let mut incoming = std::mem::take(&mut self.incoming);
        let processed = self.process_records(&mut incoming, reader);
        incoming.advance(*processed.as_ref().unwrap_or(&incoming.len()));
        if !incoming.is_empty() {
            self.incoming = incoming;
        }
        processed.map(|_length| ())
    }

    /// The same for `records`, the first of what there is. Returns how many bytes of them are done with. What is to be said
    /// about them is queued.
    fn process_records(&mut self, records: &mut [u8], mut reader: Option<&mut ReadBuf<'_>>) -> io::Result<usize> {
        if self.end == End::Broken {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the peer has broken the protocol"));
        }
        let mut done = 0;
        loop {
            let (_done, records) = records.split_at_mut(done);
            let UnbufferedStatus { discard, state } = self.session.process_tls_records(records);
            done += discard;
            let next = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
                    match traffic.next_record() {
                        Some(Ok(record)) => {
                            done += record.discard;
                            give(record.payload, reader.as_deref_mut(), &mut self.plain);
                        }
                        Some(Err(error)) => break Next::Failed(error),
                        None => break Next::GoOn,
                    }
                },
                Ok(ConnectionState::EncodeTlsData(mut record)) => {
                    append(&mut self.outgoing, 0, |room| record.encode(room).map_err(NotWritten::from))?;
                    Next::GoOn
                }
                // It is, before anything that comes later.
                Ok(ConnectionState::TransmitTlsData(queued)) => {
                    queued.done();
                    Next::GoOn
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.end = End::Closed;
                    Next::GoOn
                }
                Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_) | ConnectionState::Closed) => {
                    Next::NeedsMore
                }
                // Early data is not offered, and there is no other state.
                Ok(_) => Next::Failed(rustls::Error::General("a state that was not asked for".to_owned())),
                Err(error) => Next::Failed(error),
            };
            match next {
                // What comes after a goodbye does not count.
                Next::NeedsMore if self.end == End::Closed => return Ok(done + records.len() - discard),
                Next::NeedsMore => return Ok(done),
                Next::GoOn if reader.as_ref().is_some_and(|reader| reader.remaining() == 0) => return Ok(done),
                Next::GoOn => {}
                Next::Failed(error) => {
                    self.last_words(records.split_at_mut(discard).1);
                    self.end = End::Broken;
                    return Err(refused(error));
                }
            }
        }
    }

    /// Queues the alert that tells the peer what it did wrong, behind what was said before. No further: the records behind
    /// an error are not to be looked at again.
    fn last_words(&mut self, records: &mut [u8]) {
        while self.session.wants_write() {
            let UnbufferedStatus { state, .. } = self.session.process_tls_records(records);
            let Ok(ConnectionState::EncodeTlsData(mut record)) = state else { return };
            append(&mut self.outgoing, 0, |room| record.encode(room).map_err(NotWritten::from)).unwrap_or_default();
        }
    }

    /// Reads what has come from the socket and decrypts it. Whether there was anything: if not, that is the socket's end.
    fn poll_receive(&mut self, cx: &mut Context<'_>, reader: Option<&mut ReadBuf<'_>>) -> Poll<io::Result<bool>> {
        if !self.incoming.is_empty() {
            if self.incoming.len() >= MOST_INCOMING {
                let error = io::Error::new(io::ErrorKind::InvalidData, "the peer's message is too long");
                return Poll::Ready(Err(error));
            }
            self.incoming.reserve(if self.session.is_handshaking() { LITTLE } else { MUCH });
            let received = ready!(poll_read_buf(Pin::new(&mut self.io), cx, &mut self.incoming))?;
            self.process(reader)?;
            return Poll::Ready(Ok(received > 0));
        }
        let mut scratch = SCRATCH.take();
        scratch.resize(scratch.len().max(MUCH), 0);
        let mut buffer = ReadBuf::new(&mut scratch);
        let received = match Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) => {
                let records = buffer.filled_mut();
                self.process_records(records, reader).map(|done| {
                    let (_done, left) = records.split_at(done);
                    self.incoming.extend_from_slice(left);
                    !records.is_empty()
                })
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => {
                SCRATCH.set(scratch);
                return Poll::Pending;
            }
        };
        SCRATCH.set(scratch);
        Poll::Ready(received)
    }

    /// Sends what is queued.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &self.outgoing))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => drop(self.outgoing.drain(..sent)),
            }
        }
        self.outgoing = Vec::new();
        Poll::Ready(Ok(()))
    }

    /// Queues the close_notify, once.
    fn say_goodbye(&mut self) -> io::Result<()> {
        let UnbufferedStatus { state, .. } = self.session.process_tls_records(&mut self.incoming);
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = state {
            append(&mut self.outgoing, OVERHEAD, |room| traffic.queue_close_notify(room).map_err(NotWritten::from))?;
        }
        Ok(())
    }

    /// Sends what is written as records, and queues what the socket does not take. Nothing may be queued before.
    fn encrypt(&mut self, cx: &mut Context<'_>, plain: &[u8]) -> io::Result<()> {
        let UnbufferedStatus { state, .. } = self.session.process_tls_records(&mut self.incoming);
        let Ok(ConnectionState::WriteTraffic(mut traffic)) = state else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let mut scratch = SCRATCH.take();
        let write = |room: &mut [u8]| traffic.encrypt(plain, room).map_err(NotWritten::from);
        let sent = write_at(0, &mut scratch, plain.len() + OVERHEAD, write).and_then(|length| {
            let (mut records, _unused) = scratch.split_at(length);
            while !records.is_empty() {
                match Pin::new(&mut self.io).poll_write(cx, records)? {
                    Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(sent) => records = records.get(sent..).unwrap_or_default(),
                    Poll::Pending => break,
                }
            }
            self.outgoing.extend_from_slice(records);
            Ok(())
        });
        SCRATCH.set(scratch);
        sent
    }
}

impl<IO: fmt::Debug> fmt::Debug for LeanTls<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeanTls").field("io", &self.io).field("end", &self.end).finish_non_exhaustive()
    }
}

// === impl NotWritten ===

impl From<EncodeError> for NotWritten {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::InsufficientSize(InsufficientSizeError { required_size }) => Self::NeedsRoom(required_size),
            EncodeError::AlreadyEncoded => Self::Never(io::Error::other(error)),
        }
    }
}

impl From<EncryptError> for NotWritten {
    fn from(error: EncryptError) -> Self {
        match error {
            EncryptError::InsufficientSize(InsufficientSizeError { required_size }) => Self::NeedsRoom(required_size),
            EncryptError::EncryptExhausted => Self::Never(io::Error::other(error)),
        }
    }
}

/// To the reader what it has room for, and the rest for later.
fn give(mut payload: &[u8], reader: Option<&mut ReadBuf<'_>>, later: &mut BytesMut) {
    if let Some(reader) = reader
        && later.is_empty()
    {
        let (now, rest) = payload.split_at(payload.len().min(reader.remaining()));
        reader.put_slice(now);
        payload = rest;
    }
    later.extend_from_slice(payload);
}

/// Appends what `write` writes to a queue.
fn append(
    queue: &mut Vec<u8>,
    guess: usize,
    write: impl FnMut(&mut [u8]) -> Result<usize, NotWritten>,
) -> io::Result<()> {
    let begin = queue.len();
    let end = write_at(begin, queue, guess, write);
    queue.truncate(*end.as_ref().unwrap_or(&begin));
    end.map(|_end| ())
}

/// Lets `write` write from `begin` on, with as much room as it turns out to need. Returns where what it wrote ends.
fn write_at(
    begin: usize,
    buffer: &mut Vec<u8>,
    guess: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, NotWritten>,
) -> io::Result<usize> {
    let mut least = begin + guess;
    loop {
        if buffer.len() < least {
            buffer.resize(least, 0);
        }
        match write(buffer.split_at_mut(begin).1) {
            Ok(written) => return Ok(begin + written),
            Err(NotWritten::NeedsRoom(required)) if begin + required > buffer.len() => least = begin + required,
            Err(NotWritten::NeedsRoom(_)) => return Err(io::Error::other("a record that fits nowhere")),
            Err(NotWritten::Never(error)) => return Err(error),
        }
    }
}

/// As tokio-rustls wraps it.
fn refused(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

thread_local! {
    /// Here a thread's connections decrypt what comes and encrypt what goes: most of it is done with at once.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The rest of a message of a handshake.
const LITTLE: usize = 4 << 10;

/// Two of the largest records at once.
const MUCH: usize = 32 << 10;

/// A record or a message of a handshake that is not there as a whole; as much as rustls lets a peer fill elsewhere.
const MOST_INCOMING: usize = 64 << 10;

/// What records have beside the data: 22 bytes each with TLS 1.3, 29 with 1.2.
const OVERHEAD: usize = 128;
