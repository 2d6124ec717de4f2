//! Questions to an agent whose end of each pipe is in the test's hand.

use std::future::poll_fn;

use common::{drain, resp::frames};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};

use super::*;
use crate::doors::http::test_agent::{AgentPipe, TestAgents, not_served};

struct World {
    agents: Arc<TestAgents>,
    pipes: mpsc::Receiver<AgentPipe>,
    asked: Asked,
    _signal: drain::Signal,
}

impl World {
    fn new() -> Self {
        let (signal, watch) = drain::channel();
        let (agents, pipes) = TestAgents::new(watch);
        agents.attach("a", 8);
        Self { asked: Asked::new(agents.clone()), agents, pipes, _signal: signal }
    }

    fn ask(&mut self, key: &str) -> Ask {
        self.asked.ask(&AgentName::parse("a").unwrap(), frames::get(key.as_bytes()))
    }

    /// What has been asked is on its way.
    async fn said(&mut self) {
        poll_fn(|cx| {
            self.asked.poll_write(cx);
            Poll::Ready(())
        })
        .await;
    }

    async fn next_idle(&mut self) -> Option<Instant> {
        poll_fn(|cx| Poll::Ready(self.asked.drop_idle(cx))).await
    }

    /// The agent's end of a new pipe, on which these keys were asked for.
    async fn heard(&mut self, keys: &[&str]) -> AgentPipe {
        let mut pipe = self.pipes.recv().await.unwrap();
        for key in keys {
            let wanted = frames::get(key.as_bytes());
            let mut command = vec![0; wanted.len()];
            pipe.io.read_exact(&mut command).await.unwrap();
            assert_eq!(command, wanted);
        }
        pipe
    }

    async fn answer(&mut self, ask: &mut Ask) -> Result<Bytes, Refusal> {
        let event = poll_fn(|cx| self.asked.poll_answer(ask, cx)).await?;
        Ok(match event {
            ReplyEvent::Reply(reply) => reply.into_part().into_bytes(),
            ReplyEvent::Part(part) => part.into_bytes(),
        })
    }
}

#[tokio::test]
async fn questions_share_a_pipe_and_answers_come_in_their_order() {
    let mut world = World::new();
    let (mut one, mut two) = (world.ask("1"), world.ask("2"));
    world.said().await;
    let mut pipe = world.heard(&["1", "2"]).await;
    assert_eq!(world.agents.free_slots("a"), 7);
    pipe.io.write_all(b"$1\r\nx\r\n$-1\r\n").await.unwrap();
    pipe.io.flush().await.unwrap();
    assert_eq!(world.answer(&mut one).await.unwrap(), "$1\r\nx\r\n");
    assert_eq!(world.answer(&mut two).await.unwrap(), "$-1\r\n");
    assert_eq!(world.agents.free_slots("a"), 8);
}

#[tokio::test]
async fn a_pipe_that_breaks_before_an_answer_is_made_good_once() {
    let mut world = World::new();
    let (mut one, mut two) = (world.ask("1"), world.ask("2"));
    world.said().await;
    drop(world.heard(&["1", "2"]).await);
    // Each on a pipe of its own: further questions may be asked meanwhile, and their answers must not come first.
    let agents = world.agents.clone();
    let answering = async {
        let mut pipes = Vec::new();
        for key in ["1", "2"] {
            let mut pipe = agents_pipe(&mut world.pipes, key).await;
            pipe.io.write_all(format!("$1\r\n{key}\r\n").as_bytes()).await.unwrap();
            pipe.io.flush().await.unwrap();
            pipes.push(pipe);
        }
        pipes
    };
    let asked = &mut world.asked;
    let asking = async {
        for (ask, key) in [(&mut one, "1"), (&mut two, "2")] {
            let event = poll_fn(|cx| asked.poll_answer(ask, cx)).await.unwrap();
            let ReplyEvent::Reply(reply) = event else { panic!("an answer in parts") };
            assert_eq!(reply.part().bytes(), format!("$1\r\n{key}\r\n").as_bytes());
        }
    };
    tokio::join!(answering, asking);
    assert_eq!(agents.free_slots("a"), 8);
}

async fn agents_pipe(pipes: &mut mpsc::Receiver<AgentPipe>, key: &str) -> AgentPipe {
    let mut pipe = pipes.recv().await.unwrap();
    let mut command = vec![0; frames::get(key.as_bytes()).len()];
    pipe.io.read_exact(&mut command).await.unwrap();
    assert_eq!(command, frames::get(key.as_bytes()));
    pipe
}

