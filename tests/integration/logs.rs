//! Logs through the door: at once, to the end, and no longer than somebody reads them.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::Path,
};

use harness::{
    audit::Audit,
    client::{Protocol, assert_same, get},
    scene::Scene,
};

#[tokio::test]
async fn a_follow_has_its_headers_before_the_first_byte_and_then_every_line_at_once() {
    let (open, filtered) = tokio::join!(Scene::open("follow"), Scene::filtered("follow"));
    for scene in [&open, &filtered] {
        for (protocol, pod) in [(Protocol::Http1, "one"), (Protocol::Http2, "two")] {
            scene.pod(pod, true).await;
            let file = scene.log_file(pod, "main");
            File::create(&file).unwrap();
            // Argo CD opens the log of the next pod only when the headers of this one are there.
            let target = scene.core(&format!("pods/{pod}/log?container=main&follow=true&timestamps=true"));
            let mut connection = scene.door.connect(protocol).await;
            let mut log = connection.stream(&target).await;
            assert_eq!(log.headers["content-type"], "text/plain");
            for number in 0..10 {
                append(&file, &format!("2026-01-01T00:00:0{number}Z line {number}\n"));
                assert_eq!(log.line().await.unwrap(), format!("2026-01-01T00:00:0{number}Z line {number}"));
            }
            // The container ends, and so does its log: cleanly, or Argo CD shows an error instead of what came.
            fs::remove_file(&file).unwrap();
            assert_eq!(log.line().await, None);
        }
    }
}

#[tokio::test]
async fn many_silent_logs_are_followed_one_after_the_other() {
    let scene = Scene::filtered("silent").await;
    let pods: Vec<String> = (0..5).map(|number| format!("pod-{number}")).collect();
    for pod in &pods {
        scene.pod(pod, true).await;
        File::create(scene.log_file(pod, "main")).unwrap();
    }
    let connection = scene.door.connect(Protocol::Http2).await;
    let mut logs = Vec::new();
    for pod in &pods {
        logs.push(connection.share().stream(&scene.core(&format!("pods/{pod}/log?follow=true"))).await);
    }
    for (pod, log) in pods.iter().zip(&mut logs).rev() {
        append(&scene.log_file(pod, "main"), &format!("from {pod}\n"));
        assert_eq!(log.line().await.unwrap(), format!("from {pod}"));
    }
}

#[tokio::test]
async fn a_follow_ends_at_the_api_server_when_its_reader_leaves() {
    let (open, filtered) = tokio::join!(Scene::open("leave"), Scene::filtered("leave"));
    for scene in [&open, &filtered] {
        scene.pod("pod", true).await;
        File::create(scene.log_file("pod", "main")).unwrap();
        for (protocol, wait) in [(Protocol::Http1, false), (Protocol::Http2, false), (Protocol::Http2, true)] {
            let mut audit = Audit::from_now();
            let target = scene.core(&format!("pods/pod/log?follow=true&limitBytes={}", 1 << 20));
            let mut connection = scene.door.connect(protocol).await;
            let mut log = connection.stream(&target).await;
            if wait {
                append(&scene.log_file("pod", "main"), "a line\n");
                log.line().await.unwrap();
            }
            audit.event("ResponseStarted", &target).await;
            assert_eq!(audit.completed(&target), Vec::<String>::new());
            drop(log);
            if protocol == Protocol::Http1 {
                drop(connection);
            }
            audit.soon_complete(&target).await;
        }
    }
}

#[tokio::test]
async fn every_option_of_a_log_means_what_it_means_to_the_api_server() {
    let (open, filtered) = tokio::join!(Scene::open("options"), Scene::filtered("options"));
    for scene in [&open, &filtered] {
        scene.pod("pod", true).await;
        let file = scene.log_file("pod", "main");
        let lines: String = (10..60).map(|second| format!("2026-01-01T00:00:{second}Z line {second}\n")).collect();
        fs::write(&file, &lines).unwrap();
        fs::write(file.with_extension("previous.log"), "2025-01-01T00:00:00Z before\n").unwrap();
        for query in [
            "",
            "?container=main",
            "?container=none",
            "?tailLines=2",
            "?tailLines=2&follow=false",
            "?previous=true",
            "?previous=true&timestamps=true",
            "?sinceTime=2026-01-01T00%3A00%3A50Z",
            "?sinceSeconds=1",
            "?limitBytes=100",
            "?timestamps=true&tailLines=1",
            "?tailLines=-1",
            "?sinceTime=nonsense",
        ] {
            let target = scene.core(&format!("pods/pod/log{query}"));
            for protocol in [Protocol::Http1, Protocol::Http2] {
                assert_same(&scene.door, protocol, || get(&target)).await;
            }
        }
        let (kubectl, direct) = (scene.kubectl(), scene.kubectl_direct());
        for args in [
            &["logs", "pod"][..],
            &["logs", "pod", "--previous"],
            &["logs", "pod", "--tail=3", "--timestamps"],
            &["logs", "pod", "-c", "none"],
        ] {
            assert_eq!(kubectl.run(args).await, direct.run(args).await, "{args:?}");
        }
        assert_eq!(kubectl.ok(&["logs", "pod", "--tail=2"]).await, "line 58\nline 59\n");
    }
}

#[tokio::test]
async fn a_log_of_twenty_megabytes_arrives_whole() {
    let scene = Scene::filtered("long").await;
    scene.pod("pod", true).await;
    let line = "0123456789abcdef".repeat(8);
    let log: String = (0..150_000).map(|number| format!("{number:08} {line}\n")).collect();
    fs::write(scene.log_file("pod", "main"), &log).unwrap();
    let answer = scene.door.ask(get(&scene.core("pods/pod/log"))).await.expect_status(200);
    assert!(answer.body == log.as_bytes(), "{} of {} bytes", answer.body.len(), log.len());
}

#[tokio::test]
async fn kubectl_follows_a_log_until_it_ends() {
    let scene = Scene::filtered("kubectl-logs").await;
    scene.pod("pod", true).await;
    let file = scene.log_file("pod", "main");
    fs::write(&file, "first\n").unwrap();
    let mut follow = scene.kubectl().start(&["logs", "-f", "pod"]);
    assert_eq!(follow.line().await.unwrap(), "first");
    append(&file, "second\n\nfourth\n");
    for expected in ["second", "", "fourth"] {
        assert_eq!(follow.line().await.unwrap(), expected);
    }
    fs::remove_file(&file).unwrap();
    assert_eq!(follow.line().await, None);
    assert_eq!(follow.end().await, Some(0));
}

fn append(file: &Path, text: &str) {
    OpenOptions::new().append(true).open(file).unwrap().write_all(text.as_bytes()).unwrap();
}
