//! Logging in by name and password, at a price that no flood of strangers can raise.
//!
//! What must always be true: whoever is not known costs exactly what somebody costs who is: one bcrypt, of the same cost;
//! bcrypt runs on blocking threads, a few at a time, with a bounded queue before them; and who logged in before need not
//! wait in it.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::hmac;
use common::{AgentName, drain};
use tokio::sync::{Semaphore, watch};
use tracing::info_span;

use super::{
    login::Login,
    metrics::AuthMetrics,
    users::{Hash, Users, UsersError, UsersFile},
};

/// Says who has which password.
#[derive(Debug)]
pub(super) struct Passwords {
    users: watch::Receiver<Arc<Users>>,
    /// Places for bcrypt itself.
    running: Arc<Semaphore>,
    /// Places for those that run and those that wait.
    waiting: Arc<Semaphore>,
    remembered: Remembered,
    metrics: AuthMetrics,
}

/// A login that was right, for as long as the file has it so.
#[derive(Debug, Clone)]
pub(super) struct Held {
    name: AgentName,
    hash: Hash,
    users: watch::Receiver<Arc<Users>>,
}

/// Nobody is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoginRefused {
    /// Nobody has that name and that password.
    Wrong,
    /// Too many log in at a time.
    Busy,
}

/// What was right last, of each user: so that agents that come back, all at once, need no bcrypt. It holds no password but
/// a code of it, by a key that ends with the process.
struct Remembered {
    key: hmac::Key,
    /// A std mutex: held for a map operation and one code, never across an await.
    right: Mutex<HashMap<AgentName, (Hash, hmac::Tag)>>,
}

// === impl Passwords ===

impl Passwords {
    /// Goes by this file, and follows it until the drain begins.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub(super) async fn load(path: PathBuf, metrics: AuthMetrics, drain: &drain::Watch) -> Result<Self, UsersError> {
        let (file, users) = UsersFile::load(path, metrics.clone()).await?;
        let watch = drain.clone();
        drain.spawn(info_span!("users"), async move {
            tokio::select! {
                () = file.keep() => {}
                () = watch.draining() => {}
            }
        });
        Ok(Self::new(users, metrics))
    }

    fn new(users: watch::Receiver<Arc<Users>>, metrics: AuthMetrics) -> Self {
        // Half of the processors at most: the others serve.
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let running = Arc::new(Semaphore::new((processors / 2).max(1)));
        let waiting = Arc::new(Semaphore::new(WAITING));
        Self { users, running, waiting, remembered: Remembered::new(), metrics }
    }

    /// Whether that user has that password.
    ///
    /// # Cancel safety
    /// Whoever leaves gives up his place in the queue; a bcrypt that runs goes on to its end, and holds its place until then.
    pub(super) async fn check(&self, login: Login) -> Result<Held, LoginRefused> {
        let mut users = self.users.clone();
        let now = Arc::clone(&users.borrow_and_update());
        let known = now.hash(&login.name).map(|(name, hash)| (name.clone(), hash.clone()));
        let held = |(name, hash)| Held { name, hash, users };
        if let Some((name, hash)) = &known
            && self.remembered.has(name, hash, &login)
        {
            return known.map(held).ok_or(LoginRefused::Wrong);
        }
        let place = Arc::clone(&self.waiting).try_acquire_owned().map_err(|_full| LoginRefused::Busy)?;
        let turn = Arc::clone(&self.running).acquire_owned().await.map_err(|_closed| LoginRefused::Busy)?;
        self.metrics.password_checks.inc();
        let hash = known.as_ref().map_or_else(|| now.nobody().clone(), |(_, hash)| hash.clone());
        let compare = move || {
            let right = hash.is_of(login.password.reveal());
            drop((turn, place));
            (right, login)
        };
        let (right, login) = match tokio::task::spawn_blocking(compare).await {
            Ok(compared) => compared,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime ends.
            Err(_) => return Err(LoginRefused::Busy),
        };
        match known.filter(|_| right) {
            Some((name, hash)) => {
                self.remembered.keep(&name, &hash, &login);
                Ok(held((name, hash)))
            }
            None => Err(LoginRefused::Wrong),
        }
    }
}

// === impl Held ===

impl Held {
    /// Whose login it was.
    pub(super) fn name(&self) -> &AgentName {
        &self.name
    }

    /// Resolves when the file has no such user any more, or another password of it.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn withdrawn(&mut self) {
        let Self { name, hash, users } = self;
        let differs = |users: &Arc<Users>| users.hash(name.as_str()).is_none_or(|(_, now)| now != hash);
        if users.wait_for(differs).await.is_err() {
            // Nobody follows the file any more.
            std::future::pending::<()>().await;
        }
    }
}

// === impl Remembered ===

impl Remembered {
    fn new() -> Self {
        let key = rand::random::<[u8; 32]>();
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &key), right: Mutex::default() }
    }

    /// Compares in constant time.
    fn has(&self, name: &AgentName, hash: &Hash, login: &Login) -> bool {
        let right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        right.get(name).is_some_and(|(of, tag)| {
            of == hash && hmac::verify(&self.key, login.password.reveal().as_bytes(), tag.as_ref()).is_ok()
        })
    }

    fn keep(&self, name: &AgentName, hash: &Hash, login: &Login) {
        let tag = hmac::sign(&self.key, login.password.reveal().as_bytes());
        self.right.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), (hash.clone(), tag));
    }
}

impl std::fmt::Debug for Remembered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remembered").finish_non_exhaustive()
    }
}

/// Logins that run or wait for their turn. At the usual cost, about 50 ms, the last of them comes within the time that an
/// agent has.
const WAITING: usize = 64;

