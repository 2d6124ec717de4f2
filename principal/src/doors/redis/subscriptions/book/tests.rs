use super::*;

const LINGER: Duration = Duration::from_secs(30);

struct Rig {
    book: Book,
    places: Arc<Semaphore>,
    now: Instant,
}

impl Rig {
    /// A book whose agent and publisher are there.
    fn new() -> Self {
        let mut book = Book::new(LINGER);
        book.found();
        book.publisher_is(Presence::Here);
        Self { book, places: Arc::new(Semaphore::new(100_000)), now: Instant::now() }
    }

    /// Somebody listens. Whether it waits.
    fn listen(&mut self, channel: &str) -> bool {
        self.book.listen(channel.into(), &self.places).unwrap().settled.is_some()
    }

    fn leave(&mut self, channel: &str) {
        self.book.leave(&channel.into(), self.now);
    }

    /// What is asked now, all of it.
    fn asks(&mut self) -> Vec<String> {
        let asks = std::iter::from_fn(|| self.book.next_ask(self.now));
        asks.map(|ask| match ask {
            Ask::Subscribe(channel) => format!("+{channel}"),
            Ask::Unsubscribe(channel) => format!("-{channel}"),
            Ask::Ping => "ping".to_owned(),
        })
        .collect()
    }

    fn stands(&mut self, channel: &str) {
        self.book.stands(&channel.into(), self.now);
    }

    fn gaps(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.book.next_gap()).map(|gap| gap.to_string()).collect()
    }

    /// Listens to these, and all stand.
    fn standing(channels: &[&str]) -> Self {
        let mut rig = Self::new();
        for channel in channels {
            rig.listen(channel);
        }
        assert_eq!(rig.asks().len(), channels.len());
        for channel in channels {
            rig.stands(channel);
        }
        assert_eq!(rig.gaps(), [""; 0]);
        rig
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
    }
}

#[test]
fn a_thousand_listeners_are_one_subscription() {
    let mut rig = Rig::new();
    for _ in 0..1_000 {
        assert!(rig.listen("c"), "it waits for the subscription");
    }
    assert_eq!(rig.asks(), ["+c"]);
    rig.stands("c");
    assert!(!rig.listen("c"), "it stands");
    assert_eq!((rig.book.levels(), rig.asks(), rig.gaps()), ((1, 1_001), vec![], vec![]));
    for _ in 0..1_000 {
        rig.leave("c");
    }
    assert_eq!(rig.book.next_expiry(), None);
    rig.leave("c");
    assert_eq!(rig.book.levels(), (1, 0));
}

#[test]
fn a_channel_to_which_nobody_listens_stays_for_a_while() {
    let mut rig = Rig::standing(&["c", "d"]);
    rig.leave("c");
    rig.wait(LINGER / 2);
    rig.leave("d");
    assert!(!rig.listen("c"), "it stands still");
    rig.wait(LINGER / 2);
    assert_eq!(rig.asks(), [""; 0]);
    rig.wait(LINGER / 2);
    assert_eq!(rig.asks(), ["-d"]);
    assert_eq!(rig.book.levels(), (1, 1));
    rig.book.left(&"d".into());
    assert!(rig.book.subscribed(b"d").is_none());
    rig.leave("c");
    rig.wait(LINGER);
    assert_eq!(rig.asks(), ["-c"]);
    assert!(!rig.book.is_empty());
    rig.book.left(&"c".into());
    assert!(rig.book.is_empty());
    assert_eq!(rig.places.available_permits(), 100_000);
}

#[test]
fn who_comes_while_a_channel_is_left_has_it_asked_for_again() {
    let mut rig = Rig::standing(&["c"]);
    rig.leave("c");
    rig.wait(LINGER);
    assert_eq!(rig.asks(), ["-c"]);
    assert!(rig.listen("c"));
    assert_eq!(rig.asks(), [""; 0]);
    rig.book.left(&"c".into());
    assert_eq!(rig.asks(), ["+c"]);
    rig.stands("c");
    assert_eq!((rig.gaps(), rig.book.levels()), (vec![], (1, 1)));
}

#[test]
fn who_leaves_before_there_is_an_answer_leaves_nothing_behind() {
    let mut rig = Rig::new();
    rig.listen("asked");
    assert_eq!(rig.asks(), ["+asked"]);
    rig.listen("refused");
    assert_eq!(rig.asks(), ["+refused"]);
    for channel in ["asked", "refused"] {
        rig.leave(channel);
    }
    rig.wait(LINGER);
    assert_eq!(rig.asks(), [""; 0]);
    rig.stands("asked");
    rig.book.refused(&"refused".into());
    rig.wait(LINGER);
    assert_eq!(rig.asks(), ["-asked"]);
    rig.book.left(&"asked".into());
    assert!(rig.book.is_empty());
}

