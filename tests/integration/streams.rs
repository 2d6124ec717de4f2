//! Upgraded connections through the door: exec, attach, port-forward and cp, over WebSocket and over SPDY, by real
//! kubectl and by kube-rs.

use std::{ffi::OsStr, fs, path::Path, process::Stdio};

use futures_util::future::join_all;
use harness::{
    audit::Audit,
    client::kube,
    cluster::cluster,
    kubectl::Kubectl,
    scene::{AGENT, Scene},
    soon,
};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{AttachParams, TerminalSize},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// How kubectl upgrades. It falls back to SPDY by itself, so what it did is looked up at the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    WebSocket,
    Spdy,
}

#[tokio::test]
async fn exec_takes_stdin_to_its_end_and_gives_back_output_errors_and_exit_code() {
    each("exec", async |scene, over| {
        let pod = over.pod();
        let kubectl = over.kubectl(scene);
        let mut audit = Audit::from_now();
        let script = "cat; echo to stderr >&2; exit 7";
        let output = kubectl.run_with_input(&["exec", "-i", pod, "--", "sh", "-c", script], b"one\ntwo").await;
        assert_eq!((output.code, output.text()), (Some(7), "one\ntwo".to_owned()), "{}", output.stderr);
        assert_eq!(output.stderr, "to stderr\ncommand terminated with exit code 7\n");
        assert_eq!(kubectl.ok(&["exec", pod, "--", "echo", "a b", "c"]).await, "a b c\n");
        over.assert_used(&mut audit, scene, "exec").await;
        let direct = over.set(scene.kubectl_direct());
        for args in [
            &["exec", pod, "--", "no-such-command"][..],
            &["exec", pod, "-c", "none", "--", "id"],
            &["exec", pod, "--", "sh", "-c", "kill -9 $$"],
        ] {
            assert_eq!(kubectl.run(args).await, direct.run(args).await, "{args:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn twelve_megabytes_pass_through_exec_and_cp_in_both_directions() {
    each("large", async |scene, over| {
        let pod = over.pod();
        let kubectl = over.kubectl(scene);
        let mut audit = Audit::from_now();
        let data = noise(12 << 20);
        let both = kubectl.run_with_input(&["exec", "-i", pod, "--", "cat"], &data).await;
        assert!(both.code == Some(0) && both.stdout == data, "{} bytes: {}", both.stdout.len(), both.stderr);

        let scratch = cluster().kubelet_dir().join(format!("{}_{pod}", scene.namespace));
        let (there, back) = (scene.world.folder().join("there"), scene.world.folder().join("back"));
        fs::write(&there, &data).unwrap();
        kubectl.ok(&["cp", path(&there), &format!("{pod}:copied")]).await;
        assert!(fs::read(scratch.join("copied")).unwrap() == data);
        kubectl.ok(&["cp", &format!("{pod}:copied"), path(&back)]).await;
        assert!(fs::read(&back).unwrap() == data);
        over.assert_used(&mut audit, scene, "exec").await;
    })
    .await;
}

#[tokio::test]
async fn attach_carries_what_is_typed_and_what_is_said() {
    each("attach", async |scene, over| {
        let pod = over.pod();
        let mut audit = Audit::from_now();
        let output = over.kubectl(scene).run_with_input(&["attach", "-i", pod], b"hello\nworld\n").await;
        assert_eq!((output.code, output.text()), (Some(0), "hello\nworld\n".to_owned()), "{}", output.stderr);
        over.assert_used(&mut audit, scene, "attach").await;
    })
    .await;
}

#[tokio::test]
async fn a_terminal_is_one_at_the_far_end() {
    each("terminal", async |scene, over| {
        let pod = over.pod();
        let mut audit = Audit::from_now();
        // kubectl tells the size when the command runs already.
        let command = r#"tty; until test "$(stty size)" = "33 77"; do sleep 0.05; done; echo as large; exit 6"#;
        let kubectl = over.kubectl(scene).command(&["exec", "-it", pod, "--", "sh", "-c", command]);
        let quoted = |word: &OsStr| format!("'{}'", word.to_str().unwrap());
        let words = [kubectl.as_std().get_program()].into_iter().chain(kubectl.as_std().get_args());
        let line = words.map(quoted).collect::<Vec<_>>().join(" ");
        // kubectl wants a terminal at its own end, too.
        let mut script = tokio::process::Command::new("script");
        script.args(["-qec", &format!("stty rows 33 cols 77; {line}"), "/dev/null"]).stdin(Stdio::null());
        for (name, value) in kubectl.as_std().get_envs() {
            if let Some(value) = value {
                script.env(name, value);
            }
        }
        let output = soon(script.output()).await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("as large") && said.contains("/dev/pts/"), "{said}");
        assert_eq!(output.status.code(), Some(6), "{said}");
        over.assert_used(&mut audit, scene, "exec").await;
    })
    .await;
}

#[tokio::test]
async fn forwarded_ports_carry_many_connections_and_half_closed_ones() {
    each("forward", async |scene, over| {
        let pod = over.pod();
        let mut audit = Audit::from_now();
        let (port, _echo) = echo().await;
        let mut forward = over.kubectl(scene).start(&["port-forward", &format!("pod/{pod}"), &format!(":{port}")]);
        let said = forward.line_with("Forwarding from 127.0.0.1:").await;
        let local: u16 = said.split([':', ' ']).find_map(|word| word.parse().ok()).unwrap();
        let exchanges = (0..6_usize).map(|number| async move {
            let mut connection = TcpStream::connect(("127.0.0.1", local)).await.unwrap();
            let data = noise(200_000 + number);
            let (mut reader, mut writer) = connection.split();
            let mut echoed = vec![0; data.len()];
            let write = async {
                writer.write_all(&data).await.unwrap();
            };
            let (read, ()) = soon(async { tokio::join!(reader.read_exact(&mut echoed), write) }).await;
            read.unwrap();
            assert!(echoed == data, "{number}");
            // Our end is closed, theirs speaks on.
            writer.shutdown().await.unwrap();
            let mut last = String::new();
            soon(reader.read_to_string(&mut last)).await.unwrap();
            assert_eq!(last, format!("{} bytes", data.len()));
        });
        join_all(exchanges).await;
        forward.child.kill().await.unwrap();
        over.assert_used(&mut audit, scene, "portforward").await;
    })
    .await;
}

#[tokio::test]
async fn kube_rs_runs_a_terminal_and_resizes_it() {
    let scene = Scene::filtered("kube-rs-tty").await;
    scene.pod("pod", true).await;
    let pods: Api<Pod> = Api::namespaced(kube(&scene.world.kubeconfig(AGENT)).await, &scene.namespace);
    let script = r#"for size in "25 81" "43 132"; do
        until test "$(stty size)" = "$size"; do sleep 0.05; done; echo "is $size"; read go
    done; exit 5"#;
    let mut exec = pods.exec("pod", ["sh", "-c", script], &AttachParams::interactive_tty()).await.unwrap();
    let mut stdin = exec.stdin().unwrap();
    let mut lines = BufReader::new(exec.stdout().unwrap()).lines();
    let mut size = exec.terminal_size().unwrap();
    let status = exec.take_status().unwrap();
    for (width, height) in [(81, 25), (132, 43)] {
        futures_util::SinkExt::send(&mut size, TerminalSize { width, height }).await.unwrap();
        let expected = format!("is {height} {width}");
        while soon(lines.next_line()).await.unwrap().expect("the terminal says its size").trim_end() != expected {}
        stdin.write_all(b"go\n").await.unwrap();
    }
    let status = soon(status).await.unwrap();
    assert_eq!(status.reason.as_deref(), Some("NonZeroExitCode"), "{status:?}");
    assert_eq!(status.details.unwrap().causes.unwrap()[0].message.as_deref(), Some("5"));
}

#[tokio::test]
async fn kube_rs_runs_many_commands_at_once_and_forwards_ports() {
    let scene = Scene::open("kube-rs-streams").await;
    scene.pod("pod", false).await;
    let pods: Api<Pod> = Api::namespaced(kube(&scene.world.kubeconfig(AGENT)).await, &scene.namespace);
    let commands = (0..20).map(|number| {
        let pods = &pods;
        async move {
            let params = AttachParams::default().stdin(true);
            let mut exec = pods.exec("pod", ["sh", "-c", "cat; exit 3"], &params).await.unwrap();
            let (mut stdin, mut stdout) = (exec.stdin().unwrap(), exec.stdout().unwrap());
            let status = exec.take_status().unwrap();
            let sent = format!("command {number}\n").repeat(1000);
            let write = async {
                stdin.write_all(sent.as_bytes()).await.unwrap();
                stdin.shutdown().await.unwrap();
                drop(stdin);
            };
            let mut said = String::new();
            let (read, ()) = soon(async { tokio::join!(stdout.read_to_string(&mut said), write) }).await;
            read.unwrap();
            assert!(said == sent, "{number}: {} bytes", said.len());
            assert_eq!(soon(status).await.unwrap().reason.as_deref(), Some("NonZeroExitCode"));
        }
    });
    join_all(commands).await;

    let (port, _echo) = echo().await;
    let mut forward = pods.portforward("pod", &[port]).await.unwrap();
    let mut stream = forward.take_stream(port).unwrap();
    stream.write_all(b"over WebSocket channels").await.unwrap();
    let mut echoed = [0; 23];
    soon(stream.read_exact(&mut echoed)).await.unwrap();
    assert_eq!(&echoed, b"over WebSocket channels");
}

/// Runs a test over both protocols and with the filter off and on, each beside a pod of its own.
async fn each(name: &str, test: impl AsyncFn(&Scene, Over)) {
    let (open, filtered) = tokio::join!(Scene::open(name), Scene::filtered(name));
    for scene in [&open, &filtered] {
        for over in [Over::WebSocket, Over::Spdy] {
            scene.pod(over.pod(), true).await;
            test(scene, over).await;
        }
    }
}

/// Says back what it hears at once, and at the end how much that was.
async fn echo() -> (u16, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut accepting = JoinSet::new();
    accepting.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut connection, _)) = listener.accept().await {
            connections.spawn(async move {
                let (mut reader, mut writer) = connection.split();
                let heard = tokio::io::copy(&mut reader, &mut writer).await.unwrap();
                writer.write_all(format!("{heard} bytes").as_bytes()).await.unwrap();
            });
        }
    });
    (port, accepting)
}

/// Bytes that no protocol on the way would guess.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

// === impl Over ===

impl Over {
    fn pod(self) -> &'static str {
        if self == Self::WebSocket { "websocket" } else { "spdy" }
    }

    fn kubectl(self, scene: &Scene) -> Kubectl {
        self.set(scene.kubectl())
    }

    fn set(self, kubectl: Kubectl) -> Kubectl {
        let websockets = if self == Self::WebSocket { "true" } else { "false" };
        kubectl.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets).env("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets)
    }

    /// Asserts that kubectl did not fall back: over WebSocket it GETs, over SPDY it POSTs.
    async fn assert_used(self, audit: &mut Audit, scene: &Scene, subresource: &str) {
        let target = scene.core(&format!("pods/{}/{subresource}", self.pod()));
        audit.event("ResponseComplete", &target).await;
        let verb = if self == Self::WebSocket { "get " } else { "create " };
        let seen = audit.completed(&target);
        assert!(seen.iter().all(|line| line.starts_with(verb)), "{self:?}: {seen:?}");
    }
}
