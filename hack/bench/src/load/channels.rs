//! Channels of a Pod over WebSocket: what is typed and what a command says, or the two ways of a forwarded port.
//!
//! Every message is a channel's number and its bytes.

use anyhow::{Context, Result, bail};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{ClientRequestBuilder, Message},
};

use super::connection::{Endpoint, Protocol, Wire};

/// Open channels.
#[derive(Debug)]
pub(crate) struct Channels {
    socket: WebSocketStream<TlsStream<Wire>>,
}

// === impl Channels ===

impl Channels {
    /// A command in a Pod, whose input and output are channels.
    pub(crate) async fn exec(endpoint: &Endpoint, pod: &str, command: &str) -> Result<Self> {
        let path = format!("{pod}/exec?command={command}&stdin=true&stdout=true");
        Self::open(endpoint, &path, "v5.channel.k8s.io").await
    }

    /// A connection to a port of a Pod.
    pub(crate) async fn port_forward(endpoint: &Endpoint, pod: &str, port: u16) -> Result<Self> {
        let path = format!("{pod}/portforward?ports={port}");
        let mut channels = Self::open(endpoint, &path, "v4.channel.k8s.io").await?;
        for channel in [DATA_OF_PORT, ERRORS_OF_PORT] {
            let first = channels.message().await?;
            if first.split_first() != Some((&channel, &port.to_le_bytes()[..])) {
                bail!("channel {channel} of port {port} begins with {first:?}");
            }
        }
        Ok(channels)
    }

    async fn open(endpoint: &Endpoint, path: &str, protocol: &str) -> Result<Self> {
        let uri = format!("wss://{}{path}", endpoint.address()).parse().context("an address")?;
        let request = ClientRequestBuilder::new(uri).with_sub_protocol(protocol);
        let tls = endpoint.tls(Protocol::Http1).await?;
        let (socket, _answer) = client_async(request, tls).await.with_context(|| format!("WebSocket of {path}"))?;
        Ok(Self { socket })
    }

    /// Puts bytes into a channel; they may wait for more of them.
    pub(crate) async fn feed(&mut self, channel: u8, data: &[u8]) -> Result<()> {
        let mut message = BytesMut::with_capacity(data.len() + 1);
        message.put_u8(channel);
        message.extend_from_slice(data);
        self.socket.feed(Message::Binary(message.freeze())).await.context("sending")
    }

    /// Sends what waits.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        self.socket.flush().await.context("sending")
    }

    /// The next bytes, which must be of this channel.
    pub(crate) async fn next(&mut self, channel: u8) -> Result<Bytes> {
        loop {
            let mut message = self.message().await?;
            if message.len() <= 1 {
                // A server may begin its channels so.
                continue;
            }
            let data = message.split_off(1);
            if message.first() != Some(&channel) {
                bail!("channel {message:?} says {:?}", String::from_utf8_lossy(&data));
            }
            return Ok(data);
        }
    }

    async fn message(&mut self) -> Result<Bytes> {
        loop {
            match self.socket.next().await.context("the connection ended")?.context("receiving")? {
                Message::Binary(data) => return Ok(data),
                Message::Ping(_) | Message::Pong(_) => {}
                other => bail!("a message that is none of a channel: {other:?}"),
            }
        }
    }
}

/// What a command hears.
pub(crate) const STDIN: u8 = 0;

/// What a command says.
pub(crate) const STDOUT: u8 = 1;

/// What passes through the first port.
pub(crate) const DATA_OF_PORT: u8 = 0;

const ERRORS_OF_PORT: u8 = 1;