#[test]
fn who_comes_after_a_channel_was_refused_and_left_is_not_forgotten_with_it() {
    let mut rig = Rig::new();
    rig.listen("c");
    assert_eq!(rig.asks(), ["+c"]);
    rig.leave("c");
    rig.book.refused(&"c".into());
    assert!(rig.book.is_empty());
    rig.listen("c");
    rig.wait(LINGER);
    assert_eq!(rig.asks(), ["+c"]);
    rig.stands("c");
    assert_eq!(rig.book.levels(), (1, 1));
}

#[test]
fn a_pipe_that_is_lost_is_one_gap_for_each_channel_that_is_listened_to() {
    let mut rig = Rig::standing(&["c", "d", "nobody"]);
    rig.listen("asked");
    assert_eq!(rig.asks(), ["+asked"]);
    rig.leave("nobody");
    rig.book.lost();
    assert_eq!(rig.book.levels(), (0, 3));
    assert!(!rig.listen("late"), "it is known that there is nothing to wait for");
    assert_eq!((rig.asks(), rig.gaps()), (vec![], vec![]));
    rig.book.found();
    assert_eq!(rig.asks(), ["+asked", "+c", "+d", "+late"]);
    assert_eq!(rig.gaps(), [""; 0], "nothing stands yet");
    rig.stands("c");
    assert_eq!(rig.gaps(), ["c"]);
    for channel in ["d", "late", "asked"] {
        rig.stands(channel);
    }
    assert_eq!(rig.gaps(), ["asked", "d", "late"]);
    assert_eq!(rig.gaps(), [""; 0]);
}

#[test]
fn two_outages_before_the_gap_are_one_gap() {
    let mut rig = Rig::standing(&["c"]);
    for _ in 0..3 {
        rig.book.lost();
        rig.book.found();
        assert_eq!(rig.asks(), ["+c"]);
    }
    rig.stands("c");
    rig.book.publisher_is(Presence::Away);
    assert_eq!(rig.gaps(), [""; 0]);
    rig.book.publisher_is(Presence::Here);
    assert_eq!(rig.gaps(), ["c"]);
}

#[test]
fn a_publisher_that_was_away_is_a_gap_and_one_that_is_late_is_none() {
    let mut rig = Rig::new();
    rig.book.publisher_is(Presence::Hoped);
    assert!(rig.listen("c"));
    assert_eq!(rig.asks(), ["+c"]);
    rig.stands("c");
    assert!(rig.listen("c"), "nothing could be published yet");
    rig.book.publisher_is(Presence::Here);
    assert_eq!(rig.gaps(), [""; 0]);
    assert!(!rig.listen("c"));
    rig.book.publisher_is(Presence::Away);
    assert!(!rig.listen("c"), "it is known that nothing is published");
    assert!(!rig.listen("d"));
    assert_eq!(rig.asks(), ["+d"]);
    rig.stands("d");
    rig.book.publisher_is(Presence::Here);
    assert_eq!(rig.gaps(), ["c", "d"]);
}

#[test]
fn who_is_let_go_too_soon_is_owed_a_gap_and_who_is_not_is_owed_none() {
    let mut rig = Rig::new();
    rig.listen("c");
    rig.listen("d");
    rig.asks();
    rig.book.let_go(&"c".into());
    rig.stands("c");
    rig.stands("d");
    rig.book.let_go(&"d".into());
    assert_eq!(rig.gaps(), ["c"]);
}

#[test]
fn what_was_refused_is_asked_for_again_and_then_there_was_a_gap() {
    let mut rig = Rig::new();
    assert!(rig.listen("c"));
    rig.listen("d");
    rig.asks();
    rig.book.refused(&"c".into());
    rig.stands("d");
    assert!(!rig.listen("c"), "it is known that it is not to be had");
    assert_eq!(rig.asks(), [""; 0]);
    rig.book.retry();
    assert_eq!(rig.asks(), ["+c"]);
    rig.stands("c");
    assert_eq!(rig.gaps(), ["c"]);
}

#[test]
fn nobody_is_owed_what_nobody_listens_to() {
    let mut rig = Rig::standing(&["c"]);
    rig.book.publisher_is(Presence::Away);
    rig.leave("c");
    rig.book.miss(&"c".into());
    rig.book.publisher_is(Presence::Here);
    assert_eq!(rig.gaps(), [""; 0]);
}

#[test]
fn only_channels_that_stand_have_messages() {
    let mut rig = Rig::new();
    rig.listen("c");
    assert_eq!(rig.asks(), ["+c"]);
    assert!(rig.book.subscribed(b"c").is_none());
    rig.stands("c");
    assert!(rig.book.subscribed(b"c").is_some());
    assert!(rig.book.subscribed(b"d").is_none());
    assert!(rig.book.subscribed(b"\xff").is_none());
    rig.leave("c");
    rig.wait(LINGER);
    assert_eq!(rig.asks(), ["-c"]);
    assert!(rig.book.subscribed(b"c").is_none());
}

