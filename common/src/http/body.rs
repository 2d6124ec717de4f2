//! Watches a body pass: how many bytes, and how it ended.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

/// Told what passes through an [`Observed`] body.
pub trait Observer {
    /// So many bytes of data passed.
    fn data(&mut self, bytes: usize);

    /// The body ended; called once, and nothing after.
    fn ended(&mut self, how: End);
}

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All of it passed.
    Complete,
    /// Its source failed.
    Failed,
    /// Whoever took it dropped it before its end.
    Abandoned,
}

pin_project! {
    /// A body that passes unchanged before the eyes of an [`Observer`].
    #[derive(Debug)]
    pub struct Observed<B, O: Observer> {
        #[pin]
        body: B,
        observer: O,
        ended: bool,
    }

    impl<B, O: Observer> PinnedDrop for Observed<B, O> {
        fn drop(this: Pin<&mut Self>) {
            this.end(End::Abandoned);
        }
    }
}

// === impl Observed ===

impl<B: Body, O: Observer> Observed<B, O> {
    /// Watches `body`. One that is empty has ended already: HTTP servers and clients do not even poll it.
    pub fn new(body: B, observer: O) -> Self {
        let mut new = Self { body, observer, ended: false };
        if new.body.is_end_stream() {
            new.ended = true;
            new.observer.ended(End::Complete);
        }
        new
    }
}

impl<B, O: Observer> Observed<B, O> {
    /// Who watches.
    pub fn observer(&self) -> &O {
        &self.observer
    }

    fn end(self: Pin<&mut Self>, how: End) {
        let this = self.project();
        if !*this.ended {
            *this.ended = true;
            this.observer.ended(how);
        }
    }
}

impl<B: Body, O: Observer> Body for Observed<B, O>
where
    B::Data: bytes::Buf,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let mut this = self.as_mut().project();
        let frame = ready!(this.body.as_mut().poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    this.observer.data(bytes::Buf::remaining(data));
                }
                // Whoever knows the length, or has seen trailers, does not poll again to see the end.
                if frame.is_trailers() || this.body.is_end_stream() {
                    self.end(End::Complete);
                }
            }
            Some(Err(_)) => self.end(End::Failed),
            None => self.end(End::Complete),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

// === impl Observer ===

impl<O: Observer> Observer for Option<O> {
    fn data(&mut self, bytes: usize) {
        if let Some(observer) = self {
            observer.data(bytes);
        }
    }

    fn ended(&mut self, how: End) {
        if let Some(observer) = self {
            observer.ended(how);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use bytes::Bytes;
    use futures_util::stream;
    use http_body_util::{BodyExt, Empty, Full, StreamBody};

    use super::*;

    #[derive(Debug, Default, Clone)]
    struct Notes(Arc<Mutex<(usize, Vec<End>)>>);

    impl Observer for Notes {
        fn data(&mut self, bytes: usize) {
            self.0.lock().unwrap().0 += bytes;
        }

        fn ended(&mut self, how: End) {
            self.0.lock().unwrap().1.push(how);
        }
    }

    impl Notes {
        fn all(&self) -> (usize, Vec<End>) {
            self.0.lock().unwrap().clone()
        }
    }

    #[tokio::test]
    async fn counts_the_bytes_and_says_once_how_it_ended() {
        let notes = Notes::default();
        let mut body = Observed::new(Full::new(Bytes::from_static(b"hello")), notes.clone());
        body.frame().await.unwrap().unwrap();
        assert_eq!(notes.all(), (5, vec![End::Complete]), "without a further poll: the length is known");
        assert!(body.frame().await.is_none());
        drop(body);
        assert_eq!(notes.all(), (5, vec![End::Complete]));
    }

    #[tokio::test]
    async fn an_empty_body_has_ended_before_it_is_polled() {
        let notes = Notes::default();
        let body = Observed::new(Empty::<Bytes>::new(), notes.clone());
        assert_eq!(notes.all(), (0, vec![End::Complete]));
        drop(body);
        assert_eq!(notes.all(), (0, vec![End::Complete]));
    }

    #[tokio::test]
    async fn trailers_are_the_end() {
        let notes = Notes::default();
        let frames = [Ok::<_, io::Error>(Frame::<Bytes>::trailers(http::HeaderMap::new()))];
        let mut body = Observed::new(StreamBody::new(stream::iter(frames)), notes.clone());
        body.frame().await.unwrap().unwrap();
        assert_eq!(notes.all(), (0, vec![End::Complete]));
    }

    #[tokio::test]
    async fn a_failure_and_a_departure_are_no_clean_end() {
        let notes = Notes::default();
        let frames = [Ok(Frame::data(Bytes::from_static(b"ab"))), Err(io::Error::other("cut"))];
        let mut body = Observed::new(StreamBody::new(stream::iter(frames)), notes.clone());
        body.frame().await.unwrap().unwrap();
        body.frame().await.unwrap().unwrap_err();
        drop(body);
        assert_eq!(notes.all(), (2, vec![End::Failed]));

        let notes = Notes::default();
        drop(Observed::new(Full::new(Bytes::from_static(b"hello")), notes.clone()));
        assert_eq!(notes.all(), (0, vec![End::Abandoned]));
    }
}
