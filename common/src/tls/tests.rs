//! Both sides against each other: who gets in, who does not, and that nobody gets in by an old ticket.

use std::{io, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, HandshakeKind, ProtocolVersion, ServerConfig,
    client::Resumption,
    pki_types::{PrivateKeyDer, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::config::{TlsVersion, TlsVersions};

/// A certificate authority of one test.
pub(super) struct Authority {
    pub(super) certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
pub(super) struct Leaf {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// What the server saw, and what the client read after the server's greeting.
#[derive(Debug)]
struct Met {
    common_name: Option<String>,
    version: ProtocolVersion,
    alpn: Option<Vec<u8>>,
    kind: HandshakeKind,
    tickets: u32,
}

#[tokio::test]
async fn a_client_with_a_good_certificate_gets_in() {
    let authority = Authority::new("ca");
    for required in [false, true] {
        let server = authority.server(required, BOTH);
        let met = meet(server, authority.client(&authority.leaf("agent-1"), BOTH)).await.unwrap();
        assert_eq!(met.common_name.as_deref(), Some("agent-1"));
        assert_eq!(met.version, ProtocolVersion::TLSv1_3);
    }
}

#[tokio::test]
async fn a_client_without_a_certificate_gets_in_only_where_it_is_optional() {
    let authority = Authority::new("ca");
    for versions in [BOTH, TLS12] {
        let client = || client_config(None, Verification::Roots(authority.roots()), versions, &[]).unwrap();
        let met = meet(authority.server(false, versions), client()).await.unwrap();
        assert_eq!(met.common_name, None);
        assert!(meet(authority.server(true, versions), client()).await.is_err());
    }
}

#[tokio::test]
async fn certificates_that_are_not_valid_fail_the_handshake_even_where_they_are_optional() {
    let authority = Authority::new("ca");
    // Same name, another key: what counts is the signature.
    let stranger = Authority::new("ca").leaf("agent-1");
    let mut expired = params("agent-1");
    expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let mut early = params("agent-1");
    early.not_before = rcgen::date_time_ymd(4000, 1, 1);
    let mut server_only = params("agent-1");
    server_only.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let leaves = [
        ("of another authority", stranger),
        ("expired", authority.sign(&expired)),
        ("not valid yet", authority.sign(&early)),
        ("for servers only", authority.sign(&server_only)),
    ];
    for (what, leaf) in &leaves {
        for versions in [BOTH, TLS12] {
            for required in [false, true] {
                let met = meet(authority.server(required, versions), authority.client(leaf, versions)).await;
                assert!(met.is_err(), "{what} {versions:?} required={required}: {met:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_authority_that_is_out_of_its_time_vouches_for_nobody() {
    let good = Authority::new("ca");
    let mut expired = params("ca");
    expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let mut early = params("ca");
    early.not_before = rcgen::date_time_ymd(4000, 1, 1);
    for old in [Authority::of(expired), Authority::of(early)] {
        let both = Roots::from_pem(&Pem::new("ca", format!("{}{}", old.certificate, good.certificate))).unwrap();
        for versions in [BOTH, TLS12] {
            let server =
                |of: &Authority, clients| server_config(of.leaf("a").identity(), clients, versions, &[]).unwrap();
            let client = |of: &Authority, roots| {
                client_config(Some(of.leaf("a").identity()), Verification::Roots(roots), versions, &[]).unwrap()
            };
            for roots in [old.roots(), both.clone()] {
                let clients = [ClientAuth::Required(roots.clone()), ClientAuth::Optional(roots.clone())];
                for clients in clients {
                    let met = meet(server(&good, clients), client(&old, good.roots())).await;
                    assert!(met.is_err(), "{versions:?}: {met:?}");
                }
                let error = meet(server(&old, ClientAuth::None), client(&good, roots)).await.unwrap_err();
                assert!(error.to_string().contains("renew the authority"), "{error}");
            }
            // Its successor beside it does, and a stranger is none of either.
            let met = meet(server(&good, ClientAuth::Required(both.clone())), client(&good, both.clone())).await;
            assert_eq!(met.unwrap().common_name.as_deref(), Some("a"));
            let stranger = Authority::new("stranger");
            let error = meet(server(&stranger, ClientAuth::None), client(&good, both.clone())).await.unwrap_err();
            assert!(error.to_string().contains("UnknownIssuer"), "{error}");
        }
    }
}

#[tokio::test]
async fn an_old_client_does_not_get_in_below_the_minimum() {
    let authority = Authority::new("ca");
    let client = || authority.client(&authority.leaf("agent-1"), TLS12);
    let error = meet(authority.server(true, TlsVersions::TLS13), client()).await.unwrap_err();
    assert!(error.to_string().contains("Tls12NotOfferedOrEnabled"), "{error}");
    let met = meet(authority.server(true, BOTH), client()).await.unwrap();
    assert_eq!(met.version, ProtocolVersion::TLSv1_2);
}

#[tokio::test]
async fn sessions_are_never_resumed() {
    let authority = Authority::new("ca");
    for versions in [TLS12, TlsVersions::TLS13] {
        let server = authority.server(true, versions);
        let mut client = ClientConfig::clone(&authority.client(&authority.leaf("agent-1"), versions));
        client.resumption = Resumption::in_memory_sessions(8);
        let client = Arc::new(client);
        for _ in 0..3 {
            let met = meet(Arc::clone(&server), Arc::clone(&client)).await.unwrap();
            assert_eq!((met.kind, met.tickets), (HandshakeKind::Full, 0), "{versions:?}");
            assert!(met.common_name.is_some());
        }
    }
}

#[tokio::test]
async fn the_first_protocol_of_the_server_that_the_client_knows_is_chosen() {
    let authority = Authority::new("ca");
    let leaf = authority.leaf("server");
    let server = server_config(leaf.identity(), ClientAuth::None, BOTH, &[b"h2", b"http/1.1"]).unwrap();
    let client = |alpn: &[&[u8]]| client_config(None, Verification::Insecure, BOTH, alpn).unwrap();
    let chosen = |met: Met| met.alpn;
    let h2 = meet(Arc::clone(&server), client(&[b"http/1.1", b"h2"])).await.map(chosen).unwrap();
    assert_eq!(h2.as_deref(), Some(&b"h2"[..]));
    assert_eq!(meet(Arc::clone(&server), client(&[])).await.map(chosen).unwrap(), None);
    assert!(meet(server, client(&[b"spdy/3"])).await.is_err());
}

#[tokio::test]
async fn a_client_checks_the_server_unless_told_otherwise() {
    let (authority, stranger) = (Authority::new("ca"), Authority::new("ca"));
    let mut expired = params("server");
    expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
    for leaf in [stranger.leaf("server"), authority.sign(&expired)] {
        let server = || server_config(leaf.identity(), ClientAuth::None, BOTH, &[]).unwrap();
        let strict = client_config(None, Verification::Roots(authority.roots()), BOTH, &[]).unwrap();
        let error = meet(server(), strict).await.unwrap_err();
        assert!(error.to_string().contains("InvalidCertificate"), "{error}");
        for versions in [BOTH, TLS12] {
            let lax = client_config(None, Verification::Insecure, versions, &[]).unwrap();
            assert!(meet(server(), lax).await.is_ok());
        }
    }
}

#[tokio::test]
async fn even_a_lax_client_wants_the_key_of_the_certificate_it_is_shown() {
    let authority = Authority::new("ca");
    let (shown, held) = (authority.leaf("server"), authority.leaf("server"));
    let key = PrivateKeyDer::from_pem_slice(held.key.as_bytes()).unwrap();
    let signer = provider().key_provider.load_private_key(key).unwrap();
    let borrowed = Arc::new(CertifiedKey::new(shown.identity().chain().to_vec(), signer));
    for versions in [TlsVersions::TLS13, TLS12] {
        let mut server = ServerConfig::clone(&authority.server(false, versions));
        server.cert_resolver = Arc::new(SingleCertAndKey::from(Arc::clone(&borrowed)));
        let lax = client_config(None, Verification::Insecure, versions, &[]).unwrap();
        assert!(meet(Arc::new(server), lax).await.is_err(), "{versions:?}");
    }
}

#[test]
fn an_empty_range_of_versions_is_refused() {
    let none = TlsVersions { min: TlsVersion::Tls13, max: TlsVersion::Tls12, ..TlsVersions::ALL };
    assert!(matches!(client_config(None, Verification::Insecure, none, &[]), Err(TlsError::Versions(_))));
    let identity = Authority::new("ca").leaf("server").identity();
    assert!(matches!(server_config(identity, ClientAuth::None, none, &[]), Err(TlsError::Versions(_))));
}

/// Handshakes in memory. The server greets with one byte and the client reads it: under TLS 1.3 a client's handshake
/// ends before the server has judged its certificate, so only the first byte proves that it is in.
async fn meet(server: Arc<ServerConfig>, client: Arc<ClientConfig>) -> io::Result<Met> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let accept = async move {
        let mut stream = TlsAcceptor::from(server).accept(near).await?;
        stream.write_all(b"!").await?;
        let (_, session) = stream.get_ref();
        let leaf = session.peer_certificates().and_then(|chain| chain.first());
        let name = leaf.and_then(|leaf| crate::auth::PeerIdentity::from_der(leaf).unwrap().common_name);
        stream.shutdown().await?;
        Ok::<_, io::Error>(name)
    };
    let connect = async move {
        let name = "localhost".try_into().unwrap();
        let mut stream = TlsConnector::from(client).connect(name, far).await?;
        let mut greeting = Vec::new();
        stream.read_to_end(&mut greeting).await?;
        assert_eq!(greeting, b"!");
        let (_, session) = stream.get_ref();
        Ok::<_, io::Error>(Met {
            common_name: None,
            version: session.protocol_version().unwrap(),
            alpn: session.alpn_protocol().map(<[u8]>::to_vec),
            kind: session.handshake_kind().unwrap(),
            tickets: session.tls13_tickets_received(),
        })
    };
    match tokio::join!(accept, connect) {
        (Ok(common_name), Ok(met)) => Ok(Met { common_name, ..met }),
        (server, client) => Err(io::Error::other(format!("server: {server:?}, client: {client:?}"))),
    }
}

const BOTH: TlsVersions = TlsVersions::ALL;
const TLS12: TlsVersions = TlsVersions { max: TlsVersion::Tls12, ..TlsVersions::ALL };

// === impl Authority ===

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        Self::of(params(name))
    }

    fn of(mut params: CertificateParams) -> Self {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    pub(super) fn leaf(&self, common_name: &str) -> Leaf {
        self.sign(&params(common_name))
    }

    fn sign(&self, params: &CertificateParams) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Leaf { certificate, key: key.serialize_pem() }
    }

    fn roots(&self) -> Roots {
        Roots::from_pem(&Pem::new("ca", self.certificate.as_str())).unwrap()
    }

    fn server(&self, required: bool, versions: TlsVersions) -> Arc<ServerConfig> {
        let clients = if required { ClientAuth::Required(self.roots()) } else { ClientAuth::Optional(self.roots()) };
        server_config(self.leaf("server").identity(), clients, versions, &[]).unwrap()
    }

    fn client(&self, leaf: &Leaf, versions: TlsVersions) -> Arc<ClientConfig> {
        client_config(Some(leaf.identity()), Verification::Roots(self.roots()), versions, &[]).unwrap()
    }
}

// === impl Leaf ===

impl Leaf {
    fn identity(&self) -> Identity {
        let (certificate, key) = (self.certificate.as_str(), self.key.as_str());
        Identity::from_pem(&Pem::new("certificate", certificate), &Pem::new("key", key)).unwrap()
    }
}

fn params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}
