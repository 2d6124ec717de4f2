//! The ports for those who look after the principal.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use tokio::net::TcpListener;
use tracing::warn;

use super::Error;

/// As upstream: on every address.
pub(super) async fn bind_admin(door: &'static str, port: Option<u16>) -> Result<Option<TcpListener>, Error> {
    let Some(port) = port else { return Ok(None) };
    let bound = TcpListener::bind(("0.0.0.0", port)).await;
    bound.map(Some).map_err(|source| Error::Admin { door, port, source })
}

/// The list of agents is not for everybody who reaches the Pod: it is on loopback, where `kubectl port-forward` comes out.
/// It is for people who look, so a port that another process has (a second principal on one machine) keeps none from
/// starting.
pub(super) async fn bind_local(port: Option<u16>) -> Option<TcpListener> {
    let port = port?;
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    let log = |error: &io::Error| warn!(port, %error, "the list of agents is not served: change --admin-port");
    bound.inspect_err(log).ok()
}

pub(super) fn local_addr(listener: Option<&TcpListener>) -> Option<SocketAddr> {
    listener.and_then(|listener| listener.local_addr().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_costs_the_list_of_agents_and_nothing_else() {
        let first = bind_local(Some(0)).await.unwrap();
        let taken = first.local_addr().unwrap().port();
        assert!(bind_local(Some(taken)).await.is_none());
        assert!(bind_local(None).await.is_none());
    }
}
