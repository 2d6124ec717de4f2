//! What is no command is answered as Redis answers it, and ends a connection where Redis ends it.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use harness::resp::RespClient;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::redis_door::{alike::Pair, bulk};

#[tokio::test]
async fn each_kind_of_bad_input_is_answered_as_redis_answers_it() {
    let pair = Pair::start(&["--requirepass", "secret"]).await;
    let mut witness = RespClient::connect(pair.door()).await;
    witness.ask(&["AUTH", "secret"]).await;
    let errors = AtomicUsize::new(0);
    let pair = &pair;
    let compared = stream::iter(inputs()).for_each_concurrent(CONCURRENT, async |(name, bytes)| {
        for login in ["", "AUTH secret\r\n"] {
            let bytes = [login.as_bytes(), &bytes].concat();
            let (mut direct, mut through) = pair.hear(&bytes, PAUSE).await;
            if direct != through {
                // One of them may just have been slow.
                (direct, through) = pair.hear(&bytes, 8 * PAUSE).await;
            }
            assert_eq!(through, direct, "{name} after {login:?}");
            errors.fetch_add(usize::from(direct.0.contains("Protocol error")), Ordering::Relaxed);
        }
    });
    let others = async {
        for number in 0..500 {
            let number = number.to_string();
            assert_eq!(witness.ask(&["ECHO", &number]).await, bulk(&number), "others are answered");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::join!(compared, others);
    let errors = errors.into_inner();
    // Else the rest says little.
    assert!(errors > 40, "{errors}");
}

#[tokio::test]
async fn a_byte_at_a_time_is_as_good_as_all_at_once() {
    let pair = Pair::start(&[]).await;
    let mut bytes = Vec::new();
    for text in ["SET a 1\r\n", "*2\r\n$3\r\nGET\r\n$1\r\na\r\n", "PING\r\n", "*1\r\n$4\r\nPI\0G\r\n", "*1\r\n$x\r\n"] {
        bytes.extend_from_slice(text.as_bytes());
    }
    let mut heard = Vec::new();
    for address in [pair.direct.address(), pair.door()] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for byte in &bytes {
            stream.write_all(&[*byte]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        heard.push(rest(&mut stream).await);
    }
    assert_eq!(heard[0], heard[1]);
    assert!(heard[1].ends_with(b"-ERR Protocol error: invalid bulk length\r\n"));
}

#[tokio::test]
async fn a_door_may_take_less_than_redis_does() {
    let pair = Pair::start_with(&[], |door| (door.max_bulk, door.max_args) = (1_000, 5)).await;
    let door = pair.door();
    let length = "-ERR Protocol error: invalid bulk length\r\n";
    let count = "-ERR Protocol error: invalid multibulk length\r\n";
    for (said, heard) in [
        (format!("*2\r\n$4\r\nECHO\r\n$1000\r\n{}\r\n", "x".repeat(1_000)), bulk(&"x".repeat(1_000))),
        ("*2\r\n$4\r\nECHO\r\n$1001\r\n".into(), length.into()),
        ("PING\r\n*1\r\n$536870912\r\n".into(), format!("+PONG\r\n{length}")),
        ("*5\r\n$6\r\nEXISTS\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n".into(), ":0\r\n".into()),
        ("*6\r\n".into(), count.into()),
        ("PING\r\n*1048576\r\n".into(), format!("+PONG\r\n{count}")),
    ] {
        let (at_once, behind) = hear(door, said.as_bytes(), PAUSE).await;
        assert_eq!(at_once + &behind, heard.escape_default().to_string(), "{said:.40}");
    }
    assert_eq!(RespClient::connect(door).await.ask(&["PING"]).await, "+PONG\r\n");
}

fn inputs() -> Vec<(String, Vec<u8>)> {
    let mut inputs: Vec<(String, Vec<u8>)> = Vec::new();
    for text in [
        "*1\r\n$9223372036854775807\r\n",
        "*1\r\n$9223372036854775808\r\n",
        "*1\r\n$1099511627776\r\n",
        "*1\r\n$-5\r\n",
        "*1\r\n$-9223372036854775808\r\n",
        "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$-1\r\n",
        "*2\r\n$3\r\nGET\r\n$9223372036854775807\r\n",
        "*2\r\n$3\r\nGET\r\n$+1\r\nk\r\n",
        "*2\r\n$3\r\nGET\r\n$01\r\nk\r\n",
        "*2\r\n$3\r\nGET\r\n$1 \r\nk\r\n",
        "*2\r\n$3\r\nGET\r\n$0x1\r\nk\r\n",
        "*2\r\n$3\r\nGET\r\n$\r\nk\r\n",
        "*2147483648\r\n",
        "*9223372036854775807\r\n",
        "*9223372036854775808\r\n",
        "*-2147483649\r\nPING\r\n",
        "*-9223372036854775809\r\n",
        "*\r\n",
        "* 1\r\n",
        "*1x\r\n",
        // Before the login Redis takes few words, and short ones.
        "*10\r\n",
        "*11\r\n",
        "*1000\r\n$3\r\nGET\r\n",
        "*1\r\n$16384\r\n",
        "*1\r\n$16385\r\n",
        "*2\r\n$3\r\nGET\r\n$16385\r\n",
        "*2\r\n$3\r\nGET\r\n$16385\r\nkey",
        "*2\r\n$3\r\nXYZ\r\n$16385\r\n",
        "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$16385\r\n",
        "*3\r\n$4\r\nMGET\r\n$1\r\nk\r\n$16385\r\n",
        "MULTI\r\n*11\r\n",
        "SUBSCRIBE a\r\n*11\r\n",
        // No end of a line where one should be.
        "*1\r\n$4\r\nPINGxx*1\r\n$4\r\nPING\r\n",
        "*2\r\n$3\r\nGETxx$1\r\nkxx*1\r\n$4\r\nPING\r\n",
        "*1\r\n$3\r\nPING\r\n",
        "*1\r\n$5\r\nPING\r\n*1\r\n$4\r\nPING\r\n",
        "*1\n$4\nPING\n",
        "*1\r$4\rPING\r",
        "*1\r\n$4\r\nPING",
        "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nab",
        "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n",
        "PING",
        "*",
        "\0",
        "\0\r\nPING\r\n",
        "*1\0\r\n$4\r\nPING\r\n",
        "PI\0NG\r\nPING\r\n",
        "*1\r\n$4\r\nPI\0G\r\n",
        "*2\r\n$4\r\nECHO\r\n$3\r\na\0b\r\n",
        // HTTP. Redis closes such a connection on purpose.
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\nPING\r\n",
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        "OPTIONS * HTTP/1.1\r\nAccept: */*\r\n\r\n",
        // Types of RESP3 are no commands.
        "%1\r\n$3\r\nGET\r\n$1\r\nk\r\n",
        "~2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
        ">2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
        "|1\r\n$3\r\nGET\r\n$1\r\nk\r\n",
        "_\r\n#t\r\n,1.5\r\n(123\r\n=5\r\ntxt:a\r\n!3\r\nabc\r\n+OK\r\n-ERR x\r\n:1\r\n",
        "$4\r\nPING\r\n",
        "*?\r\n",
        "*2\r\n+GET\r\n+k\r\n",
        "*2\r\n$3\r\nGET\r\n:1\r\n",
        "*1\r\n*1\r\n$4\r\nPING\r\n",
        "*1\r\n\r\n",
        "*1\r\n\n\n",
        "PING \"\r\n",
        "PING 'a'b\r\n",
        "PING \"\\x4\"\r\n",
    ] {
        inputs.push((text.escape_debug().to_string(), text.as_bytes().to_vec()));
    }
    let get = |key: &[u8]| common::resp::frames::get(key).to_vec();
    for (name, bytes) in [
        ("a million nested arrays", b"*1\r\n".repeat(1_000_000)),
        ("a line of a megabyte", b"x".repeat(1 << 20)),
        ("words without an end", b"PING a ".repeat(200_000)),
        ("a megabyte of digits of a count", [b"*".as_slice(), &b"1".repeat(1 << 20)].concat()),
        ("a megabyte of digits of a length", [b"*1\r\n$".as_slice(), &b"1".repeat(1 << 20)].concat()),
        ("a megabyte of stars", b"*".repeat(1 << 20)),
        ("a megabyte of empty lines", [&b"\r\n".repeat(1 << 19), b"PING\r\n".as_slice()].concat()),
        ("many empty arrays", [&b"*0\r\n*-1\r\n".repeat(10_000), b"PING\r\n".as_slice()].concat()),
        ("a megabyte of NULs", b"\0".repeat(1 << 20)),
        ("the hello of TLS", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".repeat(30)),
        ("noise", crate::bad_input::random(64 << 10)),
        ("noise of another beginning", [b"*2\r\n$".as_slice(), &crate::bad_input::random(1 << 10)].concat()),
        ("a key that is no text", get(b"app|resources-tree|\xff\xfe_x|1.8.3.gz")),
        ("an agent's key that is no text", get(b"app|resources-tree|agent-a_\xc3\x28|1.8.3.gz")),
        ("an agent's key with the end of a line", get(b"app|resources-tree|agent-a_a\r\n$5\r\nb|1.8.3.gz")),
        ("an agent's key with a NUL", get(b"app|resources-tree|agent-a_a\0b|1.8.3.gz")),
        ("a key of a million bars", get(&b"|".repeat(1_000_000))),
        ("an agent's key of a million bars", get(&[b"app|resources-tree", b"|a".repeat(500_000).as_slice()].concat())),
        ("a key of 16 KiB", get(&b"k".repeat(16_384))),
        ("a key of more than 16 KiB", get(&b"k".repeat(16_385))),
        ("an empty key", get(b"")),
    ] {
        inputs.push((name.into(), bytes));
    }
    inputs
}

/// Says these bytes and no more, and returns all that is heard: before the end of what is said is said, too, and behind.
async fn hear(address: SocketAddr, bytes: &[u8], pause: Duration) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let mut heard = Vec::new();
    let say = async {
        // Either may close before all is said.
        writer.write_all(bytes).await.unwrap_or_default();
    };
    let listen = async { while let Ok(Ok(1..)) = timeout(pause, reader.read_buf(&mut heard)).await {} };
    tokio::join!(say, listen);
    stream.shutdown().await.unwrap_or_default();
    let behind = rest(&mut stream).await;
    (heard.escape_ascii().to_string(), behind.escape_ascii().to_string())
}

impl Pair {
    /// The same of Redis itself, and through the door.
    async fn hear(&self, bytes: &[u8], pause: Duration) -> ((String, String), (String, String)) {
        tokio::join!(hear(self.direct.address(), bytes, pause), hear(self.door(), bytes, pause))
    }
}

async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    let ended = timeout(Duration::from_secs(20), stream.read_to_end(&mut heard)).await;
    assert!(ended.is_ok(), "still open behind {}", heard.escape_ascii());
    heard
}

/// Many times what an answer takes.
const PAUSE: Duration = Duration::from_millis(700);

/// So many inputs are tried at a time.
const CONCURRENT: usize = 8;
