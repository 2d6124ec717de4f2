//! The scanners find in a stream what a real Redis finds in it.
//!
//! Bytes are said to Redis and to the scanner of commands: both must find as many commands in them, the same channels in
//! those that subscribe, and the same error. What Redis answers goes through the scanner of replies, which must find as
//! many. The bytes are a function of a seed, which a failure tells and `random::SEED` sets.

mod random;

use std::io::ErrorKind;

use bytes::BytesMut;
use common::resp::{
    Protocol, ReplyEvent, ReplyScanner, Word,
    commands::{Argument, Command, CommandEvent, CommandScanner, Limits, Login, ProtocolError},
    frames,
    replies::{self, Marker, Role},
};
use harness::{redis::Redis, soon};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use self::random::{Random, SEED};

#[tokio::test]
async fn redis_finds_the_same_commands() {
    let redis = Redis::start(&[]).await;
    let mut random = Random::seeded();
    let (mut commands, mut errors) = (0, 0);
    for _ in 0..STREAMS {
        let bytes = random.stream();
        let heard = compare(&redis, Limits::default(), &bytes, &mut random).await;
        commands += heard.commands.len();
        errors += usize::from(heard.error.is_some());
    }
    // Else the rest says little.
    assert!(commands > STREAMS && (STREAMS / 10..STREAMS).contains(&errors), "{commands} commands, {errors} errors");
}

#[tokio::test]
async fn redis_has_the_same_limits_for_who_has_not_logged_in() {
    let redis = Redis::start(&["--requirepass", "secret"]).await;
    let limits = Limits { login: Login::Missing, ..Limits::default() };
    let mut random = Random::seeded();
    for start in
        ["*10\r\n", "*11\r\n", "*1\r\n$16384\r\n", "*1\r\n$16385\r\n", "*-11\r\n", "PING a b c d e f g h i j k\r\n"]
    {
        compare(&redis, limits, start.as_bytes(), &mut random).await;
    }
    for _ in 0..STREAMS / 4 {
        let bytes = random.stream();
        compare(&redis, limits, &bytes, &mut random).await;
    }
}

#[tokio::test]
async fn redis_says_the_same_of_what_is_no_command() {
    let redis = Redis::start(&[]).await;
    let mut random = Random::seeded();
    let digits = "1".repeat(65_536);
    for bytes in [
        "*\r\n",
        "*01\r\n",
        "*+1\r\n",
        "*-0\r\n",
        "*2147483648\r\n",
        "*9223372036854775808\r\n",
        "*1\r\n\r\n",
        "*1\r\n\nx\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n",
        "*1\r\n:1\r\n",
        "*1\r\n$\r\n",
        "*1\r\n$-1\r\n",
        "*1\r\n$536870913\r\n",
        "*1\r\n$9223372036854775807\r\n",
        "*1\r\n$1000000000000\r\n",
        "*2\r\n$3\r\nGET\r\n$0x1\r\n",
        "ECHO \"a\"b\r\n",
        "PING\r\nECHO 'a\r\n",
        "%1\r\n$3\r\nGET\r\n$1\r\na\r\n",
        &format!("x{digits}"),
        &format!("x\0{digits}"),
        &format!("x\0\n{digits}"),
        &format!("*{digits}"),
        &format!("*\0{digits}"),
        &format!("*1\r\n${digits}"),
        &format!("*1\r\n\0\r\n{digits}"),
    ] {
        compare(&redis, Limits::default(), bytes.as_bytes(), &mut random).await;
    }
}

/// Redis takes some words with a NUL for those that they begin with: about 1 in 150, other ones in each process.
#[tokio::test]
async fn a_word_with_a_nul_is_taken_for_what_redis_may_take_it_for() {
    let redis = Redis::start(&[]).await;
    let mut connection = redis.connect().await;
    let mut taken = 0;
    for number in 0..3_000 {
        let command = frames::command(&[format!("ping\0{number}").as_bytes()]);
        assert_eq!(only(&command).word(), Word::Ping);
        let answer = ask(&mut connection, &command, 1).await;
        taken += usize::from(answer == b"+PONG\r\n");
    }
    assert!(taken > 0, "Redis compares words otherwise than it did");
}

