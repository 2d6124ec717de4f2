//! One object by its name, each change of which is told to whoever needs it.

use std::sync::atomic::{AtomicBool, Ordering};

use kube::runtime::watcher;

use super::watch::Keep;

/// Tells `F` what the object is, or that there is none: first when that is known, then whenever it changes. What `F` made
/// of it stays while the API server is away.
pub(super) struct Single<F> {
    told: F,
    known: AtomicBool,
}

/// Selects the object of this name, so that a role may allow just that.
pub(super) fn named(name: &str) -> watcher::Config {
    watcher::Config::default().fields(&format!("metadata.name={name}"))
}

// === impl Single ===

impl<F> Single<F> {
    pub(super) fn new(told: F) -> Self {
        Self { told, known: AtomicBool::new(false) }
    }
}

impl<K, F> Keep<K> for Single<F>
where
    K: Send,
    F: Fn(Option<&K>) + Send + Sync + 'static,
{
    type Coming = Option<K>;

    fn listed(coming: &mut Option<K>, object: K) {
        *coming = Some(object);
    }

    fn replace(&self, coming: Option<K>) {
        (self.told)(coming.as_ref());
        self.known.store(true, Ordering::Relaxed);
    }

    fn apply(&self, object: K) {
        (self.told)(Some(&object));
    }

    fn delete(&self, _object: K) {
        (self.told)(None);
    }

    fn is_known(&self) -> bool {
        self.known.load(Ordering::Relaxed)
    }
}
