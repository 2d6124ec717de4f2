//! Where the agent's certificate, its key and the principal's authorities are kept: where the agent loads them from.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use common::{
    enrollment::{ENROLLED, Enrolled},
    tls::{Identity, IdentitySource, MaterialError, Pem, RootsSource, SecretName},
};
use k8s_openapi::api::core::v1::Secret;
use tempfile::NamedTempFile;

use super::secrets::{Entries, Secrets};
use crate::config::AgentTls;

/// The places of the agent's TLS.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    identity: Kept,
    roots: Option<RootsSource>,
    /// Where Secrets are; none where everything is in files.
    secrets: Option<Secrets>,
}

/// Where certificate and key are.
#[derive(Debug, Clone)]
enum Kept {
    Secret(SecretName),
    Files { certificate: PathBuf, key: PathBuf },
}

/// A certificate that is there.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) identity: Identity,
    /// It was got from the principal, which gives the next one, too.
    pub(super) enrolled: bool,
}

/// Why something cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// What is there cannot be used, and is not ours to replace.
    #[error("what is there cannot be used ({}, or delete it to join)", .0.cure())]
    Material(#[source] MaterialError),
    /// The API server does not do it.
    #[error("cannot {verb} {object}{}", cure(verb, source))]
    Api {
        /// What it was asked to do.
        verb: &'static str,
        /// With what.
        object: String,
        /// Why it does not.
        #[source]
        source: Box<kube::Error>,
    },
    /// The API server does not answer.
    #[error("the API server does not answer about {0}")]
    Silent(String),
    /// Others write it all the time.
    #[error("{0} is changed by others all the time")]
    Contended(String),
    /// There is no API server to ask.
    #[error("no Kubernetes API is known to keep Secrets in")]
    NoApi,
    /// A file cannot be written.
    #[error("cannot write {}", .0.display())]
    File(PathBuf, #[source] io::Error),
}

// === impl Place ===

impl Place {
    /// Where `tls` says, if it names a place at all; the client is that of the cluster whose `namespace` has the Secrets.
    pub(crate) fn new(tls: &AgentTls, client: Option<kube::Client>, namespace: &str) -> Option<Self> {
        let secrets = client.map(|client| Secrets::new(client, namespace));
        let identity = match tls.identity.clone()? {
            IdentitySource::Secret(name) => Kept::Secret(name),
            IdentitySource::Files { certificate, key } => Kept::Files { certificate, key },
            IdentitySource::Generated => return None,
        };
        Some(Self { identity, roots: tls.root_ca.clone(), secrets })
    }

    /// Whether certificate and key are in a Secret, which says whether they are to be renewed.
    pub(crate) fn is_a_secret(&self) -> bool {
        matches!(self.identity, Kept::Secret(_))
    }

    /// The certificate and key that are there; none where there is no part of them.
    pub(super) async fn read(&self) -> Result<Option<Stored>, PlaceError> {
        match &self.identity {
            Kept::Secret(name) => {
                let secrets = self.secrets()?;
                match secrets.find(name.as_str()).await? {
                    Some(secret) => read_secret(&secrets.called(name.as_str()), &secret),
                    None => Ok(None),
                }
            }
            Kept::Files { certificate, key } => {
                let (certificate, key) = (certificate.clone(), key.clone());
                blocking(move || {
                    if !certificate.exists() && !key.exists() {
                        return Ok(None);
                    }
                    let identity = Identity::from_files(&certificate, &key).map_err(PlaceError::Material)?;
                    Ok(Some(Stored { identity, enrolled: false }))
                })
                .await
            }
        }
    }

    /// Keeps the principal's authorities, unless there are some in a file, or the Secret is the authority's own.
    pub(super) async fn keep_authorities(&self, pem: &str) -> Result<(), PlaceError> {
        match &self.roots {
            None => Ok(()),
            Some(RootsSource::File(path)) => {
                let (path, text) = (path.clone(), pem.to_owned());
                blocking(move || if path.exists() { Ok(()) } else { write(&path, &text) }).await
            }
            Some(RootsSource::Secret { name, .. }) => {
                let secrets = self.secrets()?;
                let held = secrets.find(name.as_str()).await?;
                if held.is_some_and(|held| held.data.is_some_and(|data| data.contains_key(KEY))) {
                    return Ok(());
                }
                let data = [(AUTHORITY, pem)];
                let entries = Entries { data: &data, mark: None, kind: "Opaque", rehearsal: false };
                secrets.put(name.as_str(), entries).await
            }
        }
    }

    /// Whether a certificate could be kept: a token is used up by the time that there is one.
    pub(super) async fn rehearse(&self) -> Result<(), PlaceError> {
        match &self.identity {
            Kept::Secret(_) => self.put(["rehearsal", "rehearsal"], true).await,
            Kept::Files { certificate, key } => {
                let paths = [certificate.clone(), key.clone()];
                blocking(move || {
                    let beside = |path: &PathBuf| {
                        NamedTempFile::new_in(folder(path)).map_err(|error| PlaceError::File(path.clone(), error))
                    };
                    paths.iter().try_for_each(|path| beside(path).map(drop))
                })
                .await
            }
        }
    }

    /// Keeps a certificate and its key. In a Secret that is one call.
    pub(super) async fn keep(&self, enrolled: &Arc<Enrolled>) -> Result<(), PlaceError> {
        match &self.identity {
            Kept::Secret(_) => self.put([&enrolled.certificate, enrolled.key.reveal()], false).await,
            Kept::Files { certificate, key } => {
                let (certificate, key, enrolled) = (certificate.clone(), key.clone(), Arc::clone(enrolled));
                blocking(move || {
                    if certificate == key {
                        return write(&key, &format!("{}{}", enrolled.key.reveal(), enrolled.certificate));
                    }
                    // Whoever reads in between waits until they fit.
                    write(&key, enrolled.key.reveal())?;
                    write(&certificate, &enrolled.certificate)
                })
                .await
            }
        }
    }

    async fn put(&self, [certificate, key]: [&str; 2], rehearsal: bool) -> Result<(), PlaceError> {
        let Kept::Secret(name) = &self.identity else { return Ok(()) };
        let data = [(CERTIFICATE, certificate), (KEY, key)];
        let entries = Entries { data: &data, mark: Some(ENROLLED), kind: "kubernetes.io/tls", rehearsal };
        self.secrets()?.put(name.as_str(), entries).await
    }

    fn secrets(&self) -> Result<&Secrets, PlaceError> {
        self.secrets.as_ref().ok_or(PlaceError::NoApi)
    }
}

// === impl PlaceError ===

impl PlaceError {
    /// Whether the same may well succeed later.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Api { source, .. } => match &**source {
                kube::Error::Api(status) => !(400..500).contains(&status.code) || status.code == 429,
                _ => true,
            },
            Self::Silent(_) | Self::Contended(_) => true,
            Self::Material(_) | Self::NoApi | Self::File(..) => false,
        }
    }

    /// Whether the object was written (409 Conflict), deleted (404) or created (409 AlreadyExists) since it was read.
    pub(super) fn met_another(&self, verb: &str) -> bool {
        let Self::Api { source, .. } = self else { return false };
        let kube::Error::Api(status) = &**source else { return false };
        match verb {
            "update" => matches!(status.reason.as_str(), "Conflict" | "NotFound"),
            _ => status.reason == "AlreadyExists",
        }
    }
}

