//! From the client to Redis, and to agents.

use std::{
    collections::VecDeque,
    io,
    task::{Context, Poll},
};

use common::{
    AgentKey, Refusal,
    resp::{
        commands::{Command, CommandEvent, Limits, Login, Part},
        frames::{self, ErrorCode},
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use tracing::debug;

use super::{Parts, Phase, Redis, Session, UNANSWERED, UNWRITTEN};
use crate::{
    agents::Route,
    doors::redis::{
        asked::Ask,
        judge::{self, Question, Verdict},
        metrics::{CommandClass, Side},
        order::{Expected, Read, Shape},
    },
};

impl<C: AsyncRead + AsyncWrite + Unpin> Session<C> {
    /// Takes what the client says, as long as there is room for what comes of it. Whether anything was taken.
    pub(super) fn poll_commands(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut moved = false;
        while self.has_room() {
            let event = match self.held.take() {
                Some(event) => event,
                None => match self.commands.next(self.from_client.bytes()) {
                    Ok(Some(event)) => event,
                    Ok(None) if self.commands.awaits_login() => {
                        if self.ask_login() {
                            continue;
                        }
                        return Ok(moved);
                    }
                    Ok(None) => match self.from_client.poll_read(&mut self.client, cx)? {
                        Poll::Ready(0) => {
                            self.phase = Phase::HalfClosed;
                            return Ok(true);
                        }
                        Poll::Ready(_) => {
                            moved = true;
                            continue;
                        }
                        Poll::Pending => return Ok(moved),
                    },
                    Err(error) => {
                        debug!(%error, "a Redis client broke the protocol");
                        self.shared.metrics.malformed();
                        self.order.push(Expected::Said(error.reply()));
                        self.from_client.bytes().clear();
                        self.phase = Phase::Ending;
                        return Ok(true);
                    }
                },
            };
            if !self.take(event) {
                return Ok(moved);
            }
            moved = true;
        }
        Ok(moved)
    }

    /// Redis takes little of who has not logged in, and says so before more comes; only it knows who has. Whether that is
    /// known now.
    fn ask_login(&mut self) -> bool {
        if self.asks_login {
            return false;
        }
        match self.order.is_let_in() {
            Some(true) => {
                self.set_login(Login::Done);
                return true;
            }
            Some(false) => {
                self.to_redis.push(frames::ping());
                self.order.push(Expected::Login);
                self.asks_login = true;
            }
            None => {}
        }
        false
    }

    pub(super) fn set_login(&mut self, login: Login) {
        self.asks_login = false;
        self.commands.set_limits(Limits { login, ..self.shared.limits });
    }

    fn has_room(&self) -> bool {
        self.phase == Phase::Open
            && !matches!(self.redis, Redis::Closed)
            && self.to_redis.len() < UNWRITTEN
            && self.order.held() < UNANSWERED
            && self.asked.has_room()
    }

    /// Whether it need not wait.
    fn take(&mut self, event: CommandEvent) -> bool {
        match event {
            CommandEvent::Command(command) => self.command(command),
            CommandEvent::Part(part) => {
                self.part(part);
                true
            }
            CommandEvent::Nothing(bytes) => {
                self.to_redis.push(bytes);
                true
            }
        }
    }

    fn command(&mut self, command: Command) -> bool {
        let verdict = judge::judge(&command, &self.order, &*self.shared.routes);
        let (class, is_whole) = (CommandClass::of(command.word()), command.is_whole());
        match verdict {
            Verdict::Pass(expected) => {
                if class == CommandClass::Write {
                    self.count_write(&command);
                } else {
                    self.shared.metrics.command(class, Side::Local);
                }
                self.parts = if matches!(expected, Expected::Long(_)) { Parts::Watch } else { Parts::Pass };
                self.order.push(expected);
                self.to_redis.push(command.into_part().into_bytes());
            }
            Verdict::Read(shape, questions) => {
                self.shared.metrics.command(class, Side::Agent);
                self.to_redis.push(command.into_part().into_bytes());
                if matches!(shape, Shape::Sum(_)) {
                    self.behind = Some(judge::count(&questions));
                }
                self.parts = Parts::Pass;
                let asks = self.ask(questions);
                self.order.push(Expected::Read(Read { shape, asks, began: Instant::now() }));
            }
            Verdict::Refuse(why) => {
                let reply = frames::error(ErrorCode::Err, why);
                match self.order.in_transaction() {
                    Some(false) => self.order.push(Expected::Said(reply)),
                    Some(true) => {
                        self.to_redis.push(judge::abort());
                        self.order.push(Expected::Replaced(reply));
                    }
                    None => return self.wait(command),
                }
                self.shared.metrics.refused(class);
                self.parts = Parts::Drop;
            }
            Verdict::Dismiss(why) => {
                self.order.push(Expected::Said(frames::error(ErrorCode::Err, why)));
                self.shared.metrics.refused(class);
                self.parts = Parts::Drop;
                self.phase = Phase::Ending;
            }
            Verdict::Wait => return self.wait(command),
        }
        if is_whole {
            self.parts = Parts::Pass;
            self.to_redis.extend(self.behind.take());
        }
        true
    }

    fn wait(&mut self, command: Command) -> bool {
        self.held = Some(CommandEvent::Command(command));
        false
    }

    fn part(&mut self, part: Part) {
        if self.parts == Parts::Watch && judge::reads_more(&part, &*self.shared.routes) {
            self.order.too_long(judge::too_long());
        }
        let is_last = part.is_last();
        if self.parts != Parts::Drop {
            self.to_redis.push(part.into_bytes());
        }
        if is_last {
            self.to_redis.extend(self.behind.take());
        }
    }

    fn ask(&mut self, questions: Vec<Question>) -> VecDeque<(u32, Ask)> {
        let ask = |Question { number, whom, command, .. }: Question| {
            let ask = match whom {
                Ok(agent) => self.asked.ask(&agent, command),
                Err(why) => Ask::refused(Refusal::Undecidable(why.into())),
            };
            (number, ask)
        };
        questions.into_iter().map(ask).collect()
    }

    /// Argo CD's server writes no keys of agents. Whoever does writes what nobody will read through this door.
    fn count_write(&self, command: &Command) {
        let key = command.key().and_then(AgentKey::parse);
        let side = match key.map(|key| self.shared.routes.route(&key)) {
            Some(Route::Agent(_)) => Side::Agent,
            _ => Side::Local,
        };
        self.shared.metrics.command(CommandClass::Write, side);
    }
}
