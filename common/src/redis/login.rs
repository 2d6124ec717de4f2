//! The first words on a connection.

use std::{io, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{Credentials, CredentialsError, Stream};
use crate::resp::{
    ReplyEvent, ReplyScanner, frames,
    replies::{Limits, Marker, ReplyError},
};

/// Why Redis would not have us.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// It is not known who we are.
    #[error("there are no credentials for Redis")]
    Credentials(#[source] CredentialsError),
    /// Redis said no.
    #[error("Redis refused the login: {0}")]
    Refused(String),
    /// Redis does not have this database.
    #[error("Redis refused database {0}: {1}")]
    Database(u32, String),
    /// Nothing was heard in time.
    #[error("Redis did not answer the login within {} s", DEADLINE.as_secs())]
    Timeout,
    /// The connection broke.
    #[error("the connection to Redis was lost during the login")]
    Lost(#[source] io::Error),
    /// What came is nothing that Redis says.
    #[error("what answers is no Redis")]
    NoRedis(#[source] ReplyError),
}

/// What Redis said to a command that is answered with `OK`.
enum Verdict {
    Accepted,
    /// In its own words, escaped and cut.
    Refused(String),
}

/// Logs in on a new connection, within 5 s. The connection goes on with RESP2. Where there are no credentials nothing is
/// said, and Redis's own errors tell whether that will do.
///
/// # Errors
/// When the credentials cannot be read, or Redis does not take them.
///
/// # Cancel safety
/// Not cancel safe: the connection is of no more use.
pub async fn login(stream: &mut Stream, credentials: &Credentials) -> Result<(), LoginError> {
    let credentials = credentials.clone();
    let login = match credentials {
        Credentials::None | Credentials::Given(_) => credentials.read(),
        // Where a file is it may take time to read it, even one of a few bytes.
        Credentials::Directory(_) => match tokio::task::spawn_blocking(move || credentials.read()).await {
            Ok(read) => read,
            Err(ended) => return Err(LoginError::Lost(ended.into())),
        },
    };
    let Some(login) = login.map_err(LoginError::Credentials)? else { return Ok(()) };
    let command = frames::auth(login.user.as_deref(), login.password.reveal());
    match ask(stream, &command).await? {
        Verdict::Accepted => Ok(()),
        Verdict::Refused(text) => Err(LoginError::Refused(text)),
    }
}

/// Goes on with another database than the one that every connection begins with, within 5 s.
///
/// # Errors
/// When Redis does not let us.
///
/// # Cancel safety
/// Not cancel safe: the connection is of no more use.
pub async fn select(stream: &mut Stream, database: u32) -> Result<(), LoginError> {
    let command = frames::command(&[b"SELECT", database.to_string().as_bytes()]);
    match ask(stream, &command).await? {
        Verdict::Accepted => Ok(()),
        Verdict::Refused(text) => Err(LoginError::Database(database, text)),
    }
}

async fn ask(stream: &mut Stream, command: &[u8]) -> Result<Verdict, LoginError> {
    timeout(DEADLINE, exchange(stream, command)).await.map_err(|_elapsed| LoginError::Timeout)?
}

async fn exchange(stream: &mut Stream, command: &[u8]) -> Result<Verdict, LoginError> {
    stream.write_all(command).await.map_err(LoginError::Lost)?;
    stream.flush().await.map_err(LoginError::Lost)?;
    let mut scanner = ReplyScanner::new(Limits::default());
    let mut came = BytesMut::with_capacity(ROOM);
    let reply = loop {
        match scanner.next(&mut came).map_err(LoginError::NoRedis)? {
            Some(ReplyEvent::Reply(reply)) => break reply,
            Some(ReplyEvent::Part(_)) => {}
            None => {
                let read = stream.read_buf(&mut came).await.map_err(LoginError::Lost)?;
                if read == 0 {
                    return Err(LoginError::Lost(io::ErrorKind::UnexpectedEof.into()));
                }
            }
        }
    };
    // One answer to one command: whatever else has come, nobody asked for.
    let sound = reply.is_whole() && came.is_empty();
    match reply.marker() {
        Marker::Simple if sound => Ok(Verdict::Accepted),
        Marker::Error => Ok(Verdict::Refused(words(reply.part().bytes()))),
        _ => Err(LoginError::NoRedis(ReplyError::Malformed("it is no answer to a login"))),
    }
}

/// The text of an error, fit for a log.
fn words(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line.get(1..).unwrap_or_default());
    line.trim_end().chars().take(WORDS).flat_map(char::escape_debug).filter(|char| char.is_ascii()).collect()
}

/// A login is a few microseconds of Redis's time; this is what a command of an agent has in all.
const DEADLINE: Duration = Duration::from_secs(5);

/// For any answer to a login.
const ROOM: usize = 256;

/// More than any of Redis's own errors has.
const WORDS: usize = 256;

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::{auth::Secret, redis::Login};

    /// Logs in at somebody who hears it and says `answer`, piece by piece, and then nothing or a good-bye.
    async fn told(answer: &'static [&'static [u8]], leaves: bool) -> Result<(), LoginError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut far, _) = listener.accept().await.unwrap();
        let redis = async {
            let mut heard = [0; 256];
            assert!(far.read(&mut heard).await.unwrap() > 0);
            for piece in answer {
                far.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            if !leaves {
                std::future::pending::<()>().await;
            }
            drop(far);
            std::future::pending::<()>().await;
        };
        let credentials = Credentials::Given(Login { user: None, password: Secret::new("hunter2") });
        let mut stream = Stream::Plain(near);
        tokio::select! {
            () = redis => unreachable!("it waits"),
            told = login(&mut stream, &credentials) => told,
        }
    }

    #[tokio::test]
    async fn redis_says_yes_or_no_in_its_own_words() {
        assert!(told(&[b"+OK\r\n"], false).await.is_ok());
        assert!(told(&[b"+", b"OK\r", b"\n"], false).await.is_ok());
        let error = told(&[b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"], false).await;
        assert_eq!(
            error.unwrap_err().to_string(),
            "Redis refused the login: WRONGPASS invalid username-password pair or user is disabled."
        );
        let error = told(&[b"-ERR \x1b[31m\xff\"x\"\r\n"], false).await.unwrap_err();
        assert_eq!(error.to_string(), r#"Redis refused the login: ERR \u{1b}[31m\"x\""#);
    }

    #[tokio::test]
    async fn what_is_no_redis_is_told_apart_from_one_that_says_no() {
        assert!(matches!(told(&[b"HTTP/1.1 400 Bad Request\r\n"], false).await, Err(LoginError::NoRedis(_))));
        assert!(matches!(told(&[b"$5\r\nhello\r\n"], false).await, Err(LoginError::NoRedis(_))));
        assert!(matches!(told(&[b"+OK\r\n+OK\r\n"], false).await, Err(LoginError::NoRedis(_))));
        assert!(matches!(told(&[b"+OK"], true).await, Err(LoginError::Lost(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_is_not_waited_for() {
        assert!(matches!(told(&[b"+O"], false).await, Err(LoginError::Timeout)));
    }
}
