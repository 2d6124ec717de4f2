//! The cluster's certificate authority and what it signs.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

/// A client certificate and its key, in PEM.
#[derive(Clone)]
pub struct ClientCert {
    /// The certificate alone; it is signed by the cluster's CA itself.
    pub cert_pem: String,
    /// The PKCS#8 key.
    pub key_pem: String,
}

impl fmt::Debug for ClientCert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCert").field("cert_pem", &self.cert_pem).finish_non_exhaustive()
    }
}

/// One CA signs everything: API server, kubelet and all clients.
pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Ca {
    pub(crate) fn generate() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "envtest");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate that authenticates as `user`, a member of `group`.
    pub(crate) fn client(&self, user: &str, group: Option<&str>) -> Result<ClientCert> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let (cert_pem, key_pem) = self.sign(params)?;
        Ok(ClientCert { cert_pem, key_pem })
    }

    fn server(&self, name: &str, hosts: &[&str]) -> Result<(String, String)> {
        let mut params = CertificateParams::new(hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params)
    }

    fn sign(&self, mut params: CertificateParams) -> Result<(String, String)> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &self.issuer)?.pem(), key.serialize_pem()))
    }
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ca").finish_non_exhaustive()
    }
}

/// What the programs read from disk.
#[derive(Debug)]
pub(crate) struct PkiFiles {
    dir: PathBuf,
}

impl PkiFiles {
    /// Signs and writes everything into `dir`.
    pub(crate) fn write(dir: &Path, ca: &Ca) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        let files = Self { dir: dir.to_owned() };
        let service_accounts = KeyPair::generate()?;
        let apiserver_hosts = ["127.0.0.1", "localhost", "10.0.0.1", "kubernetes.default.svc"];
        let (apiserver_cert, apiserver_key) = ca.server("kube-apiserver", &apiserver_hosts)?;
        let (kubelet_cert, kubelet_key) = ca.server("kubelet", &["127.0.0.1"])?;
        let kubelet_client = ca.client("kube-apiserver-kubelet-client", None)?;
        for (name, pem) in [
            ("ca.crt", ca.pem()),
            ("apiserver.crt", &apiserver_cert),
            ("apiserver.key", &apiserver_key),
            ("kubelet.crt", &kubelet_cert),
            ("kubelet.key", &kubelet_key),
            ("kubelet-client.crt", &kubelet_client.cert_pem),
            ("kubelet-client.key", &kubelet_client.key_pem),
            ("service-accounts.key", &service_accounts.serialize_pem()),
            ("service-accounts.pub", &service_accounts.public_key_pem()),
        ] {
            write_private(&files.dir.join(name), pem)?;
        }
        Ok(files)
    }

    /// `--flag=path` of one file.
    pub(crate) fn flag(&self, flag: &str, file: &str) -> String {
        format!("--{flag}={}", self.dir.join(file).display())
    }
}

/// Writes a file that only its owner can read.
pub(crate) fn write_private(path: &Path, content: &str) -> Result<()> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(content.as_bytes()))
        .with_context(|| format!("writing {}", path.display()))
}
