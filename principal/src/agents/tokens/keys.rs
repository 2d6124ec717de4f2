//! The keys by which tokens are verified: the one that signs now, and for a while those that did before.
//!
//! What must always be true: a key that cannot be used changes nothing, and is told. The half that signs is kept only where
//! the principal makes tokens by itself, and only of the newest key.

use std::{
    sync::{PoisonError, RwLock, RwLockWriteGuard},
    time::Duration,
};

use common::AgentName;
use jsonwebtoken::Validation;
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use tokio::{sync::watch, time::Instant};
use tracing::{info, warn};

use super::{
    key::{Invalid, KeyError, LEEWAY, TokenKey, Verified, VerifyingKey, validation},
    signing::SigningKey,
};

/// Keys, newest first. None at first.
#[derive(Debug)]
pub struct Keys {
    /// A std lock: held for the arithmetic of one signature, never across an await.
    held: RwLock<Held>,
    validation: Validation,
    failures: Counter,
    /// The half that signs, and every change of it.
    signing: watch::Sender<Option<SigningKey>>,
    /// Whether that is kept at all.
    signs: bool,
}

#[derive(Debug, Default)]
struct Held {
    current: Option<VerifyingKey>,
    /// Those that were, and until when each counts.
    former: Vec<(VerifyingKey, Instant)>,
    /// The trouble that was told last, so that it is told once and not as often as it is met.
    told: Option<KeyError>,
}

// === impl Keys ===