/// What to do about a refusal.
fn cure(verb: &str, error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            format!(" (let the agent's ServiceAccount {verb} Secrets in its namespace)")
        }
        _ => String::new(),
    }
}

/// One that holds neither certificate nor key was made for others to fill.
fn read_secret(called: &str, secret: &Secret) -> Result<Option<Stored>, PlaceError> {
    let data = secret.data.as_ref();
    let text = |key: &str| data.and_then(|data| data.get(key)).map_or(&[][..], |bytes| &bytes.0);
    let (certificate, key) = (text(CERTIFICATE), text(KEY));
    if certificate.is_empty() && key.is_empty() {
        return Ok(None);
    }
    let named = |key: &str, text: &[u8]| Pem::new(format!("key {key} of {called}"), text);
    let identity = Identity::from_pem(&named(CERTIFICATE, certificate), &named(KEY, key));
    let identity = identity.map_err(PlaceError::Material)?;
    let annotations = secret.metadata.annotations.as_ref();
    let enrolled = annotations.and_then(|all| all.get(ENROLLED)).is_some_and(|mark| mark == "true");
    Ok(Some(Stored { identity, enrolled }))
}

/// A file system may hang, and whoever serves must not with it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PlaceError> + Send + 'static,
) -> Result<T, PlaceError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime ends.
        Err(_) => std::future::pending().await,
    }
}

