//! Just enough of a Redis client to measure a GET over a warm connection: starting redis-cli takes longer than what it
//! asks for.

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// A connection that is logged in.
#[derive(Debug)]
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

// === impl Client ===

impl Client {
    pub(crate) async fn connect(port: u16, password: &str) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.context("connecting to a Redis")?;
        stream.set_nodelay(true).context("switching delays off")?;
        let mut client = Self { stream: BufReader::new(stream) };
        client.say(&["auth", password]).await.context("logging in")?;
        Ok(client)
    }

    /// A value that must be there.
    pub(crate) async fn get(&mut self, key: &str) -> Result<Vec<u8>> {
        let length = self.say(&["get", key]).await?;
        let length = length.strip_prefix('$').and_then(|length| length.parse::<usize>().ok());
        let length = length.with_context(|| format!("no value of {key}"))?;
        if length > LARGEST {
            bail!("a value of {length} bytes");
        }
        let mut value = vec![0; length + END];
        self.stream.read_exact(&mut value).await.context("reading a value")?;
        value.truncate(length);
        Ok(value)
    }

    /// Stores a value.
    pub(crate) async fn set(&mut self, key: &str, value: &str) -> Result<()> {
        self.say(&["set", key, value]).await.map(drop)
    }

    /// How many have subscribed to a channel.
    pub(crate) async fn subscriptions(&mut self, channel: &str) -> Result<String> {
        self.say(&["pubsub", "numsub", channel]).await?;
        let mut count = String::new();
        // The channel's length and name, and the count.
        for _ in 0..3 {
            count = self.line().await?;
        }
        Ok(count.trim_start_matches(':').to_owned())
    }

    /// Sends a command, and returns the first line of its reply, which must be no error.
    async fn say(&mut self, words: &[&str]) -> Result<String> {
        let mut command = format!("*{}\r\n", words.len());
        for word in words {
            command += &format!("${}\r\n{word}\r\n", word.len());
        }
        self.stream.write_all(command.as_bytes()).await.context("sending a command")?;
        self.line().await
    }

    async fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        (&mut self.stream).take(LONGEST_LINE).read_until(b'\n', &mut line).await.context("reading a reply")?;
        let line = String::from_utf8_lossy(&line);
        match line.strip_suffix("\r\n") {
            None => bail!("the connection was closed"),
            Some(line) if line.starts_with('-') => bail!("{line}"),
            Some(line) => Ok(line.to_owned()),
        }
    }
}

/// Far more than the tour's values.
const LARGEST: usize = 1 << 20;

/// Errors are lines, too.
const LONGEST_LINE: u64 = 4096;

/// A value ends with a line's end.
const END: usize = 2;
