use std::sync::{Mutex, PoisonError};

use common::label::Labels;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use super::{
    super::{
        certificate::tests::certificate,
        store::{Verb, Why},
    },
    *,
};
use crate::agents::tokens::key_of_a_test;

/// A namespace with one Secret in it, or none, and who else writes there.
#[derive(Debug, Default)]
struct Namespace {
    secret: Mutex<Option<Secret>>,
    calls: Mutex<Vec<Verb>>,
    /// What others write before each of the next writes.
    others: Mutex<Vec<Option<Secret>>>,
    forbidden: Option<Verb>,
}

// === impl Namespace ===

impl Namespace {
    fn with(secret: Secret) -> Self {
        let new = Self::default();
        new.put(Some(secret));
        new
    }

    /// As the API server does: every write has a version of its own.
    fn put(&self, secret: Option<Secret>) {
        let mut held = lock(&self.secret);
        let version = lock(&self.calls).len() + 100 * lock(&self.others).len() + 1;
        *held = secret.map(|mut secret| {
            secret.metadata.resource_version = Some(version.to_string());
            secret
        });
    }

    fn call(&self, verb: Verb) -> Result<(), StoreError> {
        lock(&self.calls).push(verb);
        match self.forbidden == Some(verb) {
            true => Err(error(verb, Why::Forbidden("no".into()))),
            false => Ok(()),
        }
    }

    fn write(&self, verb: Verb, secret: &Secret) -> Result<(), StoreError> {
        self.call(verb)?;
        let other = lock(&self.others).pop();
        if let Some(other) = other {
            self.put(other);
        }
        let version = |secret: &Secret| secret.metadata.resource_version.clone();
        let is_as_read = match (&*lock(&self.secret), verb) {
            (None, verb) => verb == Verb::Create,
            (Some(held), _) => verb == Verb::Update && version(held) == version(secret),
        };
        if !is_as_read {
            return Err(error(verb, Why::MetAnother));
        }
        self.put(Some(secret.clone()));
        Ok(())
    }

    fn config(&self) -> Value {
        let held = lock(&self.secret);
        serde_json::from_slice(&held.as_ref().unwrap().data.as_ref().unwrap()["config"].0).unwrap()
    }
}

impl Store for Namespace {
    async fn get(&self, _name: &str) -> Result<Option<Secret>, StoreError> {
        self.call(Verb::Get)?;
        Ok(lock(&self.secret).clone())
    }

    async fn create(&self, secret: &Secret) -> Result<(), StoreError> {
        self.write(Verb::Create, secret)
    }

    async fn replace(&self, _name: &str, secret: &Secret) -> Result<(), StoreError> {
        self.write(Verb::Update, secret)
    }
}

