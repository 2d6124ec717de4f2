//! Follows single Secrets of one namespace by a watch.
//!
//! Always true: nothing is kept of a Secret but the keys that were asked for; what was known stays known while the API
//! server is away; a Secret is asked for by name, so that a role with `resourceNames` is enough.

use std::{collections::BTreeMap, fmt, pin::pin, sync::Arc, time::Duration};

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client,
    runtime::watcher::{self, Event, watcher},
};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tracing::{debug, info_span};

use super::{MaterialError, Pem, SecretName};
use crate::{Report, drain};

/// The Secrets of one namespace. Cheap to clone.
#[derive(Clone)]
pub struct Secrets {
    client: Client,
    namespace: Arc<str>,
}

/// Why what should be in a Secret cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Nothing says where the API server is.
    #[error("no Kubernetes API is known")]
    NoApi,
    /// The API server does not answer.
    #[error("the API server does not answer: {0}")]
    Unreachable(Arc<str>),
    /// The API server says no.
    #[error("the API server refuses: {0}")]
    Refused(Arc<str>),
    /// There is none of that name.
    #[error("there is no such Secret")]
    Missing,
    /// It has other keys.
    #[error("it has no key {} (its type is {kind})", keys.join(" and no key "))]
    NoKey {
        /// Those of which one was wanted.
        keys: &'static [&'static str],
        /// Its type, which tells what it was made for.
        kind: Arc<str>,
    },
}

/// One Secret, as it is now.
#[derive(Debug, Clone)]
pub(super) struct FollowedSecret {
    /// With its namespace.
    name: String,
    /// For each text that is wanted the keys, of which the first that is there counts.
    wanted: &'static [&'static [&'static str]],
    state: watch::Receiver<State>,
}

#[derive(Debug, Clone, Default)]
struct State {
    found: Found,
    /// Why it is not kept up to date.
    trouble: Option<SecretError>,
}

#[derive(Debug, Clone, Default)]
enum Found {
    #[default]
    NotKnown,
    Missing,
    There {
        kind: Arc<str>,
        texts: Arc<BTreeMap<&'static str, Text>>,
    },
}

/// May be a key.
struct Text(Vec<u8>);

// === impl Secrets ===

impl Secrets {
    /// Those of `namespace`. The client must give up on a silent API server by itself.
    #[must_use]
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { client, namespace: namespace.into() }
    }