#[tokio::test]
async fn redis_is_silent_only_where_the_scanner_says_so() {
    let redis = Redis::start(&[]).await;
    let mut silent = 0;
    let variants = (0..300).map(|number| (format!("reply\0{number}"), "off".to_owned()));
    let plain = ["off", "OFF", "skip", "on", "off\0", "skip\0and more", "offx", ""];
    let plain = plain.iter().map(|last| ("Reply".to_owned(), (*last).to_owned()));
    for (subcommand, last) in plain.chain(variants) {
        let command = frames::command(&[b"CLIENT", subcommand.as_bytes(), last.as_bytes()]);
        let mut connection = redis.connect().await;
        connection.write_all(&command).await.unwrap();
        connection.shutdown().await.unwrap();
        let answer = rest(&mut connection).await;
        silent += usize::from(answer.is_empty());
        assert!(!answer.is_empty() || only(&command).silences(), "{}", command.escape_ascii());
    }
    assert!(silent >= 5, "{silent}");
}

#[tokio::test]
async fn every_reply_of_redis_has_the_end_that_the_scanner_finds() {
    let redis = Redis::start(&["--enable-debug-command", "local"]).await;
    let nested = "local t = {1} for i = 1, 3000 do t = {t, i} end return t";
    let deepest = "local t = {1} for i = 1, 100000 do t = {t, i} end return t";
    let mut asked: Vec<Vec<&str>> = vec![
        vec!["COMMAND"],
        vec!["COMMAND", "DOCS"],
        vec!["CONFIG", "GET", "*"],
        vec!["INFO", "everything"],
        vec!["CLIENT", "LIST"],
        vec!["SET", "key", "a\r\n$1\r\n"],
        vec!["GET", "key"],
        vec!["GET", "none"],
        vec!["LPOP", "none", "1"],
        vec!["ZADD", "set", "1.5", "a", "inf", "b"],
        vec!["ZRANGE", "set", "0", "-1", "WITHSCORES"],
        vec!["HSET", "hash", "a", "1", "b", ""],
        vec!["HGETALL", "hash"],
        vec!["SADD", "s", "a", "b"],
        vec!["SMEMBERS", "s"],
        vec!["MEMORY", "STATS"],
        vec!["MEMORY", "DOCTOR"],
        vec!["EVAL", nested, "0"],
        vec!["EVAL", deepest, "0"],
        vec!["EVAL", "return {err = 'A\\r\\nB'}", "0"],
        vec!["EVAL", "return {ok = string.rep('x', 100000)}", "0"],
        vec!["EVAL", "return string.rep('\\r\\n', 3000000)", "0"],
        vec!["MULTI"],
        vec!["GET", "key"],
        vec!["SUBSCRIBE"],
        vec!["EXEC"],
        vec!["NONE"],
    ];
    let types = ["string", "integer", "double", "null", "array", "set", "map", "attrib", "push", "verbatim", "true"];
    asked.extend(types.into_iter().chain(["false", "bignum"]).map(|kind| vec!["DEBUG", "PROTOCOL", kind]));
    for version in ["2", "3"] {
        let mut connection = redis.connect().await;
        let asked = std::iter::once(vec!["HELLO", version]).chain(asked.clone()).chain([vec!["QUIT"]]);
        let mut answers = 0;
        for words in asked {
            let words = words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>();
            connection.write_all(&frames::command(&words)).await.unwrap();
            answers += 1;
        }
        let said = rest(&mut connection).await;
        for size in [said.len(), 16_384, 4_099, 7] {
            let heard = frames_in(said.chunks(size));
            let roles = |role| heard.iter().filter(|frame| frame.role == role).count();
            // In RESP3, DEBUG PROTOCOL push says the push and a reply behind it.
            assert_eq!(roles(Role::Answer), answers, "HELLO {version}, {size} bytes at a time");
            assert_eq!((roles(Role::Push) > 0, roles(Role::Attribute) > 0), (version == "3", version == "3"));
            assert_eq!(heard.iter().map(|frame| frame.bytes.len()).sum::<usize>(), said.len());
        }
    }
}

