//! Which agents are attached, asked of the principals themselves: through port-forwards, which the API server lets only
//! those have who may, or at an address.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context, anyhow, bail, ensure};
use common::roster::{AFTER, Entry, PATH, Roster};
use http::{Request, Uri, header::HOST};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};

use super::Side;

/// What principals say of their agents.
#[derive(Debug, Default)]
pub(crate) struct Attached {
    entries: HashMap<String, Entry>,
    /// Why there may be more: a principal that could not be asked.
    pub(crate) trouble: Option<String>,
}

// === impl Attached ===

impl Attached {
    /// Asks the principal at `address`, else every one whose Pod runs, at this port of it.
    pub(crate) async fn ask(side: &Side, address: Option<&Uri>, port: u16) -> Self {
        let mut attached = Self::default();
        let asked = match address {
            Some(address) => attached.ask_at(address).await,
            None => attached.ask_pods(side, port).await,
        };
        attached.trouble = asked.err().map(|error| format!("{error:#}"));
        attached
    }

    /// What is known of an agent.
    pub(crate) fn of(&self, agent: &str) -> Option<&Entry> {
        self.entries.get(agent)
    }

    async fn ask_at(&mut self, address: &Uri) -> anyhow::Result<()> {
        let asked = async {
            let host = address.host().unwrap_or_default().trim_matches(['[', ']']);
            let tcp = TcpStream::connect((host, address.port_u16().unwrap_or(80))).await?;
            self.read(tcp).await
        };
        let asked = timeout(PATIENCE, asked).await.map_err(|_| anyhow!("no answer within {} s", PATIENCE.as_secs()));
        asked.and_then(|asked| asked).with_context(|| format!("the principal at {address} cannot be asked"))
    }

    async fn ask_pods(&mut self, side: &Side, port: u16) -> anyhow::Result<()> {
        let namespace = &side.place.namespace;
        let pods = ListParams::default().labels(PRINCIPALS).fields("status.phase=Running").limit(MOST);
        let pods = timeout(PATIENCE, side.pods.list(&pods)).await.context("the API server does not answer")?;
        let pods = pods.with_context(|| format!("the principal's Pods cannot be listed in namespace {namespace}"))?;
        ensure!(
            !pods.items.is_empty(),
            "no Pod with the label {PRINCIPALS} runs in namespace {namespace}: give --admin-address where the principal \
             runs elsewhere"
        );
        let mut trouble = None;
        for name in pods.items.into_iter().filter_map(|pod| pod.metadata.name) {
            let asked = timeout(PATIENCE, self.ask_pod(&side.pods, &name, port)).await;
            let asked = asked.map_err(|_| anyhow!("no answer within {} s", PATIENCE.as_secs()));
            if let Err(error) = asked.and_then(|asked| asked) {
                trouble.get_or_insert(
                    error.context(format!(
                        "port {port} of Pod {namespace}/{name} cannot be asked through a port-forward"
                    )),
                );
            }
        }
        trouble.map_or(Ok(()), Err)
    }

    async fn ask_pod(&mut self, pods: &Api<Pod>, name: &str, port: u16) -> anyhow::Result<()> {
        let mut forward = pods.portforward(name, &[port]).await?;
        let stream = forward.take_stream(port).ok_or_else(|| anyhow!("the port was not forwarded"))?;
        let read = self.read(stream).await;
        forward.abort();
        read
    }

    /// Reads every page. Where several principals know an agent, the one it is attached to counts, else the last.
    async fn read(&mut self, io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> anyhow::Result<()> {
        let (mut sender, connection) = http1::handshake::<_, Empty<Bytes>>(TokioIo::new(io)).await?;
        let pages = async {
            let mut after = String::new();
            loop {
                sender.ready().await?;
                let request = Request::get(format!("{PATH}?{AFTER}={after}")).header(HOST, "localhost");
                let answer = sender.send_request(request.body(Empty::new())?).await?;
                let status = answer.status();
                ensure!(status.is_success(), "it answers {status}: it is no principal of this version");
                let page = Limited::new(answer.into_body(), LONGEST_PAGE);
                #[expect(clippy::disallowed_methods, reason = "a page is read whole, and limited")]
                let page = page.collect().await.map_err(|error| anyhow!("its answer is cut: {error}"))?.to_bytes();
                let roster: Roster = serde_json::from_slice(&page).context("its answer makes no sense")?;
                for entry in roster.agents {
                    let known = self.entries.get(&entry.name);
                    if known.is_none_or(|known| (known.connected, &known.since) < (entry.connected, &entry.since)) {
                        self.entries.insert(entry.name.clone(), entry);
                    }
                }
                match roster.next {
                    // What goes on behind itself would never end.
                    Some(next) if next > after => after = next,
                    Some(_) => bail!("its answer makes no sense: the next page is not behind this one"),
                    None => return Ok(()),
                }
            }
        };
        tokio::pin!(pages);
        tokio::select! {
            pages = &mut pages => pages,
            // What came is read yet, and what did not come is an error there.
            _ended = connection => pages.await,
        }
    }
}

/// As in every way to install argocd-agent.
const PRINCIPALS: &str = "app.kubernetes.io/name=argocd-agent-principal";
/// More replicas than anybody runs.
const MOST: u32 = 16;
/// For all pages of one principal.
const PATIENCE: Duration = Duration::from_secs(10);
/// A principal's own page has some 200 KiB.
const LONGEST_PAGE: usize = 4 << 20;