impl Keys {
    /// None yet.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Self {
        let failures = Counter::default();
        registry.register("key_failures", "Times that the key of tokens could not be used", failures.clone());
        let (held, signing) = (RwLock::default(), watch::Sender::new(None));
        Self { held, validation: validation(), failures, signing, signs: false }
    }

    /// None yet; of the one that comes the half that signs is kept, too.
    #[must_use]
    pub fn signing(registry: &mut Registry) -> Self {
        Self { signs: true, ..Self::new(registry) }
    }

    /// `object` has this key now. The one that it had before counts on for an hour, the time to give everybody a token by
    /// the new one; a restart ends that at once. One that cannot be used leaves all as it was.
    pub fn take(&self, object: &str, key: Result<TokenKey, KeyError>) {
        let mut held = self.write();
        match key {
            Ok(TokenKey { verifying, signing }) => {
                held.told = None;
                let first = held.current.is_none();
                if held.replace(Some(verifying), Instant::now()) {
                    self.tell(Some(signing));
                    info!(object, first, "the key of callers' tokens was loaded");
                }
            }
            Err(error) => {
                self.failures.inc();
                if held.told.as_ref() != Some(&error) {
                    let goes_on = held.current.is_some();
                    warn!(object, %error, goes_on, "the key of callers' tokens cannot be used");
                    held.told = Some(error);
                }
            }
        }
    }

    /// `object` is not there. A key that it had counts on as if there were a new one.
    pub fn gone(&self, object: &str) {
        if self.write().replace(None, Instant::now()) {
            self.tell(None);
            warn!(object, "the key of callers' tokens is gone: tokens are valid for another hour, or until a restart");
        } else {
            info!(object, "there is no key of callers' tokens, so none is valid until there is");
        }
    }

    /// What a token says that one of the keys has signed.
    ///
    /// # Errors
    /// When none has, or what the token says does not hold.
    pub(super) fn verify(&self, token: &[u8]) -> Result<Verified, Invalid> {
        let now = Instant::now();
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let former = held.former.iter().filter(|(_, until)| *until > now).map(|(key, _)| key);
        let mut found = Err(Invalid::NoKey);
        for key in held.current.iter().chain(former) {
            found = key.verify(token, &self.validation);
            if found != Err(Invalid::Signature) {
                break;
            }
        }
        found
    }

    /// The half that signs, and every change of it; none, for ever, where it is not kept.
    pub(crate) fn signer(&self) -> watch::Receiver<Option<SigningKey>> {
        self.signing.subscribe()
    }

    /// When a token ends by which `agent` is reached; none where it never does. Only the newest key counts: a token by
    /// another one is to be replaced.
    ///
    /// # Errors
    /// When it is none of the agent's, or not by that key.
    pub(crate) fn end_of(&self, token: &[u8], agent: &AgentName) -> Result<Option<Instant>, Invalid> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let Verified { subject, ends } =
            held.current.as_ref().ok_or(Invalid::NoKey)?.verify(token, &self.validation)?;
        if subject != agent.as_str() {
            return Err(Invalid::Subject);
        }
        // What is there for clocks that differ is no time to rely on.
        Ok(ends.map(|ends| ends.checked_sub(Duration::from_secs(LEEWAY)).unwrap_or(ends)))
    }

    fn tell(&self, signing: Option<SigningKey>) {
        if self.signs {
            self.signing.send_replace(signing);
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, Held> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Held ===

impl Held {
    /// Whether that changes anything.
    fn replace(&mut self, key: Option<VerifyingKey>, now: Instant) -> bool {
        if self.current == key {
            return false;
        }
        // One that comes back is the current one again, and nothing else.
        self.former.retain(|(former, until)| *until > now && key.as_ref() != Some(former));
        if let Some(former) = std::mem::replace(&mut self.current, key) {
            self.former.insert(0, (former, now + OVERLAP));
        }
        self.former.truncate(MOST_FORMER);
        true
    }
}

/// Argo CD hears of a changed cluster Secret at once, but whoever writes those may have many to write.
const OVERLAP: Duration = Duration::from_secs(60 * 60);

/// Each costs the arithmetic of a signature for a token that is none of ours.
const MOST_FORMER: usize = 3;

#[cfg(test)]
mod tests {
    use jsonwebtoken::{Algorithm, EncodingKey, Header};

    use super::{
        super::{key::tests::pair, tests::claims},
        *,
    };

    fn keys() -> Keys {
        Keys::new(&mut Registry::default())
    }

    fn token(signs: &EncodingKey) -> String {
        jsonwebtoken::encode(&Header::new(Algorithm::RS512), &claims("agent-1"), signs).unwrap()
    }

    fn subject(keys: &Keys, signs: &EncodingKey) -> Result<String, Invalid> {
        keys.verify(token(signs).as_bytes()).map(|verified| verified.subject)
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_key_counts_for_an_hour_beside_the_new_one() {
        let (keys, (old, by_old), (new, by_new)) = (keys(), pair(), pair());
        assert_eq!(subject(&keys, &by_old), Err(Invalid::NoKey));
        keys.take("Secret a/b", Ok(old.clone()));
        keys.take("Secret a/b", Ok(new));
        // Said again: that does not make the hour begin anew.
        tokio::time::sleep(OVERLAP / 2).await;
        keys.take("Secret a/b", Err(KeyError::NotRsa));
        assert_eq!((subject(&keys, &by_old), subject(&keys, &by_new)), (Ok("agent-1".into()), Ok("agent-1".into())));
        tokio::time::sleep(OVERLAP / 2).await;
        assert_eq!((subject(&keys, &by_old), subject(&keys, &by_new)), (Err(Invalid::Signature), Ok("agent-1".into())));
        keys.take("Secret a/b", Ok(old));
        assert_eq!((subject(&keys, &by_old), subject(&keys, &by_new)), (Ok("agent-1".into()), Ok("agent-1".into())));
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_gone_counts_for_an_hour() {
        let (keys, (key, signs)) = (keys(), pair());
        keys.gone("Secret a/b");
        keys.take("Secret a/b", Ok(key));
        keys.gone("Secret a/b");
        assert_eq!(subject(&keys, &signs), Ok("agent-1".into()));
        tokio::time::sleep(OVERLAP).await;
        assert_eq!(subject(&keys, &signs), Err(Invalid::NoKey));
    }

    #[test]
    fn a_key_that_cannot_be_used_changes_nothing_and_is_counted() {
        let (keys, (key, signs)) = (keys(), pair());
        keys.take("Secret a/b", Ok(key));
        keys.take("Secret a/b", Err(KeyError::NoField));
        keys.take("Secret a/b", Err(KeyError::NoField));
        assert_eq!(subject(&keys, &signs), Ok("agent-1".into()));
        assert_eq!(keys.failures.get(), 2);
    }

    #[test]
    fn no_more_than_three_former_keys_are_kept() {
        let (keys, pairs) = (keys(), [pair(), pair(), pair(), pair(), pair()]);
        for (key, _) in &pairs {
            keys.take("Secret a/b", Ok(key.clone()));
        }
        let good: Vec<_> = pairs.iter().map(|(_, signs)| subject(&keys, signs).is_ok()).collect();
        assert_eq!(good, [false, true, true, true, true]);
    }
}
