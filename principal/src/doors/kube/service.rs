//! One request of a caller, one exchange with its agent.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use common::{
    Refusal, Report, drain,
    http::{
        body::Observed,
        refusal::{self, LABEL_HEADER},
        upgrade::join_metered,
    },
    tunnel::Target,
};
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING},
};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use tracing::Span;

use super::{audit::Access, metrics::DoorMetrics, route::Caller};
use crate::{
    agents::{DialError, Dialer},
    doors::http::{
        client::{Client, PipeBody},
        forward,
        head_guard::Heads,
        upload::{Upload, UploadBody},
    },
};

/// What a caller gets.
pub(super) type Answer = Response<Observed<Either<Full<Bytes>, PipeBody<Incoming>>, Option<Access>>>;

/// Answers requests; one serves every connection.
#[derive(Debug)]
pub(super) struct KubeService {
    client: Client<Incoming>,
    response_timeout: Duration,
    metrics: DoorMetrics,
    drain: drain::Watch,
}

/// An agent's answer.
struct Answered {
    response: Response<PipeBody<Incoming>>,
    /// Where it switches protocols: the caller's connection, and the agent's.
    switch: Option<(OnUpgrade, OnUpgrade)>,
}

// === impl KubeService ===

impl KubeService {
    pub(super) fn new(
        dialer: Arc<dyn Dialer>,
        response_timeout: Duration,
        metrics: DoorMetrics,
        drain: drain::Watch,
    ) -> Self {
        let client = Client::new(dialer, Target::Kube, drain.clone());
        Self { client, response_timeout, metrics, drain }
    }

    /// Answers a request, whatever it is.
    ///
    /// # Cancel safety
    /// Dropping the future, or the answer's body, cancels the work at the agent.
    pub(super) async fn answer(&self, caller: &Caller, heads: Option<Heads>, request: Request<Incoming>) -> Answer {
        let says_length_twice = heads.as_ref().is_some_and(|heads| {
            heads.disarm();
            let has_length =
                [CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|name| request.headers().contains_key(name));
            has_length && heads.says_length_twice(request.method())
        });
        let upload = Upload::new();
        let mut access = Access::begin(caller, &request, upload.clone(), heads, &self.metrics);
        let (uri, version) = (request.uri().clone(), request.version());
        let request = request.map(|body| UploadBody::new(body, upload.clone()));
        match self.exchange(caller, request, says_length_twice, &upload, &mut access).await {
            Ok(Answered { response, switch }) => {
                let (mut head, body) = response.into_parts();
                let label = forward::response(&mut head, version);
                access.answered(head.status, label.as_ref());
                match switch {
                    None => Response::from_parts(head, Observed::new(Either::Right(body), Some(access))),
                    Some((caller, agent)) => {
                        self.switch(caller, agent, body, access);
                        Response::from_parts(head, Observed::new(Either::Left(Full::default()), None))
                    }
                }
            }
            Err(refusal) => {
                let mut response = refusal::response(&refusal, uri.path());
                response.headers_mut().remove(LABEL_HEADER);
                if says_length_twice {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                access.refused(&refusal, response.status());
                response.map(|body| Observed::new(Either::Left(body), Some(access)))
            }
        }
    }

    async fn exchange(
        &self,
        caller: &Caller,
        mut request: Request<UploadBody<Incoming>>,
        says_length_twice: bool,
        upload: &Upload,
        access: &mut Access,
    ) -> Result<Answered, Refusal> {
        let agent = caller.agent(request.headers())?;
        access.routed(&agent);
        if says_length_twice {
            return Err(Refusal::BadRequest("the request says the length of its body twice".into()));
        }
        let caller_switches = hyper::upgrade::on(&mut request);
        let (mut head, body) = request.into_parts();
        let asks_to_switch = forward::request(&mut head, &body)?;
        let lease = self.client.reserve(&agent).map_err(|error| match error {
            DialError::NotConnected => Refusal::AgentNotConnected,
            DialError::Busy => Refusal::TooManyRequests,
        })?;

        let exchange = self.client.send(lease, Request::from_parts(head, body));
        let answer = upload.answered_within(self.response_timeout, exchange).await;
        let mut response = match answer {
            Ok(Ok(response)) => response,
            Ok(Err(_)) if upload.has_failed() => {
                return Err(Refusal::BadRequest("the request's body cannot be read".into()));
            }
            Ok(Err(error)) => {
                access.failed(&Report(&error));
                return Err(error.refusal());
            }
            Err(_late) => return Err(Refusal::AgentTimeout),
        };
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if switches && !asks_to_switch {
            access.failed(&"the agent switched protocols unasked");
            return Err(Refusal::TunnelBroken);
        }
        let switch = switches.then(|| (caller_switches, hyper::upgrade::on(&mut response)));
        Ok(Answered { response, switch })
    }

    /// Joins the two connections once the answer has been sent, in a task of its own: an HTTP/1.1 server lets go of a
    /// connection that it has upgraded.
    fn switch(&self, caller: OnUpgrade, agent: OnUpgrade, body: PipeBody<Incoming>, mut access: Access) {
        let exchange = body.into_exchange();
        let meter = access.switches();
        self.drain.spawn(Span::current(), async move {
            let result = join_metered(caller, agent, &meter).await;
            access.switched_back(result);
            drop(exchange);
        });
    }
}