#[test]
fn answers_that_come_too_late_change_nothing() {
    let mut rig = Rig::standing(&["c"]);
    for channel in ["c", "unknown"] {
        rig.book.refused(&channel.into());
        rig.book.left(&channel.into());
        rig.stands(channel);
    }
    assert_eq!((rig.book.levels(), rig.asks(), rig.gaps()), ((1, 1), vec![], vec![]));
}

#[test]
fn there_is_a_limit_to_channels() {
    let mut rig = Rig::new();
    for number in 0..CHANNELS {
        rig.listen(&format!("{number:05}"));
    }
    assert_eq!(rig.book.listen("more".into(), &rig.places).unwrap_err(), Limit::ChannelsOfAgent);
    rig.listen("00000");
    assert_eq!(rig.asks().len(), CHANNELS);
    rig.book.lost();
    rig.leave("00001");
    assert!(!rig.listen("more"));
    let few = Arc::new(Semaphore::new(0));
    let mut other = Rig::new();
    assert_eq!(other.book.listen("c".into(), &few).unwrap_err(), Limit::Channels);
    assert!(other.book.is_empty());
}

/// Whatever happens, in any order: the levels are right, nothing is left when everybody has left, and a client that was
/// let go or told misses nothing without a gap.
#[test]
fn nobody_misses_anything_whatever_happens() {
    use proptest::prelude::*;

    // 2,000 cases, since most of what can go wrong takes several steps.
    let config = ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(steps in proptest::collection::vec((0..12_u8, 0..3_usize), 1..200))| {
        let names = ["a", "b", "c"];
        let mut rig = Rig::new();
        let mut listeners = [0_usize; 3];
        // Channels of which something was missed by somebody who listens since.
        let mut owed = [false; 3];
        let mut asked: Vec<Ask> = Vec::new();
        let mut here = (true, true);
        for (step, which) in steps {
            let name = names[which];
            match step {
                0 | 1 => {
                    listeners[which] += 1;
                    if !rig.listen(name) {
                        let good = here == (true, true) && rig.book.subscribed(name.as_bytes()).is_some();
                        owed[which] |= !good;
                    }
                }
                2 | 3 if listeners[which] > 0 => {
                    listeners[which] -= 1;
                    rig.leave(name);
                    owed[which] &= listeners[which] > 0;
                }
                4 if here.0 => {
                    rig.book.lost();
                    asked.clear();
                    here.0 = false;
                    for number in 0..3 {
                        owed[number] |= listeners[number] > 0;
                    }
                }
                5 if !here.0 => {
                    rig.book.found();
                    here.0 = true;
                }
                6 => {
                    here.1 = !here.1;
                    rig.book.publisher_is(if here.1 { Presence::Here } else { Presence::Away });
                    for number in 0..3 {
                        owed[number] |= !here.1 && listeners[number] > 0;
                    }
                }
                7 => rig.wait(LINGER),
                8 | 9 if here.0 => asked.extend(std::iter::from_fn(|| rig.book.next_ask(rig.now))),
                10 if here.0 => rig.book.retry(),
                11 if !asked.is_empty() => match asked.remove(0) {
                    Ask::Subscribe(channel) if which == 0 => {
                        rig.book.refused(&channel);
                        let number = names.iter().position(|name| **name == *channel).unwrap();
                        owed[number] |= listeners[number] > 0;
                    }
                    Ask::Subscribe(channel) => rig.stands(&channel),
                    Ask::Unsubscribe(channel) => rig.book.left(&channel),
                    Ask::Ping => {}
                },
                _ => {}
            }
            for gap in rig.gaps() {
                let number = names.iter().position(|name| **name == gap).unwrap();
                prop_assert!(owed[number], "a gap too many");
                owed[number] = false;
            }
            prop_assert_eq!(rig.book.levels().1, listeners.iter().sum::<usize>());
            for number in 0..3 {
                let good = here == (true, true) && rig.book.subscribed(names[number].as_bytes()).is_some();
                prop_assert!(!(good && owed[number]), "a gap too few");
            }
        }
        // Everybody leaves, the agent answers, time goes by.
        for (number, name) in names.iter().enumerate() {
            for _ in 0..listeners[number] {
                rig.leave(name);
            }
        }
        if !here.0 {
            rig.book.found();
        }
        for _ in 0..4 {
            asked.extend(std::iter::from_fn(|| rig.book.next_ask(rig.now)));
            for ask in asked.drain(..) {
                match ask {
                    Ask::Subscribe(channel) => rig.stands(&channel),
                    Ask::Unsubscribe(channel) => rig.book.left(&channel),
                    Ask::Ping => {}
                }
            }
            rig.wait(LINGER);
        }
        prop_assert!(rig.book.is_empty());
        prop_assert_eq!((rig.book.levels(), rig.places.available_permits()), ((0, 0), 100_000));
    });
}