fn lock<T>(held: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

fn error(verb: Verb, why: Why) -> StoreError {
    StoreError { verb, namespace: "argocd".into(), name: "cluster-agent-1".into(), why }
}

/// A visitor in a namespace, whose key is there.
struct Rig {
    visitor: Visitor<Namespace>,
    material: Material,
}

// === impl Rig ===

impl Rig {
    fn new(store: Namespace) -> Self {
        let keys = Arc::new(Keys::signing(&mut Registry::default()));
        keys.take("the test's key", Ok(key_of_a_test()));
        let signer = keys.signer().borrow().clone().unwrap();
        let material = Material { signer, certificate: Arc::new(certificate("shared")) };
        let visitor = Visitor { store, keys, proxy_address: "proxy:9090".into(), token_lifetime: DAY };
        Self { visitor, material }
    }

    /// A Secret as it is made, with this token.
    fn secret(&self, token: &str) -> Secret {
        let (agent, certificate) = (agent(), certificate("shared"));
        let wanted = Wanted { agent: &agent, proxy_address: "proxy:9090", certificate: &certificate, labels: None };
        wanted.secret(&Hidden::new(token))
    }

    fn token(&self, lasts: Duration) -> String {
        self.material.signer.token(&agent(), lasts).unwrap().reveal().to_owned()
    }

    async fn visit(&self, attached: bool) -> Result<Done, Failure> {
        let attached = attached.then(|| Arc::new(Labels::new()));
        self.visitor.visit(&Visit { agent: agent(), attached }, &self.material).await
    }

    async fn written(&self, attached: bool) -> Option<Written> {
        self.visit(attached).await.unwrap().written
    }

    fn calls(&self) -> Vec<Verb> {
        std::mem::take(&mut *lock(&self.visitor.store.calls))
    }
}

fn agent() -> AgentName {
    AgentName::parse("agent-1").unwrap()
}

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn a_secret_that_is_not_there_is_made_for_who_attaches_and_nobody_else() {
    let rig = Rig::new(Namespace::default());
    assert_eq!(rig.visit(false).await, Ok(Done { written: None, due: None }));
    let done = rig.visit(true).await.unwrap();
    assert_eq!(done.written, Some(Written::Created));
    // With a third of its time left.
    let due = done.due.unwrap() - Instant::now();
    assert!(due > DAY.mul_f64(0.9 - 0.34) && due < DAY.mul_f64(1.0 - 0.33), "{due:?}");
    let token = rig.visitor.store.config()["bearerToken"].as_str().unwrap().to_owned();
    assert!(rig.visitor.keys.end_of(token.as_bytes(), &agent()).unwrap().is_some());
    let _calls = rig.calls();
    // All is well, so nothing is written.
    let again = rig.visit(true).await.unwrap();
    assert_eq!((again.written, rig.calls()), (None, vec![Verb::Get]));
    assert!(again.due.unwrap().duration_since(done.due.unwrap()) < Duration::from_secs(2));
}

#[tokio::test]
async fn a_token_that_is_not_valid_or_soon_ends_is_replaced() {
    let rig = Rig::new(Namespace::default());
    let other = Rig::new(Namespace::default());
    let of_another = rig.material.signer.token(&AgentName::parse("agent-2").unwrap(), DAY).unwrap();
    for (token, written) in [
        (rig.token(DAY), None),
        (rig.token(DAY / 2), None),
        (rig.token(DAY / 4), Some(Written::Renewed)),
        (rig.token(Duration::ZERO), Some(Written::Renewed)),
        (other.token(DAY), Some(Written::Reissued)),
        (of_another.reveal().to_owned(), Some(Written::Reissued)),
        ("nonsense".into(), Some(Written::Reissued)),
        (String::new(), Some(Written::Reissued)),
    ] {
        rig.visitor.store.put(Some(rig.secret(&token)));
        assert_eq!(rig.written(false).await, written, "{token}");
        let now = rig.visitor.store.config()["bearerToken"].as_str().unwrap().to_owned();
        assert_eq!(now == token, written.is_none());
        assert_eq!(rig.written(true).await, None);
    }
}

#[tokio::test]
async fn a_key_that_changes_makes_every_token_anew() {
    let mut rig = Rig::new(Namespace::default());
    assert_eq!(rig.written(true).await, Some(Written::Created));
    rig.visitor.keys.take("the test's key", Ok(key_of_a_test()));
    rig.material.signer = rig.visitor.keys.signer().borrow().clone().unwrap();
    assert_eq!(rig.written(false).await, Some(Written::Reissued));
    assert_eq!(rig.written(false).await, None);
}

#[tokio::test]
async fn a_certificate_that_changes_is_written_and_the_token_stays() {
    let mut rig = Rig::new(Namespace::default());
    assert_eq!(rig.written(true).await, Some(Written::Created));
    let before = rig.visitor.store.config();
    rig.material.certificate = Arc::new(certificate("another"));
    assert_eq!(rig.written(false).await, Some(Written::Updated));
    let after = rig.visitor.store.config();
    assert_eq!(after["bearerToken"], before["bearerToken"]);
    let certificate = |config: &Value| config["tlsClientConfig"]["certData"].clone();
    assert_eq!((certificate(&before), certificate(&after)), (json!("shared-crt"), json!("another-crt")));
}

#[tokio::test]
async fn what_is_not_ours_is_not_written() {
    let rig = Rig::new(Namespace::default());
    for label in ["argocd-agent.argoproj-labs.io/self-registered-cluster", "argocd-agent.argoproj-labs.io/agent-name"] {
        let mut secret = rig.secret("nonsense");
        secret.metadata.labels.as_mut().unwrap().remove(label);
        rig.visitor.store.put(Some(secret));
        let _calls = rig.calls();
        assert_eq!((rig.written(true).await, rig.calls()), (None, vec![Verb::Get]), "{label}");
    }
}

#[tokio::test]
async fn who_writes_at_the_same_time_is_looked_at_again() {
    // Another principal makes it first, with the same key.
    let rig = Rig::new(Namespace::default());
    let theirs = rig.secret(&rig.token(DAY));
    lock(&rig.visitor.store.others).push(Some(theirs));
    assert_eq!(rig.written(true).await, None);
    assert_eq!(rig.calls(), [Verb::Get, Verb::Create, Verb::Get]);
    // Another principal renews it first.
    let rig = Rig::new(Namespace::default());
    rig.visitor.store.put(Some(rig.secret("old")));
    let theirs = rig.secret(&rig.token(DAY));
    lock(&rig.visitor.store.others).push(Some(theirs));
    assert_eq!(rig.written(false).await, None);
    assert_eq!(rig.calls(), [Verb::Get, Verb::Update, Verb::Get]);
    // An operator changes something else: that stays, and the token comes.
    let rig = Rig::new(Namespace::default());
    rig.visitor.store.put(Some(rig.secret("old")));
    let mut theirs = rig.secret("old");
    theirs.data.as_mut().unwrap().insert("project".into(), ByteString(b"p".to_vec()));
    lock(&rig.visitor.store.others).push(Some(theirs));
    assert_eq!(rig.written(false).await, Some(Written::Reissued));
    assert!(lock(&rig.visitor.store.secret).as_ref().unwrap().data.as_ref().unwrap().contains_key("project"));
    // An operator deletes it: the token is to end.
    let rig = Rig::new(Namespace::with(Rig::new(Namespace::default()).secret("old")));
    lock(&rig.visitor.store.others).push(None);
    assert_eq!(rig.written(false).await, None);
    assert!(lock(&rig.visitor.store.secret).is_none());
    // Somebody never stops.
    let rig = Rig::new(Namespace::default());
    rig.visitor.store.put(Some(rig.secret("old")));
    let theirs = || Some(rig.secret("theirs"));
    lock(&rig.visitor.store.others).extend((0..20).map(|_| theirs()));
    let failure = rig.visit(false).await.unwrap_err();
    assert_eq!((failure.reason(), rig.calls().len()), (Reason::Contended, 10));
}

#[tokio::test]
async fn a_permission_that_is_missing_is_named_with_its_cure() {
    for (verb, secret) in [(Verb::Get, false), (Verb::Create, false), (Verb::Update, true)] {
        let rig = Rig::new(Namespace { forbidden: Some(verb), ..Namespace::default() });
        if secret {
            rig.visitor.store.put(Some(rig.secret("old")));
        }
        let failure = rig.visit(true).await.unwrap_err();
        assert_eq!(failure.reason(), Reason::Forbidden);
        let line = format!("{failure} ({})", failure.cure());
        assert_eq!(
            line,
            format!(
                "cannot {verb} Secret argocd/cluster-agent-1: the API server refuses: no (allow the principal's \
                 ServiceAccount get, create and update on secrets in namespace argocd: {verb} is missing)"
            )
        );
    }
}
