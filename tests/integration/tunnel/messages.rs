//! `Pipe` calls as they stand in HTTP/2: what is answered, and what becomes of messages that are no chunks.

use std::convert::Infallible;

use bytes::Bytes;
use common::tunnel::{
    Incoming, PIPE_HEADER, PipeError, PipeId, SESSION_HEADER, TunnelStream, call,
    event::PrincipalEvent,
    frame::{self, FIN},
    limits,
};
use futures_util::{StreamExt, stream};
use harness::memory::Principal;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Collected, StreamBody};
use hyper::body::Frame;
use principal::agents::Lease;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::oneshot,
};
use tonic::{body::Body, codegen::Service};

use super::{raw::Raw, soon};

#[tokio::test]
async fn a_pipe_is_answered_as_grpc_wants_it() {
    let principal = Principal::new();
    let mut raw = Raw::attach(&principal, 1..=1).await.unwrap();
    let (_lease, mut stream, pipe) = dialed(&principal, &mut raw).await;
    let response = answer(&mut raw, pipe, data(&[FIN]), HeaderMap::new()).await;
    assert_eq!((response.status().as_u16(), said(response.headers(), "content-type")), (200, "application/grpc"));
    assert_eq!(response.headers().get("grpc-status"), None, "that is its last word");
    stream.write_all(b"answer").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(soon(stream.read(&mut [0])).await.unwrap(), 0);
    drop(stream);
    let body = whole(response).await;
    assert_eq!(said(body.trailers().unwrap(), "grpc-status"), "0");
    let mut chunk = frame::begin(6);
    chunk.extend_from_slice(b"answer");
    assert_eq!(body.to_bytes(), [&chunk[..], &FIN].concat());
}

#[tokio::test]
async fn a_pipe_that_is_refused_is_answered_by_a_status_and_nothing_else() {
    let principal = Principal::new();
    let mut raw = Raw::attach(&principal, 1..=1).await.unwrap();
    let (_lease, _stream, pipe) = dialed(&principal, &mut raw).await;
    let unknown = answer(&mut raw, PipeId::try_from(99).unwrap(), data(&[]), HeaderMap::new()).await;
    let compressed = HeaderMap::from_iter([("grpc-encoding".parse().unwrap(), "gzip".parse().unwrap())]);
    let compressed = answer(&mut raw, pipe, data(&[]), compressed).await;
    let none = HeaderMap::from_iter([(PIPE_HEADER.parse().unwrap(), "none".parse().unwrap())]);
    let none = answer(&mut raw, pipe, data(&[]), none).await;
    for (response, code) in [(unknown, "5"), (compressed, "12"), (none, "3")] {
        assert_eq!((response.status().as_u16(), said(response.headers(), "content-type")), (200, "application/grpc"));
        assert_eq!(said(response.headers(), "grpc-status"), code);
        assert!(!said(response.headers(), "grpc-message").is_empty());
        assert!(whole(response).await.to_bytes().is_empty());
    }
}

#[tokio::test]
async fn what_is_no_chunk_cuts_its_pipe_and_no_other() {
    let principal = Principal::new();
    let mut raw = Raw::attach(&principal, 1..=1).await.unwrap();
    let (_other_lease, mut other, pipe) = dialed(&principal, &mut raw).await;
    let opened = call::opened(answer(&mut raw, pipe, data(&[]), HeaderMap::new()).await);
    let mut other_end = opened.map(read).unwrap();
    for (bytes, text) in [
        (&[1, 0, 0, 0, 2, 0x10, 1][..], "a message has flag 1 where no compression was agreed"),
        (&[0, 0, 2, 0, 1], "a message has 131073 bytes, more than 131072"),
        (&[0, 0, 0, 0, 3, 0x0a, 9, 0], "a field is longer than its message"),
        (&[0, 0, 0, 0, 2, 8, 1], "a message has 8 for a field's number and type"),
        (&[0, 0, 0, 0, 6, 0x0a, 1, 1, 0x0a, 1, 1], "a message has data twice"),
        (&[0, 0, 0, 0, 9, 0x0a, 7, 1], "the peer dropped it within a message"),
        (&[], "the peer dropped it"),
    ] {
        let (_lease, mut stream, pipe) = dialed(&principal, &mut raw).await;
        let body = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::copy_from_slice(bytes)))]);
        let _answer = answer(&mut raw, pipe, Body::new(StreamBody::new(body)), HeaderMap::new()).await;
        let error = soon(stream.read_to_end(&mut Vec::new())).await.unwrap_err();
        assert_eq!(PipeError::find(&error), Some(&PipeError::Cut(text.into())));
    }
    other.write_all(b"x").await.unwrap();
    assert_eq!(soon(other_end.read_u8()).await.unwrap(), b'x');
}