#[cfg(test)]
mod tests {
    use common::auth::Secret;
    use prometheus_client::registry::Registry;

    use super::*;

    fn users(lines: &[(&str, &str)]) -> Arc<Users> {
        let hash = |password: &str| bcrypt::hash_with_salt(password, 4, [7; 16]).unwrap();
        let text: String = lines.iter().map(|(name, password)| format!("{name}:{}\n", hash(password))).collect();
        Arc::new(Users::parse(text.as_bytes()).unwrap())
    }

    fn login(name: &str, password: &str) -> Login {
        Login { name: name.into(), password: Secret::new(password) }
    }

    fn passwords(lines: &[(&str, &str)]) -> (watch::Sender<Arc<Users>>, Passwords) {
        let (held, receiver) = watch::channel(users(lines));
        (held, Passwords::new(receiver, AuthMetrics::register(&mut Registry::default())))
    }

    #[tokio::test]
    async fn a_wrong_password_an_unknown_user_and_no_possible_user_cost_one_bcrypt_each() {
        let (_held, passwords) = passwords(&[("agent", "right")]);
        for (number, (name, password)) in
            [("agent", "wrong"), ("another", "right"), ("No Name", "right"), ("", ""), ("agent", "")]
                .into_iter()
                .enumerate()
        {
            let refused = passwords.check(login(name, password)).await.unwrap_err();
            assert_eq!(refused, LoginRefused::Wrong, "{name} {password}");
            assert_eq!(passwords.metrics.password_checks.get(), number as u64 + 1, "{name} {password}");
        }
    }

    #[tokio::test]
    async fn who_was_right_once_needs_no_second_bcrypt_as_long_as_the_file_says_so() {
        let (held, passwords) = passwords(&[("agent", "right")]);
        for _ in 0..3 {
            assert_eq!(passwords.check(login("agent", "right")).await.unwrap().name().as_str(), "agent");
        }
        assert_eq!(passwords.metrics.password_checks.get(), 1);
        assert!(passwords.check(login("agent", "wrong")).await.is_err());
        assert_eq!(passwords.metrics.password_checks.get(), 2);
        held.send_replace(users(&[("agent", "another")]));
        assert_eq!(passwords.check(login("agent", "right")).await.unwrap_err(), LoginRefused::Wrong);
        passwords.check(login("agent", "another")).await.unwrap();
        held.send_replace(users(&[]));
        assert_eq!(passwords.check(login("agent", "another")).await.unwrap_err(), LoginRefused::Wrong);
    }

    #[tokio::test]
    async fn a_login_is_withdrawn_with_its_user_or_password_and_not_with_others() {
        let (held, passwords) = passwords(&[("agent", "right"), ("other", "x")]);
        for after in [&[("other", "x")][..], &[("agent", "new")]] {
            held.send_replace(users(&[("agent", "right"), ("other", "x")]));
            let mut login = passwords.check(login("agent", "right")).await.unwrap();
            let mut withdrawn = std::pin::pin!(login.withdrawn());
            assert!(futures_util::poll!(withdrawn.as_mut()).is_pending());
            held.send_replace(users(&[("agent", "right"), ("other", "y"), ("third", "z")]));
            assert!(futures_util::poll!(withdrawn.as_mut()).is_pending());
            held.send_replace(users(after));
            withdrawn.await;
        }
    }

    #[tokio::test]
    async fn a_flood_of_strangers_waits_in_a_bounded_queue_and_keeps_nobody_out_who_is_known() {
        let (_held, passwords) = passwords(&[("agent", "right")]);
        passwords.check(login("agent", "right")).await.unwrap();
        let all = u32::try_from(passwords.running.available_permits()).unwrap();
        let busy = passwords.running.acquire_many(all).await.unwrap();
        let mut strangers: Vec<_> =
            (0..WAITING).map(|_| Box::pin(passwords.check(login("stranger", "guess")))).collect();
        for stranger in &mut strangers {
            assert!(futures_util::poll!(stranger).is_pending());
        }
        assert_eq!(passwords.check(login("stranger", "guess")).await.unwrap_err(), LoginRefused::Busy);
        passwords.check(login("agent", "right")).await.unwrap();
        // Who leaves the queue leaves a place in it, and nobody behind waits for his turn.
        drop(strangers);
        drop(busy);
        assert_eq!(passwords.check(login("stranger", "guess")).await.unwrap_err(), LoginRefused::Wrong);
    }

    #[tokio::test]
    async fn a_changed_file_is_put_to_use_and_a_bad_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwd");
        let line = |name: &str| format!("{name}:{}\n", bcrypt::hash_with_salt("x", 4, [1; 16]).unwrap());
        std::fs::write(&path, line("a")).unwrap();
        let (signal, drain) = drain::channel();
        let metrics = AuthMetrics::register(&mut Registry::default());
        let mut passwords = Passwords::load(path.clone(), metrics.clone(), &drain).await.unwrap();
        std::fs::write(&path, line("a") + &line("b")).unwrap();
        passwords.users.changed().await.unwrap();
        passwords.check(login("b", "x")).await.unwrap();
        std::fs::write(&path, line("c") + "nonsense").unwrap();
        while metrics.reload_failures.get() == 0 {
            tokio::task::yield_now().await;
        }
        passwords.check(login("a", "x")).await.unwrap();
        assert!(passwords.check(login("c", "x")).await.is_err());
        assert_eq!((metrics.reloads.get(), metrics.reload_failures.get()), (1, 1));
        assert!(signal.drain(std::time::Duration::from_secs(5)).await);
        assert!(Passwords::load(folder.path().join("none"), metrics, &drain).await.is_err());
    }
}
