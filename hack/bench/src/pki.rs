//! The certificates between client, contestants and their hops. The API server has a CA of its own.

use std::{
    fmt,
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

/// Files in PEM: `ca.crt`, `server.crt`, `server.key`, `client.crt`, `client.key`. All keys are P-256, as a
/// contestant's cost depends on the kind of key and all must have the same.
pub(crate) struct Pki {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// What a client is known by, and knows servers by.
#[derive(Debug, Clone)]
pub(crate) struct ClientFiles {
    pub(crate) ca: PathBuf,
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

// === impl Pki ===

impl Pki {
    /// One CA; a server certificate for this machine; a client certificate with [`CLIENT_NAME`] as its CN.
    pub(crate) fn write(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        let mut ca = CertificateParams::default();
        ca.distinguished_name.push(DnType::CommonName, "bench-ca");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().context("generating a key")?;
        let ca_pem = ca.self_signed(&key).context("signing the CA")?.pem();
        let issuer = Issuer::new(ca, key);

        let server = CertificateParams::new([LOCALHOST.to_owned(), "127.0.0.1".to_owned()]).context("host names")?;
        let (server_cert, server_key) = sign(&issuer, server, LOCALHOST, ExtendedKeyUsagePurpose::ServerAuth)?;
        let client = CertificateParams::default();
        let (client_cert, client_key) = sign(&issuer, client, CLIENT_NAME, ExtendedKeyUsagePurpose::ClientAuth)?;

        let pki = Self { dir: dir.to_owned(), issuer };
        for (name, pem) in [
            ("ca.crt", &ca_pem),
            ("server.crt", &server_cert),
            ("server.key", &server_key),
            ("client.crt", &client_cert),
            ("client.key", &client_key),
        ] {
            write_private(&pki.file(name), pem)?;
        }
        Ok(pki)
    }

    /// The path of one of the files.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A client certificate for that name and key, in PEM.
    pub(crate) fn client_certificate(&self, name: &str, key: &KeyPair) -> Result<String> {
        certificate(&self.issuer, CertificateParams::default(), name, ExtendedKeyUsagePurpose::ClientAuth, key)
    }

    pub(crate) fn client(&self) -> ClientFiles {
        ClientFiles { ca: self.file("ca.crt"), cert: self.file("client.crt"), key: self.file("client.key") }
    }
}

impl fmt::Debug for Pki {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pki({})", self.dir.display())
    }
}

fn sign(
    issuer: &Issuer<'_, KeyPair>,
    params: CertificateParams,
    name: &str,
    usage: ExtendedKeyUsagePurpose,
) -> Result<(String, String)> {
    let key = KeyPair::generate().context("generating a key")?;
    Ok((certificate(issuer, params, name, usage, &key)?, key.serialize_pem()))
}

fn certificate(
    issuer: &Issuer<'_, KeyPair>,
    mut params: CertificateParams,
    name: &str,
    usage: ExtendedKeyUsagePurpose,
    key: &KeyPair,
) -> Result<String> {
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    let cert = params.signed_by(key, issuer).with_context(|| format!("signing {name}"))?;
    Ok(cert.pem())
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

/// Who the client is: at our door a client certificate's CN is the agent that its caller wants, so this is also the
/// agent's name.
pub(crate) const CLIENT_NAME: &str = "bench";

/// A name in every server certificate here, the API server's included.
pub(crate) const LOCALHOST: &str = "localhost";