/// Beside itself first, by a file that nobody else may read: whoever reads meanwhile reads the old or the new one, whole.
fn write(path: &Path, text: &str) -> Result<(), PlaceError> {
    let written = || -> io::Result<()> {
        let mut file = NamedTempFile::new_in(folder(path))?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        fs::File::open(folder(path))?.sync_all()
    };
    written().map_err(|error| PlaceError::File(path.to_owned(), error))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const AUTHORITY: &str = "ca.crt";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use common::auth;
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn enrolled() -> Arc<Enrolled> {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::default().self_signed(&key).unwrap().pem();
        Arc::new(Enrolled { certificate, key: auth::Secret::new(key.serialize_pem()) })
    }

    fn files(certificate: &Path, key: &Path, roots: &Path) -> Place {
        let identity = Kept::Files { certificate: certificate.into(), key: key.into() };
        Place { identity, roots: Some(RootsSource::File(roots.into())), secrets: None }
    }

    #[tokio::test]
    async fn what_is_kept_in_files_is_read_again_and_nobody_else_may_read_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let [certificate, key, roots] = ["tls.crt", "tls.key", "ca.crt"].map(|name| folder.path().join(name));
        for place in [files(&certificate, &key, &roots), files(&key, &key, &roots)] {
            place.rehearse().await.unwrap();
            let one = enrolled();
            place.keep(&one).await.unwrap();
            let stored = place.read().await.unwrap().unwrap();
            let leaf = Pem::new("c", one.certificate.as_str()).certificates().unwrap();
            assert_eq!(stored.identity.chain(), leaf);
            assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            fs::remove_file(&key).unwrap();
        }
    }

    #[tokio::test]
    async fn what_is_there_is_told_from_what_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let [certificate, key, roots] = ["tls.crt", "tls.key", "ca.crt"].map(|name| folder.path().join(name));
        let place = files(&certificate, &key, &roots);
        assert!(place.read().await.unwrap().is_none());
        fs::write(&certificate, "no certificate").unwrap();
        assert!(matches!(place.read().await.unwrap_err(), PlaceError::Material(_)));
        // Somebody chose whom to trust.
        fs::write(&roots, "mine").unwrap();
        place.keep_authorities("theirs").await.unwrap();
        assert_eq!(fs::read_to_string(&roots).unwrap(), "mine");
        let nowhere = folder.path().join("nowhere/tls.crt");
        let error = files(&nowhere, &nowhere, &roots).rehearse().await.unwrap_err();
        assert!(error.to_string().starts_with("cannot write ") && !error.is_passing(), "{error}");
    }

    #[test]
    fn an_empty_secret_is_one_to_fill_and_a_mark_is_read() {
        let one = enrolled();
        let data = [(CERTIFICATE, one.certificate.as_str()), (KEY, one.key.reveal())];
        let entries = Entries { data: &data, mark: Some(ENROLLED), kind: "x", rehearsal: false };
        let mut secret = Secret::default();
        assert!(read_secret("Secret a/b", &secret).unwrap().is_none());
        entries.write(&mut secret);
        assert!(read_secret("Secret a/b", &secret).unwrap().unwrap().enrolled);
        secret.metadata.annotations = None;
        assert!(!read_secret("Secret a/b", &secret).unwrap().unwrap().enrolled);
        secret.data.as_mut().unwrap().remove(KEY);
        let error = common::Report(&read_secret("Secret a/b", &secret).unwrap_err()).to_string();
        assert!(error.ends_with("no private key in key tls.key of Secret a/b"), "{error}");
    }
}
