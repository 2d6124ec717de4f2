//! What a client says is nobody else's to read: no key, no value and no password gets into a log or a metric.

use common::resp::frames;
use harness::{eventually, raw, resp::RespClient};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Stage, THEIR_RESOURCES};

#[tokio::test]
async fn nothing_of_what_clients_say_gets_into_logs_or_metrics() {
    let stage = Stage::start_with(
        &["--requirepass", "pass-s3cr3t"],
        &["--log-level=trace", "--redis-password=pass-s3cr3t"],
        &["--log-level=trace"],
    )
    .await;
    let tree = "app|resources-tree|agent-a_key-s3cr3t|1.8.3.gz";
    let channel = "app|managed-resources|agent-a_key-s3cr3t|1.8.3";
    let mut agent = RespClient::connect(stage.remote.address()).await;
    agent.ask(&["SET", "app|resources-tree|key-s3cr3t|1.8.3.gz", "value-s3cr3t"]).await;
    agent.ask(&["SET", THEIR_RESOURCES, "value-s3cr3t", "EX", "1000"]).await;
    let mut client = stage.client().await;
    client.ask(&["AUTH", "wrong-s3cr3t"]).await;
    client.ask(&["HELLO", "3", "AUTH", "user-s3cr3t", "wrong-s3cr3t"]).await;
    client.ask(&["HELLO", "3", "AUTH", "default", "pass-s3cr3t", "SETNAME", "name-s3cr3t"]).await;
    for words in [
        &["GET", tree][..],
        &["MGET", tree, "key-s3cr3t"],
        &["EXISTS", tree],
        &["GETRANGE", tree, "0", "not-a-number-s3cr3t"],
        &["SET", tree, "value-s3cr3t"],
        &["SET", "key-s3cr3t", "value-s3cr3t"],
        &["word-s3cr3t", "argument-s3cr3t"],
        &["GET", "app|resources-tree|agent-a_key-s3cr3t\r\n\x1b[31m|1.8.3.gz"],
        &["CONFIG", "SET", "requirepass", "pass-s3cr3t"],
        &["ACL", "SETUSER", "user-s3cr3t", ">pass-s3cr3t"],
        &["CLIENT", "REPLY", "OFF"],
        &["SUBSCRIBE", channel],
    ] {
        client.ask(words).await;
    }
    agent.ask(&["PUBLISH", "app|managed-resources|key-s3cr3t|1.8.3", "message-s3cr3t"]).await;
    assert!(client.reply().await.contains("message-s3cr3t"));
    client.ask(&["UNSUBSCRIBE"]).await;
    // What ends connections.
    let not_text = [b"s3cr3t".as_slice(), b"\xff\xfe", b"s3cr3t"].concat();
    for bytes in [
        b"*1\r\nword-s3cr3t\r\n".to_vec(),
        b"PING \"argument-s3cr3t\r\n".to_vec(),
        b"*2\r\n$3\r\nGET\r\n$xs3cr3t\r\n".to_vec(),
        [frames::command(&[b"AUTH", b"pass-s3cr3t"]), frames::get(&not_text), "QUIT\r\n".into()].concat(),
        not_text,
    ] {
        let mut stream = TcpStream::connect(stage.door).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap_or_default();
    }
    drop(client);
    eventually("all are gone", async || (stage.open().await[2] == 0.0).then_some(())).await;

    let logs = [&stage.principal.process, &stage.agent.process].map(|process| process.stdout() + &process.stderr());
    for (of, log) in ["principal", "agent"].iter().zip(&logs) {
        // Else the rest says little.
        assert!(log.contains("\"level\":\"DEBUG\""), "{of}");
        let telling: Vec<_> = log.lines().filter(|line| line.contains("s3cr3t")).take(5).collect();
        assert!(telling.is_empty(), "{of}: {telling:#?}");
    }
    for address in [stage.principal.metrics, stage.agent.metrics] {
        let page = raw::page(address, "/metrics").await;
        let telling: Vec<_> = page.text().lines().filter(|line| line.contains("s3cr3t")).map(str::to_owned).collect();
        assert!(telling.is_empty(), "{telling:#?}");
    }
}
