//! Attach, serve, back off, again: for as long as the agent lives.

use std::{collections::BTreeMap, time::Duration};

use common::{
    Report, drain,
    tunnel::{budget::Budget, event::GoAwayReason},
};
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};
use tracing::{info, info_span, warn};

use super::{
    backoff::Backoff,
    connect::Connect,
    creds::Creds,
    handshake::{self, Introduction},
    metrics::LinkMetrics,
    session::{Left, Session},
};
use crate::dispatch::Dispatch;

/// Told when a session takes no new pipes any more.
type WhenLeft = oneshot::Receiver<Left>;

/// The link; [`Link::run`] keeps it up.
#[derive(Debug)]
pub struct Link {
    connector: Box<dyn Connect>,
    introduction: Introduction,
    creds: Creds,
    ping_interval: Duration,
    dispatch: Dispatch,
    metrics: LinkMetrics,
    connected: watch::Sender<bool>,
}

/// What the agent tells the principal about itself, and how it proves that.
#[derive(Debug, Clone)]
pub struct LinkOptions {
    /// `managed` or `autonomous`.
    pub mode: String,
    /// The namespace of Argo CD in the workload cluster.
    pub namespace: String,
    /// How it proves who it is.
    pub creds: Creds,
    /// The labels to ask for, for the cluster Secret in the control plane.
    pub cluster_labels: BTreeMap<String, String>,
    /// How often to ping, where the principal does not want it more often.
    pub ping_interval: Duration,
    /// What the principal may send of a pipe before it is granted more.
    pub stream_window: u32,
}

// === impl Link ===

impl Link {
    /// A link over `connector` whose pipes go to `dispatch`; the receiver says whether a session is attached.
    #[must_use]
    pub fn new(
        connector: impl Connect,
        options: LinkOptions,
        dispatch: Dispatch,
        metrics: LinkMetrics,
    ) -> (Self, watch::Receiver<bool>) {
        let (connected, is_connected) = watch::channel(false);
        let LinkOptions { mode, namespace, creds, cluster_labels, ping_interval, stream_window: window } = options;
        let (targets, instance) = (dispatch.targets(), format!("{:016x}", rand::random::<u64>()));
        let introduction = Introduction { mode, namespace, targets, cluster_labels, instance, window };
        (
            Self { connector: Box::new(connector), introduction, creds, ping_interval, dispatch, metrics, connected },
            is_connected,
        )
    }

    /// Keeps a session attached until the drain begins; sessions that still have pipes then finish on their own.
    pub async fn run(self, drain: drain::Watch) {
        let mut backoff = Backoff::default();
        loop {
            let attempt = tokio::select! {
                attempt = self.attach(&drain) => attempt,
                () = drain.draining() => return,
            };
            let wait = match attempt {
                Ok(session) => {
                    self.set_connected(true);
                    let held = tokio::select! {
                        held = self.hold(session, &drain) => Some(held),
                        () = drain.draining() => None,
                    };
                    self.set_connected(false);
                    let Some((left, since)) = held else { return };
                    match left {
                        Left::GoAway(GoAwayReason::Replaced) => {
                            warn!("another agent of the same name took over: is the certificate used twice?");
                            backoff.replaced()
                        }
                        Left::GoAway(GoAwayReason::Draining) | Left::Ended(_) => backoff.end(since.elapsed()),
                    }
                }
                Err(error) => {
                    let wait = backoff.fail();
                    warn!(error = %error, retry_millis = wait.as_millis(), "cannot attach to the principal");
                    wait
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = drain.draining() => return,
            }
        }
    }

    /// Waits until there is no session any more, and tells since when there had been the last one. A session whose
    /// certificate is outdated is replaced by one that has the new certificate.
    async fn hold(&self, mut session: WhenLeft, drain: &drain::Watch) -> (Left, Instant) {
        let mut since = Instant::now();
        loop {
            tokio::select! {
                left = &mut session => return (reason(left), since),
                () = self.connector.outdated() => {}
            }
            info!("certificate or authorities have changed, attaching anew");
            match self.renew(&mut session, drain).await {
                Ok(renewed) => (session, since) = (renewed, Instant::now()),
                Err(left) => return (left, since),
            }
        }
    }

    /// Attaches beside a session, which goes on until then: the principal uses the new one as soon as it is attached, and
    /// the old one ends after its last exchange. Fails when the old one is left before there is a new one.
    async fn renew(&self, session: &mut WhenLeft, drain: &drain::Watch) -> Result<WhenLeft, Left> {
        let mut backoff = Backoff::default();
        loop {
            let attempt = self.attach(drain);
            tokio::pin!(attempt);
            let (attempt, replaced) = tokio::select! {
                attempt = &mut attempt => (attempt, None),
                left = &mut *session => match reason(left) {
                    // Most likely by ourselves: the principal tells the old session before it welcomes the new one.
                    replaced @ Left::GoAway(GoAwayReason::Replaced) => (attempt.await, Some(replaced)),
                    left => return Err(left),
                },
            };
            let error = match attempt {
                Ok(renewed) => return Ok(renewed),
                Err(error) => error,
            };
            let wait = backoff.fail();
            warn!(error = %error, retry_millis = wait.as_millis(), "cannot attach with what has changed");
            if let Some(left) = replaced {
                return Err(left);
            }
            tokio::select! {
                left = &mut *session => return Err(reason(left)),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// One attempt; the session then runs in a task of its own.
    async fn attach(&self, drain: &drain::Watch) -> Result<WhenLeft, String> {
        self.metrics.attempts.inc();
        let authorization = self.creds.authorization().await.map_err(|error| Report(&error).to_string())?;
        let (grpc, mut driver) = self.connector.connect().await.map_err(|error| Report(&error).to_string())?;
        let budget = Budget::telling(self.metrics.window_bytes.clone());
        let mut attached = tokio::select! {
            attached = handshake::attach(grpc, &self.introduction, authorization, budget) => {
                attached.map_err(|error| Report(&error).to_string())?
            }
            ended = &mut driver => return Err(match ended {
                Ok(()) => "the principal closed the connection".to_owned(),
                Err(error) => Report(&error).to_string(),
            }),
        };
        self.metrics.sessions.inc();
        let welcome = &mut attached.welcome;
        welcome.ping_interval = welcome.ping_interval.min(self.ping_interval);
        let span = info_span!("session", session = %welcome.session);
        span.in_scope(|| info!(build = %welcome.build, version = welcome.version, "attached to the principal"));
        let (session, left) =
            Session::new(attached, driver, self.dispatch.clone(), drain.clone(), self.metrics.clone());
        drain.spawn(span, session.run());
        Ok(left)
    }

    fn set_connected(&self, connected: bool) {
        self.metrics.connected.set(connected.into());
        self.connected.send_replace(connected);
    }
}

fn reason(left: Result<Left, oneshot::error::RecvError>) -> Left {
    left.unwrap_or_else(|_| Left::Ended("the session's task ended".to_owned()))
}
