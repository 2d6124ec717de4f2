//! The file of `--auth userpass:<file>`: who there is, and the bcrypt hash of each password.
//!
//! What must always be true: a file that is not understood whole is not used at all, and what is told of it never repeats
//! a line.

use std::{collections::HashMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use base64::{
    Engine,
    alphabet::BCRYPT,
    engine::{GeneralPurpose, general_purpose::NO_PAD},
};
use bcrypt::HashParts;
use common::{
    AgentName, Report,
    tls::{FollowedFiles, MaterialError},
};
use rand::Rng;
use tokio::{sync::watch, time::sleep};
use tracing::{error, info, warn};

use super::metrics::AuthMetrics;

/// Who may log in, as one state of the file has it.
#[derive(Debug)]
pub(super) struct Users {
    hashes: HashMap<AgentName, Hash>,
    /// What the password of somebody unknown is compared with.
    nobody: Hash,
}

/// A bcrypt hash. No secret, but nothing for a log either: it can be guessed at.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Hash {
    text: Arc<str>,
    cost: u32,
}

/// A file of users that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// It cannot be read.
    #[error("it cannot be read")]
    Read(#[source] MaterialError),
    /// It is not text.
    #[error("it is not UTF-8 text")]
    Text,
    /// A line of it is none.
    #[error("line {number}: {problem}")]
    Line {
        /// Counted from 1.
        number: usize,
        /// What it should look like.
        problem: UsersProblem,
    },
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UsersProblem {
    /// It has no colon.
    #[error("must be <name>:<bcrypt hash>, as `htpasswd -nbB <name> <password>` prints it")]
    Form,
    /// The name can be no agent's.
    #[error("must begin with an agent's name: up to 63 characters of a-z, 0-9 and -")]
    Name,
    /// What follows is no hash.
    #[error("must have a bcrypt hash after the colon: 60 characters that begin with $2a$, $2b$, $2x$ or $2y$")]
    Hash,
    /// Nobody could log in by it in time, and whoever tries keeps a processor busy.
    #[error("must have a bcrypt hash of a cost from {} to {}", COSTS.start(), COSTS.end())]
    Cost,
}

/// Keeps [`Users`] as the file has them.
#[derive(Debug)]
pub(super) struct UsersFile {
    path: PathBuf,
    files: FollowedFiles,
    held: watch::Sender<Arc<Users>>,
    /// What is held, or was refused last.
    seen: Vec<u8>,
    told: Option<String>,
    metrics: AuthMetrics,
}

// === impl Users ===

impl Users {
    pub(super) fn parse(text: &[u8]) -> Result<Self, UsersError> {
        let text = std::str::from_utf8(text).map_err(|_| UsersError::Text)?;
        let mut hashes = HashMap::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') || line.starts_with("//") {
                continue;
            }
            let failed = |problem| UsersError::Line { number: index + 1, problem };
            let (name, hash) = line.split_once(':').ok_or_else(|| failed(UsersProblem::Form))?;
            let name = AgentName::parse(name.trim()).map_err(|_| failed(UsersProblem::Name))?;
            // Of two lines the last one counts, as upstream.
            hashes.insert(name, Hash::parse(hash.trim()).map_err(failed)?);
        }
        // As dear as the dearest: it shall not be told apart by its time.
        let cost = hashes.values().map(|hash: &Hash| hash.cost).max().unwrap_or(USUAL_COST);
        Ok(Self { hashes, nobody: Hash::of_nothing(cost) })
    }

    /// The hash of that user's password.
    pub(super) fn hash(&self, name: &str) -> Option<(&AgentName, &Hash)> {
        self.hashes.get_key_value(name)
    }

    /// A hash that nobody's password has, as dear as the others.
    pub(super) fn nobody(&self) -> &Hash {
        &self.nobody
    }
}

// === impl Hash ===

impl Hash {
    fn parse(text: &str) -> Result<Self, UsersProblem> {
        let parts: HashParts = text.parse().map_err(|_| UsersProblem::Hash)?;
        let cost = parts.get_cost();
        if !COSTS.contains(&cost) {
            return Err(UsersProblem::Cost);
        }
        Ok(Self { text: text.into(), cost })
    }

    /// Made up, and new each time: no password is known for it.
    fn of_nothing(cost: u32) -> Self {
        let (mut salt, mut hash) = ([0; 16], [0; 23]);
        rand::rng().fill(&mut salt);
        rand::rng().fill(&mut hash);
        let [salt, hash] = [&salt[..], &hash[..]].map(|bytes| ALPHABET.encode(bytes));
        Self { text: format!("$2b${cost:02}${salt}{hash}").into(), cost }
    }

    /// Whether it is that of this password. Blocks, for as long as its cost says, and compares in constant time.
    pub(super) fn is_of(&self, password: &str) -> bool {
        bcrypt::verify(password, &self.text).unwrap_or(false)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hash").field("cost", &self.cost).finish_non_exhaustive()
    }
}

// === impl UsersFile ===

