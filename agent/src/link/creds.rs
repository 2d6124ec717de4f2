//! What the agent shows to be let in, beside or in place of its certificate.

use std::{io, path::PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD};
use common::auth::Secret;
use tokio::{fs::File, io::AsyncReadExt};
use tonic::metadata::{Ascii, MetadataValue};

/// How the agent proves who it is (`--creds`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Creds {
    /// By its certificate alone.
    Certificate,
    /// By the name and the password in this file's first line, read for every attempt to attach.
    Password(PathBuf),
    /// By nothing: a service mesh says who it is.
    Mesh,
}

/// The file of name and password cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum CredsError {
    #[error("cannot read name and password from {} (--creds)", .0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error("the first line of {} must be <name>:<password>, of at most {LONGEST} bytes (--creds)", .0.display())]
    Form(PathBuf),
}

// === impl Creds ===

impl Creds {
    /// What goes with the call of Attach, as it is now: `authorization: Basic …` (RFC 7617), if anything.
    pub(super) async fn authorization(&self) -> Result<Option<MetadataValue<Ascii>>, CredsError> {
        let Self::Password(path) = self else { return Ok(None) };
        let read = async {
            let mut text = String::new();
            File::open(path).await?.take(LONGEST + 2).read_to_string(&mut text).await?;
            Ok(Secret::new(text))
        };
        let text = read.await.map_err(|error| CredsError::Read(path.clone(), error))?;
        let form = || CredsError::Form(path.clone());
        let line = first_line(text.reveal()).ok_or_else(form)?;
        let encoded = format!("Basic {}", STANDARD.encode(line));
        let mut value = MetadataValue::try_from(encoded).map_err(|_| form())?;
        // In no table of HTTP/2's header compression, and in no debug output.
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// The first line, if it is `<name>:<password>`.
fn first_line(text: &str) -> Option<&str> {
    let line = text.lines().next()?.trim_end();
    let (name, password) = line.split_once(':')?;
    (!name.is_empty() && !password.is_empty() && line.len() as u64 <= LONGEST).then_some(line)
}

/// Of the line. bcrypt looks at 72 bytes of a password, and a name has 63.
const LONGEST: u64 = 512;

#[cfg(test)]
mod tests {
    use super::*;

    async fn authorization(text: &str) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("creds");
        std::fs::write(&path, text).unwrap();
        match Creds::Password(path).authorization().await {
            Ok(value) => Ok(value.unwrap().to_str().unwrap().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[tokio::test]
    async fn the_first_line_of_the_file_is_name_and_password() {
        for text in ["agent:a:b", "agent:a:b\n", "agent:a:b\r\nanother:line\n"] {
            assert_eq!(authorization(text).await.as_deref(), Ok("Basic YWdlbnQ6YTpi"), "{text:?}");
        }
        for none in [Creds::Certificate, Creds::Mesh] {
            assert!(none.authorization().await.unwrap().is_none());
        }
    }

    #[tokio::test]
    async fn what_is_no_login_is_told_without_repeating_it() {
        for text in ["", "hunter2", ":hunter2", "hunter2:", &format!("agent:{}", "hunter2".repeat(100))] {
            let error = authorization(text).await.unwrap_err();
            assert!(error.contains("must be <name>:<password>") && !error.contains("hunter2"), "{error}");
        }
        let missing = Creds::Password("/nowhere/creds".into()).authorization().await.unwrap_err();
        assert_eq!(missing.to_string(), "cannot read name and password from /nowhere/creds (--creds)");
    }

    #[tokio::test]
    async fn debug_output_does_not_show_the_password() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("creds");
        std::fs::write(&path, "agent:a:b").unwrap();
        let value = Creds::Password(path).authorization().await.unwrap().unwrap();
        assert_eq!(format!("{value:?}"), "Sensitive");
    }
}
