//! `Pipe` as a call: gRPC over HTTP/2 as tonic speaks it, without what tonic does to the messages.
//!
//! Both ends are here, so that what one writes the other is seen to read. Any gRPC library can be the peer of either.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{CONTENT_TYPE, TE},
};
use tonic::{Code, Status, body::Body, metadata::GRPC_CONTENT_TYPE};

use super::{Incoming, PIPE_HEADER, PipeError, PipeId, SESSION_HEADER, SessionId, stream::Outgoing};

/// The path by which the call is known.
pub const PATH: &str = "/argocdagent.tunnel.v1.Tunnel/Pipe";

/// Opens a pipe.
#[must_use]
pub fn request(session: SessionId, pipe: PipeId, outgoing: Outgoing) -> Request<Body> {
    let mut request = Request::new(Body::new(outgoing));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static(URI);
    let headers = request.headers_mut();
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
    headers.insert(SESSION_HEADER, session.get().into());
    headers.insert(PIPE_HEADER, pipe.get().into());
    request
}

/// What the principal's answer leads to.
///
/// # Errors
/// When it opens no pipe.
pub fn opened<B>(response: Response<B>) -> Result<Incoming, PipeError>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<tonic::codegen::StdError>,
{
    let (head, body) = response.into_parts();
    if let Some(refused) = refusal(&head.headers) {
        return Err(refused);
    }
    uncompressed(&head.headers).map_err(|status| cut(&status))?;
    let content = head.headers.get(CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
    // A proxy's page, for instance, which would be read as chunks.
    if head.status != StatusCode::OK || !content.starts_with(GRPC_CONTENT_TYPE.as_bytes()) {
        let (status, content) = (head.status, content.escape_ascii());
        return Err(PipeError::Cut(format!("the answer is no gRPC but HTTP {status}, content-type `{content}`")));
    }
    Ok(Incoming::new(Body::new(body)))
}

/// What an agent's request brings, of which these are headers and body.
///
/// # Errors
/// When it cannot be read.
pub fn accepted<B>(headers: &HeaderMap, body: B) -> Result<Incoming, Status>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<tonic::codegen::StdError>,
{
    uncompressed(headers)?;
    Ok(Incoming::new(Body::new(body)))
}

/// Answers a call that was accepted. One that was not is answered by its [`Status`].
#[must_use]
pub fn response(outgoing: Outgoing) -> Response<Body> {
    let mut response = Response::new(Body::new(outgoing));
    response.headers_mut().insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
    response
}

/// The last word of an answer: its stream has ended. Whether the pipe has is said by a chunk.
pub(super) fn last_word() -> HeaderMap {
    HeaderMap::from_iter([(Status::GRPC_STATUS, HeaderValue::from_static("0"))])
}

/// What an answer's headers or trailers say, unless it is that all is well.
pub(super) fn refusal(headers: &HeaderMap) -> Option<PipeError> {
    let status = headers.get(Status::GRPC_STATUS)?;
    if status.as_bytes() == b"0" {
        return None;
    }
    // Without the details, which tonic expects to be Base64, whatever the peer says.
    let said = [Status::GRPC_STATUS, Status::GRPC_MESSAGE].into_iter();
    let said: HeaderMap = said.filter_map(|name| Some((name.clone(), headers.get(&name)?.clone()))).collect();
    Status::from_header_map(&said).filter(|status| status.code() != Code::Ok).map(|status| cut(&status))
}

fn uncompressed(headers: &HeaderMap) -> Result<(), Status> {
    match headers.get(ENCODING) {
        Some(encoding) if encoding != "identity" => {
            let encoding = encoding.as_bytes().escape_ascii();
            Err(Status::unimplemented(format!("messages are compressed with `{encoding}`, which is not supported")))
        }
        Some(_) | None => Ok(()),
    }
}

fn cut(status: &Status) -> PipeError {
    PipeError::Cut(match status.message() {
        "" => status.code().to_string(),
        text => text.to_owned(),
    })
}

/// HTTP/2 wants an origin; what counts is the connection that exists.
const URI: &str = "http://principal/argocdagent.tunnel.v1.Tunnel/Pipe";

const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{future::poll_fn, stream};
    use http_body_util::{BodyExt, StreamBody};
    use hyper::body::Frame;
    use tokio::sync::{mpsc, oneshot};

    use super::*;
    use crate::tunnel::{Opening, Target, TunnelStream, cutter::Piece, frame};

    fn outgoing() -> Outgoing {
        let (_attached, when_attached) = oneshot::channel();
        TunnelStream::accept(Bytes::new(), when_attached, None).1
    }

    fn answer(status: u16, headers: &[(&str, &str)], body: Vec<Frame<Bytes>>) -> Result<Incoming, PipeError> {
        let frames = stream::iter(body.into_iter().map(Ok::<_, Infallible>));
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        opened(response.body(StreamBody::new(frames)).unwrap())
    }

    fn refused(status: u16, headers: &[(&str, &str)]) -> String {
        answer(status, headers, Vec::new()).unwrap_err().to_string()
    }

    #[test]
    fn the_call_is_what_the_generated_code_makes_of_it() {
        let request = request(SessionId::try_from(7).unwrap(), PipeId::FIRST, outgoing());
        assert_eq!((request.method(), request.uri().path()), (&Method::POST, PATH));
        let said = |name: &str| request.headers().get(name).unwrap().to_str().unwrap();
        assert_eq!((said("te"), said("content-type")), ("trailers", "application/grpc"));
        assert_eq!((said(SESSION_HEADER), said(PIPE_HEADER)), ("7", "1"));
    }

    #[test]
    fn an_answer_that_opens_no_pipe_says_why() {
        let grpc = ("content-type", "application/grpc");
        let unknown = refused(200, &[grpc, ("grpc-status", "5"), ("grpc-message", "no%20such pipe")]);
        assert_eq!(unknown, "the pipe was cut: no such pipe");
        assert!(
            refused(200, &[grpc, ("grpc-status", "14")]).contains("unavailable"),
            "its code, where there is no text"
        );
        let nonsense = [grpc, ("grpc-status", "x"), ("grpc-status-details-bin", "no Base64!"), ("grpc-message", "%ff")];
        assert!(refused(200, &nonsense).starts_with("the pipe was cut: "));
        let page = refused(502, &[("content-type", "text/html")]);
        assert_eq!(page, "the pipe was cut: the answer is no gRPC but HTTP 502 Bad Gateway, content-type `text/html`");
        assert!(refused(200, &[]).contains("no gRPC"));
        assert!(refused(200, &[grpc, ("grpc-encoding", "gzip")]).contains("compressed with `gzip`"));
        let plain = [("content-type", "application/grpc+proto"), ("grpc-encoding", "identity")];
        assert!(answer(200, &plain, Vec::new()).is_ok());
    }

    #[tokio::test]
    async fn what_ends_an_answer_ends_the_pipe_with_its_text() {
        let trailers = |headers: &[(&'static str, &'static str)]| {
            let headers =
                headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            Frame::trailers(headers.collect())
        };
        let aborted = trailers(&[("grpc-status", "10"), ("grpc-message", "enough")]);
        for (last, text) in [(aborted, "enough"), (trailers(&[("grpc-status", "0")]), "the peer dropped it")] {
            let body = vec![Frame::data(frame::FIN), last];
            let mut incoming = answer(200, &[("content-type", "application/grpc")], body).unwrap();
            let fin = Piece { fin: true, ..Piece::default() };
            assert_eq!(poll_fn(|cx| incoming.poll_piece(cx)).await, Ok(fin));
            let ended = poll_fn(|cx| incoming.poll_piece(cx)).await;
            assert_eq!(ended, Err(PipeError::Cut(text.into())));
        }
    }

    #[tokio::test]
    async fn a_request_whose_messages_are_compressed_is_refused_as_tonic_does() {
        let accepted = |encoding| {
            let headers = HeaderMap::from_iter([(ENCODING, HeaderValue::from_static(encoding))]);
            accepted(&headers, Body::empty())
        };
        assert_eq!(accepted("br").unwrap_err().code(), Code::Unimplemented);
        let mut incoming = accepted("identity").unwrap();
        assert_eq!(poll_fn(|cx| incoming.poll_piece(cx)).await, Err(PipeError::dropped()));
    }

    #[tokio::test]
    async fn the_principal_ends_its_half_with_a_status_and_the_agent_with_nothing() {
        assert!(request(SessionId::random(), PipeId::FIRST, outgoing()).into_body().frame().await.is_none());
        let ((_attached, when_attached), (control, _events)) = (oneshot::channel(), mpsc::channel(1));
        let opening = Opening { pipe: PipeId::FIRST, target: Target::Kube, control };
        let (stream, outgoing) = TunnelStream::dial(opening, when_attached, Box::new(|_end| {}), None);
        drop(stream);
        let mut body = response(outgoing).into_body();
        let last = body.frame().await.unwrap().unwrap().into_trailers().unwrap();
        assert_eq!(last, last_word());
        assert!(body.frame().await.is_none());
    }
}