impl UsersFile {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// When it cannot be used.
    pub(super) async fn load(
        path: PathBuf,
        metrics: AuthMetrics,
    ) -> Result<(Self, watch::Receiver<Arc<Users>>), UsersError> {
        let mut files = FollowedFiles::new(vec![path.clone()]);
        let text = read(&mut files).await?;
        let users = Users::parse(&text)?;
        match users.hashes.len() {
            0 => warn!(file = %path.display(), "the file of users has none: no agent can attach until it has"),
            number => info!(file = %path.display(), number, "users loaded"),
        }
        let (held, users) = watch::channel(Arc::new(users));
        Ok((Self { path, files, held, seen: text, told: None, metrics }, users))
    }

    /// Keeps them until nobody has a use for them.
    pub(super) async fn keep(mut self) {
        loop {
            tokio::select! {
                () = self.files.changed() => {}
                () = sleep(EVERY) => {}
                () = self.held.closed() => return,
            }
            self.look().await;
        }
    }

    async fn look(&mut self) {
        let text = match read(&mut self.files).await {
            Ok(text) => text,
            Err(error) => return self.tell(&error),
        };
        if text == self.seen {
            return;
        }
        match Users::parse(&text) {
            Ok(users) => {
                info!(file = %self.path.display(), number = users.hashes.len(), "users reloaded");
                self.held.send_replace(Arc::new(users));
                self.metrics.reloads.inc();
                self.told = None;
            }
            Err(error) => self.tell(&error),
        }
        self.seen = text;
    }

    fn tell(&mut self, error: &UsersError) {
        let trouble = Report(error).to_string();
        if self.told.as_ref() != Some(&trouble) {
            error!(file = %self.path.display(), error = %trouble, "users not reloaded, the last good ones stay");
            self.metrics.reload_failures.inc();
            self.told = Some(trouble);
        }
    }
}

async fn read(files: &mut FollowedFiles) -> Result<Vec<u8>, UsersError> {
    let texts = files.read().await.map_err(UsersError::Read)?;
    Ok(texts.iter().flat_map(|text| text.text()).copied().collect())
}

const ALPHABET: GeneralPurpose = GeneralPurpose::new(&BCRYPT, NO_PAD);

/// bcrypt's own least; the most takes 4 s, and an agent waits for 10.
const COSTS: std::ops::RangeInclusive<u32> = 4..=16;

/// As Go's library has it where none is chosen.
const USUAL_COST: u32 = 10;

/// Where a change was not told.
const EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `secret`, at the least cost.
    pub(in super::super) fn hash(password: &str) -> String {
        bcrypt::hash_with_salt(password, 4, *b"0123456789abcdef").unwrap().to_string()
    }

    #[test]
    fn comments_and_empty_lines_count_for_nothing_and_the_last_line_of_a_user_counts() {
        let (old, new) = (hash("old"), hash("new"));
        let text = format!("# comment\n// comment\n\n a : {old} \r\nb:{}\na:{new}\n", new.replace("$2b$", "$2y$"));
        let users = Users::parse(text.as_bytes()).unwrap();
        assert_eq!(users.hashes.len(), 2);
        for name in ["a", "b"] {
            let (_, hash) = users.hash(name).unwrap();
            assert!(hash.is_of("new") && !hash.is_of("old") && !hash.is_of(""), "{name}");
        }
        assert!(users.hash("c").is_none());
    }

    #[test]
    fn what_is_wrong_is_told_by_its_line_and_never_repeated() {
        let good = hash("secret");
        for (line, problem) in [
            ("hunter2".to_owned(), UsersProblem::Form),
            (format!("Agent:{good}"), UsersProblem::Name),
            (format!(":{good}"), UsersProblem::Name),
            ("a:hunter2".to_owned(), UsersProblem::Hash),
            ("a:".to_owned(), UsersProblem::Hash),
            (format!("a:{good}:x"), UsersProblem::Hash),
            (format!("a:{}", good.replace("$2b$", "$2c$")), UsersProblem::Hash),
            (format!("a:{}", good.replace("$04$", "$03$")), UsersProblem::Cost),
            (format!("a:{}", good.replace("$04$", "$31$")), UsersProblem::Cost),
        ] {
            let error = Users::parse(format!("# one\n{line}\n").as_bytes()).unwrap_err();
            let told = error.to_string();
            assert!(
                matches!(error, UsersError::Line { number: 2, problem: found } if found == problem),
                "{line}: {told}"
            );
            assert!(!told.contains("hunter2") && !told.contains(&good), "{told}");
        }
        assert!(matches!(Users::parse(b"a:\xff"), Err(UsersError::Text)));
    }

    #[test]
    fn nobodys_hash_is_as_dear_as_the_dearest_and_nobodys() {
        let text = format!("a:{}\nb:{}", hash("x"), bcrypt::hash_with_salt("x", 5, [0; 16]).unwrap());
        let users = Users::parse(text.as_bytes()).unwrap();
        assert_eq!(users.nobody().text.parse::<HashParts>().unwrap().get_cost(), 5);
        assert!(!users.nobody().is_of(""));
        assert_eq!(Users::parse(b"").unwrap().nobody().cost, USUAL_COST);
    }

    #[test]
    fn debug_output_does_not_show_hashes() {
        let hash = hash("secret");
        let users = Users::parse(format!("a:{hash}").as_bytes()).unwrap();
        assert!(!format!("{users:?}").contains(hash.get(7..).unwrap()));
    }
}
