//! What is made here, before rustls, as our principal and agent set it up, and before x509-parser.

use std::sync::Arc;

use common::{
    config::{TlsVersion, TlsVersions},
    tls::{ClientAuth, Identity, Pem, Roots, Verification, client_config, server_config},
};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use super::*;

const P256: KeySpec = KeySpec { algorithm: KeyAlgorithm::EcdsaP256, size: KeySize::Bits4096 };

fn ca(key: KeySpec) -> Pair {
    Authority::create("argocd-agent-ca", "DO NOT USE IN PRODUCTION", 10, key).unwrap()
}

fn authority(pair: &Pair) -> Authority {
    Authority::read("ca", pair).unwrap()
}

fn client(name: &str) -> Order {
    Order { common_name: name.into(), usage: Usage::Client, days: 5, key: P256 }
}

fn server() -> Order {
    let usage = Usage::Server { dns: vec!["door".into()], ips: vec!["127.0.0.1".parse().unwrap()] };
    Order { common_name: "server".into(), usage, days: 5, key: P256 }
}

fn leaf(pair: &Pair) -> Certificate {
    Certificate::leaf("leaf", &pair.certificate).unwrap()
}

/// A TLS handshake and a byte, with the client's certificate required.
async fn met(ca: &str, server: &Pair, client: &Pair, name: &str, versions: TlsVersions) -> Result<(), String> {
    let identity = |pair: &Pair| {
        Identity::from_pem(&Pem::new("c", pair.certificate.as_str()), &Pem::new("k", pair.key.reveal())).unwrap()
    };
    let roots = || Roots::from_pem(&Pem::new("ca", ca)).unwrap();
    let server = server_config(identity(server), ClientAuth::Required(roots()), versions, &[]).unwrap();
    let client = client_config(Some(identity(client)), Verification::Roots(roots()), versions, &[]).unwrap();
    let (near, far) = tokio::io::duplex(64 * 1024);
    let accept = async {
        let mut stream = TlsAcceptor::from(server).accept(near).await?;
        stream.write_all(b"!").await?;
        stream.shutdown().await
    };
    let connect = async {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut stream = TlsConnector::from(Arc::clone(&client)).connect(name, far).await?;
        let mut byte = Vec::new();
        stream.read_to_end(&mut byte).await.map(drop)
    };
    let (server, client) = tokio::join!(accept, connect);
    server.and(client).map_err(|error| error.to_string())
}

#[tokio::test]
async fn what_is_issued_passes_the_tls_of_principal_and_agent_with_every_kind_of_key() {
    for algorithm in [
        KeyAlgorithm::Rsa,
        KeyAlgorithm::EcdsaP256,
        KeyAlgorithm::EcdsaP384,
        KeyAlgorithm::EcdsaP521,
        KeyAlgorithm::Ed25519,
    ] {
        // Smaller than the default only for the time that it takes.
        let key = KeySpec { algorithm, size: KeySize::Bits2048 };
        let ca = ca(key);
        let authority = authority(&ca);
        let server = authority.issue(&Order { key, ..server() }).unwrap();
        let client = authority.issue(&Order { key, ..client("agent-1") }).unwrap();
        let both = TlsVersions { max: TlsVersion::Tls12, ..TlsVersions::ALL };
        for versions in [both, TlsVersions::TLS13] {
            for name in ["door", "127.0.0.1"] {
                met(authority.roots(), &server, &client, name, versions).await.unwrap();
            }
        }
        assert!(met(authority.roots(), &server, &client, "other", TlsVersions::TLS13).await.is_err());
        // Neither can take the other's part.
        assert!(met(authority.roots(), &client, &server, "door", TlsVersions::TLS13).await.is_err());
    }
}

#[test]
fn certificates_have_their_usages_and_no_other() {
    let pair = ca(P256);
    let authority = authority(&pair);
    let (server, client) = (authority.issue(&server()).unwrap(), authority.issue(&client("a")).unwrap());
    let usages = |pair: &Pair| {
        let own = leaf(pair);
        let (_, parsed) = X509Certificate::from_der(own.der()).unwrap();
        let usage = parsed.key_usage().unwrap().unwrap().value;
        let extended = parsed.extended_key_usage().unwrap().map(|extension| extension.value);
        let names = (extended.is_some_and(|e| e.server_auth), extended.is_some_and(|e| e.client_auth));
        (usage.digital_signature(), usage.key_cert_sign(), usage.crl_sign(), parsed.is_ca(), names)
    };
    assert_eq!(usages(&pair), (true, true, true, true, (false, false)));
    assert_eq!(usages(&server), (true, false, false, false, (true, false)));
    assert_eq!(usages(&client), (true, false, false, false, (false, true)));
    let own = leaf(&client);
    assert_eq!((own.subject.as_str(), own.key_type, own.key_length), ("CN=a", "ECDSA", 256));
    assert_eq!(leaf(&pair).subject, "CN=argocd-agent-ca,O=DO NOT USE IN PRODUCTION");
    assert_eq!(leaf(&server).server_names, ["door", "127.0.0.1"]);
}