#[tokio::test]
async fn a_pipe_that_breaks_twice_or_within_an_answer_is_told() {
    let mut world = World::new();
    let mut ask = world.ask("1");
    world.said().await;
    drop(world.heard(&["1"]).await);
    let World { pipes, asked, .. } = &mut world;
    let again = async { drop(agents_pipe(pipes, "1").await) };
    let (answer, ()) = tokio::join!(poll_fn(|cx| asked.poll_answer(&mut ask, cx)), again);
    assert_eq!(answer, Err(Refusal::TunnelBroken));
    let mut ask = world.ask("2");
    world.said().await;
    let mut pipe = world.heard(&["2"]).await;
    pipe.io.write_all(b"$9\r\nhalf").await.unwrap();
    pipe.io.flush().await.unwrap();
    assert_eq!(world.answer(&mut ask).await.unwrap(), "$9\r\nhalf");
    drop(pipe);
    assert_eq!(world.answer(&mut ask).await, Err(Refusal::TunnelBroken));
}

#[tokio::test]
async fn who_cannot_be_asked_is_told_at_once() {
    let mut world = World::new();
    world.agents.attach_refusing("a", not_served());
    let mut ask = world.ask("1");
    world.said().await;
    assert_eq!(world.answer(&mut ask).await, Err(Refusal::ProxyDisabled));
    world.agents.detach("a");
    let mut ask = world.ask("1");
    assert_eq!(ask.refusal(), Some(&Refusal::AgentNotConnected));
    assert_eq!(world.answer(&mut ask).await, Err(Refusal::AgentNotConnected));
}

#[tokio::test(start_paused = true)]
async fn a_silent_agent_is_not_waited_for_and_nothing_else_on_its_pipe_is() {
    let mut world = World::new();
    let (mut one, mut two) = (world.ask("1"), world.ask("2"));
    world.said().await;
    let pipe = world.heard(&["1", "2"]).await;
    tokio::time::advance(DEADLINE).await;
    assert_eq!(world.answer(&mut one).await, Err(Refusal::AgentTimeout));
    assert_eq!(world.answer(&mut two).await, Err(Refusal::AgentTimeout));
    pipe.ended.await.unwrap();
    assert_eq!(world.agents.free_slots("a"), 8);
}

#[tokio::test]
async fn what_nobody_waits_for_is_thrown_away() {
    let mut world = World::new();
    let (one, mut two, three) = (world.ask("1"), world.ask("2"), world.ask("3"));
    world.said().await;
    let mut pipe = world.heard(&["1", "2", "3"]).await;
    world.asked.forget(&one);
    pipe.io.write_all(b"$1\r\nx\r\n$1\r\ny\r\n").await.unwrap();
    pipe.io.flush().await.unwrap();
    assert_eq!(poll_fn(|cx| world.asked.poll_begun(&mut two, cx)).await, None);
    assert_eq!(world.answer(&mut two).await.unwrap(), "$1\r\ny\r\n");
    // With nothing more to come, the agent is let go.
    world.asked.forget(&three);
    pipe.ended.await.unwrap();
    assert_eq!(world.agents.free_slots("a"), 8);
}

#[tokio::test]
async fn an_idle_pipe_that_the_agent_ends_is_let_go() {
    let mut world = World::new();
    let mut ask = world.ask("1");
    world.said().await;
    let mut pipe = world.heard(&["1"]).await;
    pipe.io.write_all(b"$-1\r\n").await.unwrap();
    pipe.io.flush().await.unwrap();
    world.answer(&mut ask).await.unwrap();
    assert!(world.next_idle().await.is_some());
    pipe.io.shutdown().await.unwrap();
    let asked = &mut world.asked;
    poll_fn(|cx| if asked.drop_idle(cx).is_none() { Poll::Ready(()) } else { Poll::Pending }).await;
    pipe.ended.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_idle_pipe_is_let_go() {
    let mut world = World::new();
    let mut ask = world.ask("1");
    world.said().await;
    let mut pipe = world.heard(&["1"]).await;
    assert_eq!(world.next_idle().await, None);
    pipe.io.write_all(b"-ERR no\r\n").await.unwrap();
    pipe.io.flush().await.unwrap();
    assert_eq!(poll_fn(|cx| world.asked.poll_begun(&mut ask, cx)).await.unwrap(), "-ERR no\r\n");
    assert_eq!(world.answer(&mut ask).await.unwrap(), "-ERR no\r\n");
    assert_eq!(world.next_idle().await, Some(Instant::now() + IDLE));
    tokio::time::advance(IDLE).await;
    assert_eq!(world.next_idle().await, None);
    pipe.ended.await.unwrap();
}
