//! Throwaway certificates: a CA per world, and leaves that are good, expired, or of another CA.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use common::auth::PeerIdentity;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};

/// A certificate authority.
#[derive(Debug)]
pub struct Ca {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// The chain.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

// === impl Ca ===

impl Ca {
    /// A new authority.
    #[must_use]
    pub fn new() -> Self {
        Self::of(CertificateParams::default())
    }

    /// One whose time is over. What it signs is good otherwise.
    #[must_use]
    pub fn expired() -> Self {
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        Self::of(params)
    }

    /// One whose time has not come. What it signs is good otherwise.
    #[must_use]
    pub fn early() -> Self {
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(4000, 1, 1);
        params.not_after = date_time_ymd(4001, 1, 1);
        Self::of(params)
    }

    fn of(mut params: CertificateParams) -> Self {
        let key = KeyPair::generate().expect("a key");
        params.distinguished_name.push(DnType::CommonName, "test-ca");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).expect("a self-signed certificate");
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// An authority below this one. What it signs has its certificate behind the leaf's.
    ///
    /// # Panics
    /// Never: the keys are its own.
    #[must_use]
    pub fn intermediate(&self) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "test-intermediate");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.signed_by(&key, &self.issuer).expect("a signed certificate");
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// The authority's certificate, PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A server's certificate for `localhost` and 127.0.0.1.
    #[must_use]
    pub fn server(&self) -> Leaf {
        self.sign(&server())
    }

    /// As [`server`](Self::server), for so long from now on.
    ///
    /// # Panics
    /// Never: the name is one.
    #[must_use]
    pub fn server_for(&self, left: Duration) -> Leaf {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later than 1970");
        let mut params = server();
        params.not_after = date_time_ymd(1970, 1, 1) + now + left;
        self.sign(&params)
    }

    /// A client's certificate whose common name is `name`.
    #[must_use]
    pub fn client(&self, name: &str) -> Leaf {
        self.sign(&client(name))
    }

    /// A client's certificate whose time is over.
    #[must_use]
    pub fn expired_client(&self, name: &str) -> Leaf {
        let mut params = client(name);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.sign(&params)
    }

    /// A client's certificate whose time has not come.
    #[must_use]
    pub fn early_client(&self, name: &str) -> Leaf {
        let mut params = client(name);
        params.not_before = date_time_ymd(4000, 1, 1);
        params.not_after = date_time_ymd(4001, 1, 1);
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Leaf {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a signed certificate");
        Leaf { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

impl Default for Ca {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Leaf ===

impl Leaf {
    /// The certificate as it stands on the wire.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn der(&self) -> Vec<u8> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).expect("a certificate").to_vec()
    }

    /// One that was written to a file.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn read(certificate: &Path) -> Self {
        let text = |path: &Path| std::fs::read_to_string(path).expect("a file of the test's own");
        Self { certificate: text(certificate), key: text(&certificate.with_extension("key")) }
    }

    /// The certificate's SHA-256, as the blocklist has it.
    ///
    /// # Panics
    /// When it is no certificate.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let der = CertificateDer::from_pem_slice(self.certificate.as_bytes()).expect("a certificate");
        PeerIdentity::from_der(&der).expect("a certificate that can be read").fingerprint
    }

    /// Writes `<name>.crt` and `<name>.key` into `folder`; returns their paths.
    #[must_use]
    pub fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let certificate = write(folder, &format!("{name}.crt"), &self.certificate);
        (certificate, write(folder, &format!("{name}.key"), &self.key))
    }
}

/// Writes a file of the test's own; returns its path.
#[must_use]
pub fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("the test's own folder is writable");
    path
}

fn server() -> CertificateParams {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a DNS name");
    params.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params
}

fn client(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}
