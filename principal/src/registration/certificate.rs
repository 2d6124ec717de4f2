//! The certificate that Argo CD shows at the Kubernetes door for all self-registered clusters: which of them it means, its
//! token says.
//!
//! Always true: what cannot be used changes nothing, is counted, and is told once.

use std::sync::{Arc, Mutex, PoisonError};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::{
    Report,
    auth::Secret as Hidden,
    tls::{Identity, MaterialError, Pem, Roots},
};
use k8s_openapi::ByteString;
use prometheus_client::metrics::counter::Counter;
use serde::Deserialize;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::control_plane::DataSecret;

/// Certificate, key and authority as they stand in a cluster Secret: PEM in base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientCertificate {
    pub(super) certificate: String,
    pub(super) key: Hidden,
    pub(super) ca: String,
}

/// The Secret that holds it. What is not a field here is skipped while the answer is read.
pub(crate) type CertificateSecret = DataSecret<CertificateData>;

#[derive(Clone, Default, Deserialize)]
pub(crate) struct CertificateData {
    #[serde(rename = "tls.crt")]
    certificate: Option<ByteString>,
    #[serde(rename = "tls.key")]
    key: Option<ByteString>,
    #[serde(rename = "ca.crt")]
    ca: Option<ByteString>,
}

/// Why it cannot be used. Names the Secret and its key.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("there is no {0}")]
    Missing(String),
    #[error("{0} has no key {1}")]
    NoKey(String, &'static str),
    #[error(transparent)]
    Material(#[from] MaterialError),
}

// === impl ClientCertificate ===

impl ClientCertificate {
    fn read(object: &str, secret: Option<&CertificateSecret>) -> Result<Self, Unusable> {
        let data = &secret.ok_or_else(|| Unusable::Missing(object.to_owned()))?.data;
        let get = |key: &'static str, found: &Option<ByteString>| {
            let text = found.as_ref().ok_or_else(|| Unusable::NoKey(object.to_owned(), key))?;
            Ok::<_, Unusable>((STANDARD.encode(&text.0), Pem::new(format!("key {key} of {object}"), text.0.as_slice())))
        };
        let (certificate, certificate_pem) = get("tls.crt", &data.certificate)?;
        let (key, key_pem) = get("tls.key", &data.key)?;
        let (ca, ca_pem) = get("ca.crt", &data.ca)?;
        // Argo CD could do nothing with what we cannot read.
        let _pair = Identity::from_pem(&certificate_pem, &key_pem)?;
        let _roots = Roots::from_pem(&ca_pem)?;
        Ok(Self { certificate, key: Hidden::new(key), ca })
    }
}

/// Keeps `told` as the Secret says; what was good stays where that cannot be used.
pub(crate) fn teller(
    object: String,
    told: watch::Sender<Option<Arc<ClientCertificate>>>,
    failures: Counter,
) -> impl Fn(Option<&CertificateSecret>) + Send + Sync + 'static {
    // A std mutex: held for comparing texts, never across an await.
    let trouble = Mutex::new(None);
    move |secret| match ClientCertificate::read(&object, secret) {
        Ok(certificate) => {
            *trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
            let certificate = Arc::new(certificate);
            let news = told.send_if_modified(|known| {
                let news = known.as_ref() != Some(&certificate);
                *known = Some(certificate);
                news
            });
            if news {
                info!(object, "the certificate for self-registered clusters was loaded");
            }
        }
        Err(why) => {
            failures.inc();
            let why = Report(&why).to_string();
            let mut trouble = trouble.lock().unwrap_or_else(PoisonError::into_inner);
            if trouble.as_ref() != Some(&why) {
                let goes_on = told.borrow().is_some();
                warn!(
                    error = why,
                    goes_on,
                    cure = "write tls.crt, tls.key and ca.crt into the Secret that --self-registration-client-cert-secret \
                            names, in one go",
                    "the certificate for self-registered clusters cannot be used"
                );
                *trouble = Some(why);
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use serde_json::json;

    use super::*;

    /// One that stands for itself.
    pub(in crate::registration) fn certificate(name: &str) -> ClientCertificate {
        ClientCertificate {
            certificate: format!("{name}-crt"),
            key: Hidden::new(format!("{name}-key")),
            ca: "ca".into(),
        }
    }

    fn secret(pairs: &[(&str, &str)]) -> CertificateSecret {
        let data: serde_json::Map<_, _> =
            pairs.iter().map(|(key, text)| ((*key).to_owned(), json!(STANDARD.encode(text)))).collect();
        serde_json::from_value(json!({"metadata": {"name": "s"}, "data": data})).unwrap()
    }

    fn pair() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["argo-cd".to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn what_cannot_be_used_is_named_and_leaves_what_was() {
        let (told, known) = watch::channel(None);
        let failures = Counter::default();
        let told = teller("Secret argocd/shared".into(), told, failures.clone());
        let ((crt, key), (other, _)) = (pair(), pair());
        for (bad, why) in [
            (vec![], "Secret argocd/shared has no key tls.crt"),
            (vec![("tls.crt", &*crt), ("tls.key", &*key)], "Secret argocd/shared has no key ca.crt"),
            (
                vec![("tls.crt", &*crt), ("tls.key", "x"), ("ca.crt", &*other)],
                "no private key in key tls.key of Secret",
            ),
            (vec![("tls.crt", &*other), ("tls.key", &*key), ("ca.crt", &*other)], "does not belong to the first"),
            (vec![("tls.crt", &*crt), ("tls.key", &*key), ("ca.crt", "x")], "no certificate in key ca.crt of Secret"),
        ] {
            let error = ClientCertificate::read("Secret argocd/shared", Some(&secret(&bad))).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
            told(Some(&secret(&bad)));
        }
        assert!(known.borrow().is_none());
        told(Some(&secret(&[("tls.crt", &crt), ("tls.key", &key), ("ca.crt", &other)])));
        let good = known.borrow().clone().unwrap();
        assert_eq!(STANDARD.decode(&good.ca).unwrap(), other.as_bytes());
        told(None);
        assert_eq!(known.borrow().clone(), Some(Arc::clone(&good)));
        assert_eq!(failures.get(), 6);
        assert!(!format!("{good:?}").contains(good.key.reveal()));
    }
}
