//! Who we are to a Redis, and where that is written.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::auth::Secret;

/// Where the login comes from. It is read anew for every login, so that a file that has changed counts without a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// There is none.
    None,
    /// It was given.
    Given(Login),
    /// It is in the files `auth` and `auth_username` of this directory, the second of which may be missing. So Argo CD
    /// reads it, too (`util/cache/cache.go`, `loadRedisCreds`).
    Directory(PathBuf),
}

/// A user and its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Its name; none for the one that Redis calls `default`.
    pub user: Option<String>,
    /// Its password.
    pub password: Secret,
}

/// Why it is not known who we are.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{} holds no text of at most {LARGEST} bytes", path.display())]
    NoText {
        /// The file.
        path: PathBuf,
    },
}

// === impl Credentials ===

impl Credentials {
    /// The login as it is now, blocking where it is in files. None where nothing was given: then there is nobody to log
    /// in as.
    ///
    /// # Errors
    /// When a file cannot be used.
    pub fn read(&self) -> Result<Option<Login>, CredentialsError> {
        let login = match self {
            Self::None => return Ok(None),
            Self::Given(login) => login.clone(),
            Self::Directory(directory) => {
                let password = read(&directory.join("auth"))?;
                let user = match read(&directory.join("auth_username")) {
                    Err(CredentialsError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => None,
                    user => Some(user?).filter(|user| !user.is_empty()),
                };
                Login { user, password: Secret::new(password) }
            }
        };
        // A user may have no password; but nobody without one is nobody.
        let nobody = login.user.is_none() && login.password.reveal().is_empty();
        Ok(Some(login).filter(|_| !nobody))
    }
}

fn read(path: &Path) -> Result<String, CredentialsError> {
    let failed = |source| CredentialsError::Read { path: path.to_owned(), source };
    let no_text = || CredentialsError::NoText { path: path.to_owned() };
    let mut bytes = Vec::new();
    // One more than there may be, to see that there are.
    File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err(no_text());
    }
    let text = String::from_utf8(bytes).map_err(|_| no_text())?;
    Ok(text.trim().to_owned())
}

/// Redis takes no longer argument from somebody who has not logged in (`processMultibulkBuffer`, networking.c).
const LARGEST: u64 = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn login(user: Option<&str>, password: &str) -> Login {
        Login { user: user.map(str::to_owned), password: Secret::new(password) }
    }

    #[test]
    fn what_was_given_is_the_login_and_nothing_is_none() {
        assert_eq!(Credentials::None.read().unwrap(), None);
        for given in [login(None, "pw"), login(Some("u"), "pw"), login(Some("u"), "")] {
            assert_eq!(Credentials::Given(given.clone()).read().unwrap(), Some(given));
        }
        assert_eq!(Credentials::Given(login(None, "")).read().unwrap(), None);
    }

    #[test]
    fn files_are_read_again_every_time() {
        let folder = tempfile::tempdir().unwrap();
        let credentials = Credentials::Directory(folder.path().to_owned());
        let error = credentials.read().unwrap_err();
        assert_eq!(error.to_string(), format!("cannot read {}", folder.path().join("auth").display()));

        std::fs::write(folder.path().join("auth"), "one\n").unwrap();
        assert_eq!(credentials.read().unwrap(), Some(login(None, "one")));
        std::fs::write(folder.path().join("auth_username"), " argocd \n").unwrap();
        std::fs::write(folder.path().join("auth"), "two").unwrap();
        assert_eq!(credentials.read().unwrap(), Some(login(Some("argocd"), "two")));
        std::fs::write(folder.path().join("auth_username"), "\n").unwrap();
        std::fs::write(folder.path().join("auth"), "").unwrap();
        assert_eq!(credentials.read().unwrap(), None);
    }

    #[test]
    fn what_is_no_text_is_named_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let credentials = Credentials::Directory(folder.path().to_owned());
        for bytes in [vec![0xff; 8], vec![b'p'; 100_000]] {
            std::fs::write(folder.path().join("auth"), bytes).unwrap();
            let expected = format!("{} holds no text of at most 16384 bytes", folder.path().join("auth").display());
            assert_eq!(credentials.read().unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn debug_output_does_not_show_the_password() {
        let shown = format!("{:?}", Credentials::Given(login(Some("u"), "hunter2")));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