#[test]
fn serial_numbers_are_long_and_never_the_same() {
    let authority = authority(&ca(P256));
    let serials: std::collections::HashSet<String> =
        (0..20).map(|_| leaf(&authority.issue(&client("a")).unwrap()).serial).collect();
    assert_eq!(serials.len(), 20);
    assert!(serials.iter().all(|serial| serial.split(':').count() == 16), "{serials:?}");
}

#[test]
fn no_certificate_outlives_its_authority() {
    let pair = ca(P256);
    let issued = authority(&pair).issue(&Order { days: 1000, ..client("a") }).unwrap();
    assert_eq!(leaf(&issued).not_after, leaf(&pair).not_after);
    let short = authority(&pair).issue(&client("a")).unwrap();
    assert!((leaf(&short).not_after - now() - 5 * DAY).abs() < 60);
}

#[tokio::test]
async fn an_authority_below_another_gives_its_whole_chain() {
    let root_key = KeyPair::generate().unwrap();
    let mut root = CertificateParams::default();
    root.distinguished_name.push(DnType::CommonName, "root");
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let root_pem = root.self_signed(&root_key).unwrap().pem();
    let issuer = Issuer::new(root, root_key);
    let key = KeyPair::generate().unwrap();
    let mut middle = CertificateParams::default();
    middle.distinguished_name.push(DnType::CommonName, "middle");
    middle.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    middle.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let middle = middle.signed_by(&key, &issuer).unwrap().pem();
    let key = common::auth::Secret::new(key.serialize_pem());
    let pair = Pair { certificate: format!("{middle}{root_pem}"), key };
    let authority = authority(&pair);
    let (server, client) = (authority.issue(&server()).unwrap(), authority.issue(&client("a")).unwrap());
    assert_eq!(Certificate::chain("c", &client.certificate).unwrap().len(), 2, "leaf and middle, and not the root");
    met(&root_pem, &server, &client, "door", TlsVersions::TLS13).await.unwrap();
}

#[tokio::test]
async fn an_authority_of_upstream_is_taken_as_it_is() {
    // As Go writes it: names as printable strings, serial number 1, no usage but signing.
    let printable = |text: &str| DnValue::PrintableString(text.try_into().unwrap());
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, printable("DO NOT USE IN PRODUCTION"));
    params.distinguished_name.push(DnType::CommonName, printable("argocd-agent-ca"));
    params.serial_number = Some(1.into());
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeySpec { algorithm: KeyAlgorithm::Rsa, size: KeySize::Bits2048 }.generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    // PKCS#8, and PKCS#1 as upstream's `pki dump` prints it: what the other wraps, behind a head of fixed size.
    let inner = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &key.serialize_der()[26..]);
    let pkcs1 = format!("-----BEGIN RSA PRIVATE KEY-----\n{inner}\n-----END RSA PRIVATE KEY-----\n");
    for key in [key.serialize_pem(), pkcs1] {
        let pair = Pair::read(("c", &certificate), ("k", &key)).unwrap();
        let authority = authority(&pair);
        let (server, client) = (authority.issue(&server()).unwrap(), authority.issue(&client("a")).unwrap());
        met(authority.roots(), &server, &client, "door", TlsVersions::TLS13).await.unwrap();
    }
}

#[test]
fn an_authority_knows_the_certificates_of_those_before_it() {
    let (old, new, other) = (ca(P256), ca(P256), ca(P256));
    let issued = |pair: &Pair| leaf(&authority(pair).issue(&client("a")).unwrap());
    let both = Pair { certificate: format!("{}{}", new.certificate, old.certificate), ..new.clone() };
    let authority = authority(&both);
    assert!(authority.signed(&issued(&old)) && authority.signed(&issued(&new)));
    assert!(!authority.signed(&issued(&other)), "the name alone does not make it the signer");
    let pem: String = Certificate::chain("c", &both.certificate).unwrap().iter().map(Certificate::pem).collect();
    assert_eq!(pem, both.certificate.replace("\r\n", "\n"));
    assert_eq!(Certificate::chain("c", &authority.issue(&client("a")).unwrap().certificate).unwrap().len(), 1);
}

#[test]
fn what_cannot_sign_is_refused_before_it_signs() {
    let pair = ca(P256);
    let issued = authority(&pair).issue(&client("a")).unwrap();
    let error = Authority::read("Secret x", &issued).unwrap_err().to_string();
    assert_eq!(error, "the certificate in Secret x is not one of a CA: put the CA's own into it");
    let error = Pair::read(("c", &pair.certificate), ("k", issued.key.reveal())).unwrap_err().to_string();
    assert_eq!(error, "the private key in k does not belong to the first certificate in c");
    let garbage = Pair { certificate: "x".into(), ..pair };
    assert_eq!(Authority::read("Secret x", &garbage).unwrap_err().to_string(), "no certificate in Secret x");
}

#[test]
fn a_key_is_not_shown() {
    let pair = ca(P256);
    let shown = format!("{pair:?}");
    assert!(shown.contains("key: Secret") && !shown.contains("PRIVATE"), "{shown}");
}

#[test]
fn dates_are_written_as_upstream_writes_them() {
    assert_eq!(date(1_893_542_400), "Wed, 02 Jan 2030 00:00:00 +0000");
}
