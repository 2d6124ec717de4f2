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

use super::{
    KubeDoorOptions,
    audit::Access,
    granted::Granted,
    metrics::DoorMetrics,
    route::{Allowed, Caller, Denied},
};
use crate::{
    agents::{
        DialError, Dialer, Tokens,
        tokens::{Ended, Grant},
    },
    doors::http::{
        client::{Client, PipeBody},
        forward,
        head_guard::Heads,
        upload::{Upload, UploadBody},
    },
    revocation::Standing,
};

/// What a caller gets.
pub(super) type Answer = Response<Observed<Granted<Either<Full<Bytes>, PipeBody<Incoming>>>, Option<Access>>>;

/// Answers requests; one serves every connection.
#[derive(Debug)]
pub(super) struct KubeService {
    client: Client<Incoming>,
    response_timeout: Duration,
    tokens: Option<Arc<Tokens>>,
    metrics: DoorMetrics,
    drain: drain::Watch,
}

/// An agent's answer.
struct Answered {
    response: Response<PipeBody<Incoming>>,
    /// Where it switches protocols: the caller's connection, and the agent's.
    switch: Option<(OnUpgrade, OnUpgrade)>,
    /// For how long, where a token says it.
    grant: Option<Grant>,
}

// === impl KubeService ===

impl KubeService {
    pub(super) fn new(
        dialer: Arc<dyn Dialer>,
        options: KubeDoorOptions,
        metrics: DoorMetrics,
        drain: drain::Watch,
    ) -> Self {
        let KubeDoorOptions { response_timeout, tokens } = options;
        let client = Client::new(dialer, Target::Kube, drain.clone());
        Self { client, response_timeout, tokens, metrics, drain }
    }

    /// Answers a request, whatever it is.
    ///
    /// # Cancel safety
    /// Dropping the future, or the answer's body, cancels the work at the agent.
    pub(super) async fn answer(&self, from: &Caller, heads: Option<Heads>, request: Request<Incoming>) -> Answer {
        let says_length_twice = heads.as_ref().is_some_and(|heads| {
            heads.disarm();
            let has_length =
                [CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|name| request.headers().contains_key(name));
            has_length && heads.says_length_twice(request.method())
        });
        let upload = Upload::new();
        let mut access = Access::begin(from, &request, upload.clone(), heads, &self.metrics);
        let (uri, version) = (request.uri().clone(), request.version());
        let request = request.map(|body| UploadBody::new(body, upload.clone()));
        match self.exchange(from, request, says_length_twice, &upload, &mut access).await {
            Ok(Answered { response, switch, grant }) => {
                let (mut head, body) = response.into_parts();
                let label = forward::response(&mut head, version);
                access.answered(head.status, label.as_ref());
                match switch {
                    None => {
                        let body = Granted::new(Either::Right(body), grant);
                        Response::from_parts(head, Observed::new(body, Some(access)))
                    }
                    Some((caller, agent)) => {
                        self.switch((from.standing.clone(), grant), (caller, agent), body, access);
                        let none = Granted::new(Either::Left(Full::default()), None);
                        Response::from_parts(head, Observed::new(none, None))
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
                response.map(|body| Observed::new(Granted::new(Either::Left(body), None), Some(access)))
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
        let allowed = caller.agent(request.headers(), self.tokens.as_deref());
        let Allowed { agent, grant } = allowed.map_err(|denied| {
            // Without a certificate the refusal itself says all there is.
            if denied != Denied::NoCertificate {
                access.failed(&Report(&denied));
            }
            denied.refusal()
        })?;
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
        let answer = tokio::select! {
            answer = upload.answered_within(self.response_timeout, exchange) => answer,
            ended = ended(grant.as_ref()) => {
                access.failed(&ended);
                return Err(Refusal::BadBearer);
            }
        };
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
        Ok(Answered { response, switch, grant })
    }

    /// Joins the two connections once the answer has been sent, in a task of its own: an HTTP/1.1 server lets go of a
    /// connection that it has upgraded. They end when the caller's certificate or token is no longer good.
    fn switch(
        &self,
        (standing, grant): (Standing, Option<Grant>),
        (caller, agent): (OnUpgrade, OnUpgrade),
        body: PipeBody<Incoming>,
        mut access: Access,
    ) {
        let exchange = body.into_exchange();
        let meter = access.switches();
        self.drain.spawn(Span::current(), async move {
            tokio::select! {
                joined = standing.while_good(join_metered(caller, agent, &meter)) => match joined {
                    Some(result) => access.switched_back(result),
                    None => access.failed(&"the caller's certificate came on the blocklist"),
                },
                ended = ended(grant.as_ref()) => access.failed(&ended),
            }
            drop(exchange);
        });
    }
}

/// Resolves when the token is valid no more, if there is one.
async fn ended(grant: Option<&Grant>) -> Ended {
    match grant {
        Some(grant) => grant.ended().await,
        None => std::future::pending().await,
    }
}
