//! The way of one request: from the pipe, past the filter, to the API server, and its answer back.
//!
//! What goes through is what came, but for what belongs to the connection and not to the message, for credentials, and
//! for the host.

use std::sync::Arc;

use common::{
    Refusal, Report,
    http::{
        headers, refusal,
        upgrade::{self, Joined},
    },
};
use http::{
    HeaderValue, Request, Response, StatusCode, Version,
    header::{AUTHORIZATION, EXPECT},
    request::Parts,
};
use http_body_util::Full;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use tracing::debug;

use super::{
    body::{AnswerBody, SendBody},
    filter::Filter,
    metrics::Purpose,
    upstream::Upstream,
};
use crate::executors::serve_http::AfterUpgrade;

/// Answers requests. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct KubeService(Arc<Mode>);

/// How requests are dealt with.
#[derive(Debug)]
pub(super) enum Mode {
    /// The resource proxy is off.
    Disabled,
    /// Everything passes.
    Open(Upstream),
    /// The filter decides.
    Filtered(Arc<Filter>),
}

/// A request on its way to the API server, without what belonged to the pipe.
#[derive(Debug)]
pub(super) struct Inbound {
    pub(super) parts: Parts,
    pub(super) body: SendBody,
}

// === impl KubeService ===

impl KubeService {
    pub(super) fn new(mode: Mode) -> Self {
        Self(Arc::new(mode))
    }

    /// Answers one request. What is to run behind an upgrade goes to `after`.
    pub(super) async fn answer(self, request: Request<Incoming>, after: AfterUpgrade) -> Response<AnswerBody> {
        let target = request.uri().clone();
        match self.exchange(request, after).await {
            Ok(answer) => answer,
            Err(refusal) => {
                debug!(refusal = refusal.label(), "refused");
                refusal::response(&refusal, target.path()).map(AnswerBody::Own)
            }
        }
    }

    async fn exchange(
        &self,
        mut request: Request<Incoming>,
        after: AfterUpgrade,
    ) -> Result<Response<AnswerBody>, Refusal> {
        let near = hyper::upgrade::on(&mut request);
        let protocol = headers::strip_hop_by_hop(request.headers_mut());
        let inbound = Inbound::new(request, protocol.as_ref())?;
        let answer = match &*self.0 {
            Mode::Disabled => return Err(Refusal::ProxyDisabled),
            Mode::Open(upstream) => {
                let answer = upstream.send(inbound.into_request(), Purpose::Client).await;
                answer.map_err(|error| error.refusal())?.map(AnswerBody::Upstream)
            }
            Mode::Filtered(filter) => filter.serve(inbound).await?,
        };
        outbound(answer, protocol, near, &after)
    }
}

// === impl Inbound ===

impl Inbound {
    fn new(request: Request<Incoming>, protocol: Option<&HeaderValue>) -> Result<Self, Refusal> {
        let (mut parts, body) = request.into_parts();
        if !parts.uri.path_and_query().is_some_and(|target| target.as_str().starts_with('/')) {
            return Err(Refusal::BadRequest("the request has no path".into()));
        }
        // The principal has taken it out, and has it from a client for whom it was meant.
        parts.headers.remove(AUTHORIZATION);
        // Answered by the server on the pipe as soon as the body is asked for.
        parts.headers.remove(EXPECT);
        if let Some(protocol) = protocol {
            headers::set_upgrade(&mut parts.headers, protocol.clone());
        }
        Ok(Self { parts, body: SendBody::Stream(body) })
    }

    /// Path and query as they came.
    pub(super) fn target(&self) -> &str {
        self.parts.uri.path_and_query().map_or("", |target| target.as_str())
    }

    pub(super) fn into_request(self) -> Request<SendBody> {
        Request::from_parts(self.parts, self.body)
    }
}

/// Makes the API server's answer one for the pipe.
fn outbound(
    mut answer: Response<AnswerBody>,
    asked: Option<HeaderValue>,
    near: OnUpgrade,
    after: &AfterUpgrade,
) -> Result<Response<AnswerBody>, Refusal> {
    *answer.version_mut() = Version::HTTP_11;
    let switched = headers::strip_hop_by_hop(answer.headers_mut());
    // Only we say so of ourselves.
    refusal::take_label(answer.headers_mut());
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        let Some(asked) = asked else {
            return Err(Refusal::UpstreamUnreachable("it changed the protocol unasked".into()));
        };
        headers::set_upgrade(answer.headers_mut(), switched.unwrap_or(asked));
        let (parts, body) = answer.into_parts();
        if let AnswerBody::Socket(socket) = body {
            after.run(socket.run(near));
            return Ok(Response::from_parts(parts, AnswerBody::Own(Full::default())));
        }
        answer = Response::from_parts(parts, body);
        let far = hyper::upgrade::on(&mut answer);
        after.run(async move {
            let Joined { a_to_b, b_to_a, result } = upgrade::join(near, far).await;
            match result {
                Ok(()) => debug!(received = a_to_b, sent = b_to_a, "upgraded exchange ended"),
                Err(error) => {
                    debug!(received = a_to_b, sent = b_to_a, error = %Report(&error), "upgraded exchange broke");
                }
            }
        });
    }
    Ok(answer)
}
