//! Values that one side compresses and the other does not.

use std::io::Read;

use agent::config::Compression;

use super::*;

fn text(length: usize) -> Vec<u8> {
    (0..length).map(|place| b"{\"nodes\":[{\"kind\":\"Pod\"}]}"[place * 7 % 26]).collect()
}

#[tokio::test]
async fn what_is_kept_compressed_is_read_plain() {
    let redis = Redis::start(&[]).await;
    let site = Site::new(&redis);
    let (mut direct, mut pipe) = (Pipe::direct(&redis).await, site.pipe());
    for length in [1, 2_700, 70_000, 3_000_000] {
        let plain = text(length);
        direct.set(LOCAL_TREE, &gzip(&plain)).await;
        pipe.say(&["GET", PLAIN_TREE]).await;
        assert!(string(&pipe.reply().await.unwrap()) == plain, "{length}");
        assert_eq!(pipe.ask(&["STRLEN", PLAIN_TREE]).await, format!(r":{length}\r\n"));
        assert_eq!(pipe.ask(&["EXISTS", PLAIN_TREE, TREE]).await, r":2\r\n");
        assert_eq!(pipe.ask(&["TTL", PLAIN_TREE]).await, r":-1\r\n");
    }
    let part = r"-ERR the value is compressed otherwise in the agent's Redis, so no part of it can be read\r\n";
    assert_eq!(pipe.ask(&["GETRANGE", PLAIN_TREE, "0", "1"]).await, part);
    direct.ask(&["DEL", LOCAL_TREE]).await;
    assert_eq!(pipe.ask(&["GET", PLAIN_TREE]).await, r"$-1\r\n");
    assert_eq!(pipe.ask(&["STRLEN", PLAIN_TREE]).await, r":0\r\n");
    for value in [b"{\"nodes\":[]}".as_slice(), b"", b"\x1f\x8b"] {
        direct.set(LOCAL_TREE, value).await;
        assert_eq!(pipe.ask(&["GET", PLAIN_TREE]).await, r"-ERR the value cannot be decompressed\r\n");
    }
    direct.ask(&["DEL", LOCAL_TREE]).await;
    direct.ask(&["LPUSH", LOCAL_TREE, "x"]).await;
    let wrong =
        r"-ERR Redis refused the command: WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
    assert_eq!(pipe.ask(&["GET", PLAIN_TREE]).await, wrong);
    assert_eq!(pipe.ask(&["STRLEN", PLAIN_TREE]).await, wrong);
    assert_eq!(pipe.ask(&["GET", TREE]).await, wrong);
    // All of it on one connection.
    assert_eq!(site.metric(r#"connects_total{outcome="connected"}"#), 1);
}

#[tokio::test]
async fn what_is_kept_plain_is_read_compressed() {
    let redis = Redis::start(&[]).await;
    let site = Site::with(&redis, |options| options.redis.compression = Compression::None);
    let (mut direct, mut pipe) = (Pipe::direct(&redis).await, site.pipe());
    for length in [0, 1, 2_700, 65_535, 65_536, 3_000_000] {
        let plain = text(length);
        direct.set(LOCAL_PLAIN_TREE, &plain).await;
        pipe.say(&["GET", TREE]).await;
        let reply = pipe.reply().await.unwrap();
        let mut read = Vec::new();
        flate2::bufread::GzDecoder::new(string(&reply)).read_to_end(&mut read).unwrap();
        assert!(read == plain, "{length}");
        let told = if length == 0 { 0 } else { string(&reply).len() };
        assert_eq!(pipe.ask(&["STRLEN", TREE]).await, format!(r":{told}\r\n"));
        pipe.say(&["GET", PLAIN_TREE]).await;
        assert!(string(&pipe.reply().await.unwrap()) == plain, "{length}");
    }
    direct.ask(&["DEL", LOCAL_PLAIN_TREE]).await;
    assert_eq!(pipe.ask(&["GET", TREE]).await, r"$-1\r\n");
}

#[tokio::test]
async fn a_value_that_says_a_wrong_length_cuts_the_pipe_before_it_is_longer() {
    let redis = Redis::start(&[]).await;
    let site = Site::new(&redis);
    let mut direct = Pipe::direct(&redis).await;
    let mut bomb = gzip(&vec![0; 200 << 20]);
    let end = bomb.len() - 4;
    bomb[end..].copy_from_slice(&(10_u32 << 20).to_le_bytes());
    direct.set(LOCAL_TREE, &bomb).await;
    let mut pipe = site.pipe();
    pipe.say(&["GET", PLAIN_TREE]).await;
    assert_eq!(pipe.reply().await, None);
    assert_eq!(site.metric(r#"commands_total{command="get",outcome="cut"}"#), 1);
    // The same, at once.
    bomb[end..].copy_from_slice(&7_u32.to_le_bytes());
    direct.set(LOCAL_TREE, &bomb).await;
    assert_eq!(site.pipe().ask(&["GET", PLAIN_TREE]).await, r"-ERR the value cannot be decompressed\r\n");
    // More than Redis would hold.
    bomb[end..].copy_from_slice(&u32::MAX.to_le_bytes());
    direct.set(LOCAL_TREE, &bomb).await;
    assert_eq!(site.pipe().ask(&["GET", PLAIN_TREE]).await, r"-ERR the value cannot be decompressed\r\n");
}