#[tokio::test]
async fn chunks_of_any_size_in_frames_of_any_size_are_read_as_they_come() {
    let principal = Principal::new();
    let mut raw = Raw::attach(&principal, 1..=1).await.unwrap();
    let mut bytes = Vec::new();
    for length in [1, 100, limits::CHUNK, 7, 40_000] {
        bytes.extend_from_slice(&frame::begin(length));
        bytes.extend(vec![7; length]);
    }
    for size in [1 << 20, limits::CHUNK, 1000, 3] {
        let (_lease, mut stream, pipe) = dialed(&principal, &mut raw).await;
        let pieces: Vec<_> = bytes.chunks(size).map(Bytes::copy_from_slice).chain([FIN]).collect();
        let _answer = answer(&mut raw, pipe, data(&pieces), HeaderMap::new()).await;
        let mut came = Vec::new();
        soon(stream.read_to_end(&mut came)).await.unwrap();
        assert_eq!(came, vec![7; 1 + 100 + limits::CHUNK + 7 + 40_000], "{size}");
    }
}

/// A pipe that the agent has been asked for.
async fn dialed(principal: &Principal, raw: &mut Raw) -> (Lease, TunnelStream, PipeId) {
    let (lease, mut stream) = principal.dial("raw").unwrap();
    stream.write_all(b"x").await.unwrap();
    stream.flush().await.unwrap();
    loop {
        match raw.next().await {
            PrincipalEvent::Open(open) => return (lease, stream, open.pipe),
            PrincipalEvent::Cancel(_before) => {}
            event => panic!("{event:?} is no open"),
        }
    }
}

/// The agent's call, with `headers` in place of some of its own.
async fn answer(raw: &mut Raw, pipe: PipeId, body: Body, headers: HeaderMap) -> Response<hyper::body::Incoming> {
    let mut request = Request::post("http://principal/argocdagent.tunnel.v1.Tunnel/Pipe")
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .header(SESSION_HEADER, raw.welcome.session.get())
        .header(PIPE_HEADER, pipe.get())
        .body(body)
        .unwrap();
    request.headers_mut().extend(headers);
    soon(raw.grpc.call(request)).await.unwrap()
}

async fn whole(response: Response<hyper::body::Incoming>) -> Collected<Bytes> {
    #[expect(clippy::disallowed_methods, reason = "the test knows that it is small")]
    soon(response.into_body().collect()).await.unwrap()
}

/// Frames with such data, and no end.
fn data(pieces: &[Bytes]) -> Body {
    let frames: Vec<_> = pieces.iter().cloned().map(|piece| Ok::<_, Infallible>(Frame::data(piece))).collect();
    Body::new(StreamBody::new(stream::iter(frames).chain(stream::pending())))
}

/// What comes, as a stream of bytes.
fn read(incoming: Incoming) -> TunnelStream {
    let (attached, when_attached) = oneshot::channel();
    attached.send(Ok(incoming)).unwrap();
    TunnelStream::accept(Bytes::new(), when_attached, None).0
}

fn said<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}