    /// Begins to follow a Secret, and waits until something is known of it, for half a minute at most.
    pub(super) async fn follow(
        &self,
        name: &SecretName,
        wanted: &'static [&'static [&'static str]],
        drain: &drain::Watch,
    ) -> Result<FollowedSecret, MaterialError> {
        let (keep, state) = watch::channel(State::default());
        let api = Api::<Secret>::namespaced(self.client.clone(), &self.namespace);
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let draining = drain.clone();
        drain.spawn(info_span!("secret", namespace = %self.namespace, %name), async move {
            tokio::select! {
                () = keep_up(&api, &config, wanted, &keep) => {}
                () = keep.closed() => {}
                () = draining.draining() => {}
            }
        });
        let mut followed = FollowedSecret { name: format!("Secret {}/{name}", self.namespace), wanted, state };
        followed.known().await?;
        Ok(followed)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

// === impl FollowedSecret ===

impl FollowedSecret {
    async fn known(&mut self) -> Result<(), MaterialError> {
        let settled = |state: &State| {
            !matches!(state.found, Found::NotKnown) || matches!(state.trouble, Some(SecretError::Refused(_)))
        };
        let known = timeout(PATIENCE, self.state.wait_for(settled)).await.is_ok_and(|known| known.is_ok());
        let state = self.state.borrow();
        match (&state.found, &state.trouble) {
            (Found::NotKnown, Some(trouble)) => Err(self.failed(trouble.clone())),
            (Found::NotKnown, None) if !known => {
                let why = format!("nothing was heard within {} s", PATIENCE.as_secs());
                Err(self.failed(SecretError::Unreachable(why.into())))
            }
            _ => Ok(()),
        }
    }

    /// The texts as they are now.
    pub(super) fn read(&mut self) -> Result<Vec<Pem>, MaterialError> {
        let state = self.state.borrow_and_update().clone();
        if let Some(trouble) = state.trouble {
            return Err(self.failed(trouble));
        }
        match state.found {
            Found::NotKnown => Err(self.failed(SecretError::Unreachable("nothing was heard yet".into()))),
            Found::Missing => Err(self.failed(SecretError::Missing)),
            Found::There { kind, texts } => self.wanted.iter().map(|keys| self.pick(keys, &kind, &texts)).collect(),
        }
    }

    fn pick(
        &self,
        keys: &'static [&'static str],
        kind: &Arc<str>,
        texts: &BTreeMap<&'static str, Text>,
    ) -> Result<Pem, MaterialError> {
        let found = keys.iter().find_map(|key| texts.get(key).map(|text| (key, text)));
        match found {
            Some((key, text)) => Ok(Pem::new(format!("key {key} of {}", self.name), text.0.as_slice())),
            None => Err(self.failed(SecretError::NoKey { keys, kind: Arc::clone(kind) })),
        }
    }

    /// Resolves when there may be news. Never, when there will be none any more.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn changed(&mut self) {
        if self.state.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn failed(&self, source: SecretError) -> MaterialError {
        MaterialError::Secret { name: self.name.clone(), source }
    }
}

// === impl SecretError ===

impl SecretError {
    pub(super) fn cure(&self) -> &'static str {
        match self {
            Self::NoApi => "give --kubeconfig outside of a Pod, or the paths of files",
            Self::Unreachable(_) => "let the process reach the API server; it keeps trying",
            Self::Refused(_) => "let the ServiceAccount list and watch this Secret",
            Self::Missing => "create the Secret, name another one, or give the paths of files",
            Self::NoKey { .. } => "write the missing key into the Secret",
        }
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Keeps the state up to date for ever.
async fn keep_up(
    api: &Api<Secret>,
    config: &watcher::Config,
    wanted: &'static [&'static [&'static str]],
    state: &watch::Sender<State>,
) {
    let mut pause = FIRST_PAUSE;
    let mut away_since = Instant::now();
    loop {
        let Ended { error, stood } = follow(api, config, wanted, state).await;
        if stood {
            (pause, away_since) = (FIRST_PAUSE, Instant::now());
        }
        debug!(error = %Report(&error), "secret cannot be followed, trying again");
        let (trouble, away) = (trouble(&error), away_since.elapsed());
        state.send_if_modified(|state| {
            let first = matches!(state.found, Found::NotKnown);
            // What was known does while the API server restarts; that is no trouble of anybody's.
            let tells = first || matches!(trouble, SecretError::Refused(_)) || away >= OUTAGE;
            let news = tells && state.trouble.as_ref() != Some(&trouble);
            if news {
                state.trouble = Some(trouble);
            }
            news
        });
        let jittered = pause.mul_f64(rand::random_range(0.5..=1.0));
        tokio::time::sleep(jittered).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

/// Why it is to be listed anew.
struct Ended {
    error: watcher::Error,
    /// It had been listed.
    stood: bool,
}

/// Follows it until it must be listed anew. A connection that breaks is no reason: `kube` goes on from the last change.
async fn follow(
    api: &Api<Secret>,
    config: &watcher::Config,
    wanted: &'static [&'static [&'static str]],
    state: &watch::Sender<State>,
) -> Ended {
    let mut events = pin!(watcher(api.clone(), config.clone()));
    let (mut listed, mut stood) = (Found::Missing, false);
    let known = |found| drop(state.send_replace(State { found, trouble: None }));
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listed = Found::Missing,
            Ok(Event::InitApply(secret)) => listed = there(secret, wanted),
            Ok(Event::InitDone) => {
                stood = true;
                known(std::mem::replace(&mut listed, Found::Missing));
            }
            Ok(Event::Apply(secret)) => known(there(secret, wanted)),
            Ok(Event::Delete(_)) => known(Found::Missing),
            Err(error @ (watcher::Error::WatchFailed(_) | watcher::Error::WatchError(_))) => {
                debug!(error = %Report(&error), "the watch of a secret broke, going on");
                tokio::time::sleep(FIRST_PAUSE).await;
            }
            Err(error) => return Ended { error, stood },
        }
    }
    Ended { error: watcher::Error::NoResourceVersion, stood }
}

fn there(secret: Secret, wanted: &[&[&'static str]]) -> Found {
    let mut data = secret.data.unwrap_or_default();
    let keys = wanted.iter().flat_map(|keys| keys.iter());
    let texts = keys.filter_map(|key| data.remove(*key).map(|text| (*key, Text(text.0)))).collect();
    Found::There { kind: secret.type_.unwrap_or_default().into(), texts: Arc::new(texts) }
}

/// In the API server's words where it has any: they name the permission that is missing.
fn trouble(error: &watcher::Error) -> SecretError {
    use watcher::Error::{InitialListFailed, WatchStartFailed};
    match error {
        InitialListFailed(kube::Error::Api(status)) | WatchStartFailed(kube::Error::Api(status)) if matches!(status.code, 400..=428 | 430..=499) => {
            SecretError::Refused(short(&status.message))
        }
        error => SecretError::Unreachable(short(&Report(error).to_string())),
    }
}

fn short(text: &str) -> Arc<str> {
    text.chars().take(LONGEST_CAUSE).collect::<String>().into()
}

/// Longer than an API server takes to restart; a Pod that starts together with it must not fail.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long what was known may be out of date without a word.
const OUTAGE: Duration = Duration::from_secs(60);

/// Most outages are short.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// Enough for the API server's own texts, and a line of the log for others.
const LONGEST_CAUSE: usize = 300;

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    const PAIR: &[&[&str]] = &[&["tls.crt"], &["tls.key"]];
    const ROOTS: &[&[&str]] = &[&["tls.crt", "ca.crt"]];

    fn secret(keys: &[&str]) -> Secret {
        let data = keys.iter().map(|key| ((*key).to_owned(), ByteString((*key).as_bytes().to_vec()))).collect();
        Secret { data: Some(data), type_: Some("Opaque".to_owned()), ..Secret::default() }
    }

    fn read(keys: &[&str], wanted: &'static [&'static [&'static str]]) -> Result<Vec<Pem>, String> {
        let (_keep, state) = watch::channel(State { found: there(secret(keys), wanted), trouble: None });
        let mut followed = FollowedSecret { name: "Secret ns/name".to_owned(), wanted, state };
        followed.read().map_err(|error| Report(&error).to_string())
    }

    #[test]
    fn the_first_key_that_is_there_counts_and_a_missing_one_is_named() {
        let names = |pems: Vec<Pem>| pems.into_iter().map(|pem| pem.name).collect::<Vec<_>>();
        let pair = read(&["tls.crt", "tls.key", "ca.crt"], PAIR).unwrap();
        assert_eq!(names(pair), ["key tls.crt of Secret ns/name", "key tls.key of Secret ns/name"]);
        assert_eq!(names(read(&["ca.crt"], ROOTS).unwrap()), ["key ca.crt of Secret ns/name"]);
        assert_eq!(names(read(&["ca.crt", "tls.crt"], ROOTS).unwrap()), ["key tls.crt of Secret ns/name"]);
        let missing = read(&["tls.crt"], PAIR).unwrap_err();
        assert_eq!(missing, "cannot load Secret ns/name: it has no key tls.key (its type is Opaque)");
        let missing = read(&["password"], ROOTS).unwrap_err();
        assert_eq!(missing, "cannot load Secret ns/name: it has no key tls.crt and no key ca.crt (its type is Opaque)");
    }

    #[test]
    fn nothing_is_kept_but_what_was_asked_for_and_nothing_of_it_shown() {
        let Found::There { texts, .. } = there(secret(&["tls.crt", "tls.key"]), ROOTS) else { panic!("it is there") };
        assert_eq!(texts.keys().collect::<Vec<_>>(), [&"tls.crt"]);
        assert_eq!(format!("{texts:?}"), r#"{"tls.crt": ***}"#);
    }
}
