//! The demo's certificates: one authority, two servers, and for each agent the agent itself and its callers.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};

use crate::state::State;

/// The authority. Its key is never written.
pub(crate) struct Pki {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate with its private key, PEM.
pub(crate) struct Leaf {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Where certificate and key were written.
#[derive(Debug, Clone)]
pub(crate) struct LeafFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

// === impl Pki ===

impl Pki {
    /// A new authority.
    pub(crate) fn generate() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "argocd-agent-demo");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// The authority's certificate, PEM.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// A server on this machine.
    pub(crate) fn server(&self, name: &str) -> Result<Leaf> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
        params.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(name, params)
    }

    /// A client: an agent, or a caller who asks for that agent's cluster. The name is the same, the keys are not.
    pub(crate) fn client(&self, agent: &str) -> Result<Leaf> {
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(agent, params)
    }

    fn sign(&self, name: &str, mut params: CertificateParams) -> Result<Leaf> {
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        Ok(Leaf { certificate: params.signed_by(&key, &self.issuer)?.pem(), key: key.serialize_pem() })
    }
}

// === impl Leaf ===

impl Leaf {
    /// Writes `<name>.crt` and `<name>.key`.
    pub(crate) fn write(&self, state: &State, name: &str) -> Result<LeafFiles> {
        Ok(LeafFiles {
            certificate: state.write(&format!("{name}.crt"), &self.certificate)?,
            key: state.write(&format!("{name}.key"), &self.key)?,
        })
    }
}