#[tokio::test]
async fn redis_understands_what_we_say() {
    let redis = Redis::start(&["--requirepass", "secret"]).await;
    let mut connection = redis.connect().await;
    assert!(ask(&mut connection, &frames::ping(), 1).await.starts_with(b"-NOAUTH"));
    assert_eq!(ask(&mut connection, &frames::auth(Some("default"), "secret"), 1).await, b"+OK\r\n");
    assert_eq!(ask(&mut connection, &frames::auth(None, "secret"), 1).await, b"+OK\r\n");
    assert_eq!(ask(&mut connection, &frames::ping(), 1).await, b"+PONG\r\n");
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let hello = ask(&mut connection, &frames::hello(protocol, Some((None, "secret"))), 1).await;
        assert!(hello.starts_with(if protocol == Protocol::Resp2 { b"*14" } else { b"%7\r" }));
        assert_eq!(ask(&mut connection, &frames::get(b"none"), 1).await, frames::nil(protocol));
    }
    let mut subscriber = redis.connect().await;
    ask(&mut subscriber, &frames::hello(Protocol::Resp3, Some((None, "secret"))), 1).await;
    subscriber.write_all(&frames::subscribe(b"a\r\nb")).await.unwrap();
    let subscribed = &frames_in([&read(&mut subscriber, 1).await[..]])[0];
    assert_eq!(
        (subscribed.kind.as_deref(), subscribed.channel.as_deref()),
        (Some(&b"subscribe"[..]), Some(&b"a\r\nb"[..]))
    );
    assert_eq!(ask(&mut connection, &frames::publish(b"a\r\nb", b""), 1).await, frames::integer(1));
    let message = &frames_in([&read(&mut subscriber, 1).await[..]])[0];
    assert_eq!((message.role, message.kind.as_deref()), (Role::Push, Some(&b"message"[..])));
    let left = ask(&mut subscriber, &frames::unsubscribe(b"a\r\nb"), 1).await;
    assert_eq!(frames_in([&left[..]])[0].kind.as_deref(), Some(&b"unsubscribe"[..]));
}

/// What the scanner found in what was said.
struct Heard {
    commands: Vec<(Word, Vec<Vec<u8>>)>,
    error: Option<ProtocolError>,
}

/// A frame of Redis, put together.
struct Frame {
    bytes: Vec<u8>,
    role: Role,
    marker: Marker,
    kind: Option<Vec<u8>>,
    channel: Option<Vec<u8>>,
}

/// Says bytes to Redis and to the scanner.
async fn compare(redis: &Redis, limits: Limits, bytes: &[u8], random: &mut Random) -> Heard {
    let chunks = random.chunks(bytes);
    let heard = commands_in(limits, &chunks);
    let harmless = [Word::Get, Word::Mget, Word::Exists, Word::Subscribe, Word::Ping, Word::Other];
    if heard.commands.iter().any(|(word, _)| !harmless.contains(word)) {
        return heard;
    }
    let shown = format!("{}={}: {}", SEED, random.seed, bytes.get(..bytes.len().min(2_000)).unwrap().escape_ascii());
    let mut connection = redis.connect().await;
    connection.set_nodelay(true).unwrap();
    for chunk in chunks {
        // Redis may have closed the connection by now.
        if connection.write_all(chunk).await.is_err() {
            break;
        }
    }
    // Of an error Redis must make the end itself.
    if heard.error.is_none() {
        connection.shutdown().await.unwrap_or_default();
    }
    let said = rest(&mut connection).await;
    let mut answers = frames_in([&said[..]]).into_iter();
    for (word, arguments) in &heard.commands {
        if *word == Word::Subscribe && arguments.len() > 1 && limits.login == Login::Done {
            for channel in arguments.iter().skip(1) {
                let answer = answers.next().unwrap_or_else(|| panic!("not subscribed: {shown}"));
                assert_eq!(answer.kind.as_deref(), Some(&b"subscribe"[..]), "{shown}");
                assert_eq!(answer.channel.as_ref(), Some(channel), "{shown}");
            }
        } else {
            let answer = answers.next().unwrap_or_else(|| panic!("no answer to {word:?}: {shown}"));
            assert!(!answer.bytes.starts_with(b"-ERR Protocol error"), "{shown}");
            if *word == Word::Mget && arguments.len() > 1 && answer.marker == Marker::Array {
                let nils = b"$-1\r\n".repeat(arguments.len() - 1);
                assert!(answer.bytes.ends_with(&nils), "{shown}");
            }
        }
    }
    let error = answers.next().map(|answer| answer.bytes.escape_ascii().to_string());
    assert_eq!(error, heard.error.map(|error| error.reply().escape_ascii().to_string()), "{shown}");
    assert_eq!(answers.count(), 0, "{shown}");
    heard
}

