//! A client certificate for each agent, all with one key: what is verified is the same, and making them takes a second.

use std::path::Path;

use anyhow::{Context, Result};
use common::tls::{Identity, Pem};
use rcgen::KeyPair;

use crate::pki::{ClientFiles, Pki, write_private};

/// The certificates of agents that are called by their number.
#[derive(Debug)]
pub(super) struct Certificates<'a> {
    pki: &'a Pki,
    key: KeyPair,
    of_agents: Vec<String>,
}

// === impl Certificates ===

impl<'a> Certificates<'a> {
    pub(super) fn of(pki: &'a Pki, agents: usize) -> Result<Self> {
        let key = KeyPair::generate().context("generating a key")?;
        let sign = |number| pki.client_certificate(&name(number), &key);
        let of_agents = (0..agents).map(sign).collect::<Result<_>>()?;
        Ok(Self { pki, key, of_agents })
    }

    pub(super) fn count(&self) -> usize {
        self.of_agents.len()
    }

    /// Who an agent is to the principal.
    pub(super) fn identity(&self, number: usize) -> Result<Identity> {
        let certificate = Pem::new(name(number), self.pem(number)?.as_bytes());
        let key = Pem::new("the key of all agents", self.key.serialize_pem());
        Identity::from_pem(&certificate, &key).context("an agent's identity")
    }

    /// The same as files, for a client of the Kubernetes door: there the name says which agent is wanted.
    pub(super) fn files(&self, number: usize, dir: &Path) -> Result<ClientFiles> {
        let [cert, key] = ["crt", "key"].map(|suffix| dir.join(format!("{}.{suffix}", name(number))));
        write_private(&cert, self.pem(number)?)?;
        write_private(&key, &self.key.serialize_pem())?;
        Ok(ClientFiles { ca: self.pki.file("ca.crt"), cert, key })
    }

    fn pem(&self, number: usize) -> Result<&str> {
        self.of_agents.get(number).map(String::as_str).with_context(|| format!("no agent {number}"))
    }
}

fn name(number: usize) -> String {
    format!("agent-{number:05}")
}