fn commands_in(limits: Limits, chunks: &[&[u8]]) -> Heard {
    let mut scanner = CommandScanner::new(limits);
    let mut input = BytesMut::new();
    let mut heard = Heard { commands: Vec::new(), error: None };
    // What has begun and may never end.
    let mut begun: Option<(Word, Vec<Vec<u8>>)> = None;
    let known = |argument: Argument<'_>| argument.whole().unwrap().to_vec();
    for chunk in chunks {
        input.extend_from_slice(chunk);
        loop {
            let part = match scanner.next(&mut input) {
                Ok(Some(CommandEvent::Command(command))) => {
                    begun = Some((command.word(), Vec::new()));
                    command.into_part()
                }
                Ok(Some(CommandEvent::Part(part))) => part,
                Ok(Some(CommandEvent::Nothing(_))) => continue,
                Ok(None) => break,
                Err(error) => {
                    heard.error = Some(error);
                    return heard;
                }
            };
            begun.as_mut().unwrap().1.extend(part.arguments().map(known));
            if part.is_last() {
                heard.commands.extend(begun.take());
            }
        }
    }
    heard
}

fn frames_in<'c>(chunks: impl IntoIterator<Item = &'c [u8]>) -> Vec<Frame> {
    let mut scanner = ReplyScanner::new(replies::Limits::default());
    let mut input = BytesMut::new();
    let mut heard: Vec<Frame> = Vec::new();
    for chunk in chunks {
        input.extend_from_slice(chunk);
        while let Some(event) = scanner.next(&mut input).unwrap() {
            let part = match event {
                ReplyEvent::Reply(reply) => {
                    heard.push(Frame {
                        bytes: Vec::new(),
                        role: reply.role(),
                        marker: reply.marker(),
                        kind: reply.kind().map(<[u8]>::to_vec),
                        channel: reply.channel().map(<[u8]>::to_vec),
                    });
                    reply.into_part()
                }
                ReplyEvent::Part(part) => part,
            };
            heard.last_mut().unwrap().bytes.extend_from_slice(part.bytes());
        }
    }
    assert!(input.is_empty() && scanner.is_between(), "{}", input.escape_ascii());
    heard
}

fn only(bytes: &[u8]) -> Command {
    match CommandScanner::new(Limits::default()).next(&mut BytesMut::from(bytes)) {
        Ok(Some(CommandEvent::Command(command))) => command,
        other => panic!("{other:?}"),
    }
}

async fn ask(connection: &mut TcpStream, command: &[u8], frames: usize) -> Vec<u8> {
    connection.write_all(command).await.unwrap();
    read(connection, frames).await
}

/// So many frames.
async fn read(connection: &mut TcpStream, frames: usize) -> Vec<u8> {
    let mut scanner = ReplyScanner::new(replies::Limits::default());
    let (mut input, mut said) = (BytesMut::new(), Vec::new());
    let mut ended = 0;
    while ended < frames {
        soon(connection.read_buf(&mut input)).await.unwrap();
        while let Some(event) = scanner.next(&mut input).unwrap() {
            let part = match event {
                ReplyEvent::Reply(reply) => reply.into_part(),
                ReplyEvent::Part(part) => part,
            };
            said.extend_from_slice(part.bytes());
            ended += usize::from(part.is_last());
        }
    }
    said
}

/// All that Redis says until it closes the connection.
async fn rest(connection: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    match soon(connection.read_to_end(&mut said)).await {
        Ok(_) => {}
        // It closed without reading all that was said to it.
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    said
}

/// Each is a connection, and most take a millisecond.
const STREAMS: usize = 3_000;
