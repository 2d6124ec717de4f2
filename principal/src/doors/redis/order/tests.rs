//! The order of replies, with frames as Redis 7 sends them.

use bytes::BytesMut;
use common::resp::replies::{Limits, ReplyEvent, ReplyScanner};

use super::*;

/// What Redis says, frame by frame: what each of them means, as a word.
fn meanings(order: &mut Order, frames: &str) -> Vec<&'static str> {
    let mut scanner = ReplyScanner::new(Limits::default());
    let mut input = BytesMut::from(frames);
    let mut words = Vec::new();
    while let Some(event) = scanner.next(&mut input).unwrap() {
        let ReplyEvent::Reply(reply) = event else { panic!("all frames are whole") };
        words.push(match order.meaning(&reply) {
            Meaning::Passes => "passes",
            Meaning::Confirms(what) => {
                let text = std::str::from_utf8(reply.part().bytes()).unwrap().trim_end();
                let (_, number) = text.rsplit_once(':').unwrap();
                order.confirmed(what, number.parse().unwrap());
                "confirms"
            }
            Meaning::Becomes(bytes) if bytes.is_empty() => "vanishes",
            Meaning::Becomes(_) => "becomes",
            Meaning::Allows(_) => "allows",
            Meaning::Refuses(_) => "refuses",
            Meaning::Resets => "resets",
            Meaning::Login(Login::Missing) => "no login",
            Meaning::Login(_) => "login",
        });
    }
    assert!(input.is_empty());
    words
}

fn order(expected: impl IntoIterator<Item = Expected>) -> Order {
    let mut order = Order::default();
    expected.into_iter().for_each(|expected| order.push(expected));
    order
}

fn read(shape: Shape) -> Expected {
    Expected::Read(Read { shape, asks: VecDeque::new(), began: Instant::now() })
}

#[test]
fn many_plain_commands_are_one_entry() {
    let mut order = order((0..100_000).map(|_| Expected::Plain(1)));
    assert_eq!(order.held(), size_of::<Expected>());
    assert_eq!(meanings(&mut order, &"+OK\r\n".repeat(99_999)).len(), 99_999);
    order.push(read(Shape::Whole));
    assert_eq!(meanings(&mut order, "+OK\r\n$-1\r\n"), ["passes", "allows"]);
    assert!(order.is_empty());
    assert_eq!(order.held(), 0);
}

#[test]
fn what_is_held_of_commands_is_counted_in_bytes() {
    let ask = || Ask::refused(common::Refusal::AgentNotConnected);
    let long = Read {
        shape: Shape::Sum(None),
        asks: (0..1_000).map(|number| (number, ask())).collect(),
        began: Instant::now(),
    };
    let mut order = order([Expected::Plain(1), Expected::Read(long), Expected::Said(vec![0; 5_000].into())]);
    assert!(order.held() > 1_000 * size_of::<Ask>() + 5_000);
    order.push(Expected::Reset);
    order.push(Expected::Confirmations(Subscribed::Channels, Some(1)));
    let frames = "+OK\r\n:3\r\n:1\r\n";
    assert_eq!(meanings(&mut order, frames), ["passes", "vanishes", "allows"]);
    assert_eq!(order.said().map(|said| said.len()), Some(5_000));
    assert_eq!(order.said(), None);
    assert_eq!(meanings(&mut order, "+RESET\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"), ["resets", "confirms"]);
    assert!(order.is_empty());
    assert_eq!(order.held(), 0);
}

#[test]
fn an_error_in_place_of_a_value_passes() {
    let mut order = order([read(Shape::Whole), read(Shape::Whole), read(Shape::Elements)]);
    let words = meanings(&mut order, "-NOAUTH Authentication required.\r\n_\r\n-NOPERM no\r\n");
    assert_eq!(words, ["refuses", "allows", "refuses"]);
}

#[test]
fn confirmations_are_told_apart_from_messages_and_replies() {
    let plain = || Expected::Plain(1);
    let mut order = order([
        plain(),
        Expected::Confirmations(Subscribed::Channels, Some(2)),
        Expected::Confirmations(Subscribed::Patterns, Some(1)),
        plain(),
    ]);
    // The first is a list that happens to begin like a confirmation.
    let words = meanings(
        &mut order,
        "*2\r\n$9\r\nsubscribe\r\n$1\r\na\r\n\
         *3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nm\r\n\
         *3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n*3\r\n$10\r\npsubscribe\r\n$1\r\n*\r\n:3\r\n\
         *4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\na\r\n$1\r\nm\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n",
    );
    assert_eq!(words, ["passes", "confirms", "passes", "confirms", "confirms", "passes", "passes"]);
    assert!(order.is_empty());
}

#[test]
fn to_unsubscribe_from_all_is_confirmed_for_each() {
    let mut order = order([
        Expected::Confirmations(Subscribed::Channels, Some(3)),
        Expected::Confirmations(Subscribed::Patterns, Some(1)),
        Expected::Confirmations(Subscribed::Channels, None),
        Expected::Confirmations(Subscribed::Channels, None),
        Expected::Confirmations(Subscribed::Channels, Some(1)),
        read(Shape::Whole),
    ]);
    let push = |kind: &str, channel: &str, left: u64| {
        format!(">3\r\n${}\r\n{kind}\r\n${}\r\n{channel}\r\n:{left}\r\n", kind.len(), channel.len())
    };
    let said = [
        // The same twice is one subscription.
        push("subscribe", "a", 1),
        push("subscribe", "a", 1),
        push("subscribe", "b", 2),
        push("psubscribe", "*", 3),
        push("unsubscribe", "a", 2),
        push("unsubscribe", "b", 1),
        ">3\r\n$11\r\nunsubscribe\r\n_\r\n:1\r\n".to_owned(),
        push("unsubscribe", "x", 1),
        "-ERR wrong\r\n".to_owned(),
    ];
    let words = meanings(&mut order, &said.concat());
    assert_eq!(words.get(8), Some(&"refuses"));
    assert!(words.iter().take(8).all(|word| *word == "confirms" || *word == "passes"), "{words:?}");
    assert!(order.is_empty());
}

#[test]
fn a_refused_subscription_is_one_reply() {
    let mut order =
        order([Expected::Confirmations(Subscribed::Channels, Some(5)), read(Shape::Whole), Expected::Plain(1)]);
    assert_eq!(meanings(&mut order, "-NOPERM no\r\n$1\r\nx\r\n+OK\r\n"), ["passes", "allows", "passes"]);
}

#[test]
fn a_transaction_begins_and_ends_when_redis_says_so() {
    let mut order = order([Expected::Multi]);
    assert_eq!(order.in_transaction(), None);
    meanings(&mut order, "-NOAUTH no\r\n");
    assert_eq!(order.in_transaction(), Some(false));
    order.push(Expected::Multi);
    order.push(Expected::Multi);
    meanings(&mut order, "+OK\r\n-ERR MULTI calls can not be nested\r\n");
    assert_eq!(order.in_transaction(), Some(true));
    order.push(Expected::Discard);
    meanings(&mut order, "-ERR wrong number of arguments for 'discard' command\r\n");
    assert_eq!(order.in_transaction(), Some(true));
    order.push(Expected::Exec);
    meanings(&mut order, "-EXECABORT Transaction discarded because of previous errors.\r\n");
    assert_eq!(order.in_transaction(), Some(false));
    order.push(Expected::Multi);
    order.push(Expected::Reset);
    meanings(&mut order, "+OK\r\n+RESET\r\n");
    assert_eq!(order.in_transaction(), Some(false));
}

#[test]
fn the_protocol_is_the_one_that_redis_granted() {
    let mut order = order([Expected::Hello(Protocol::Resp3)]);
    meanings(&mut order, "-NOAUTH no\r\n");
    assert_eq!(order.protocol(), Protocol::Resp2);
    order.push(Expected::Hello(Protocol::Resp3));
    meanings(&mut order, "%1\r\n$5\r\nproto\r\n:3\r\n");
    assert_eq!(order.protocol(), Protocol::Resp3);
    order.push(Expected::Reset);
    assert_eq!(meanings(&mut order, "+RESET\r\n"), ["resets"]);
    assert_eq!(order.protocol(), Protocol::Resp2);
}

#[test]
fn what_a_monitor_sees_answers_nothing() {
    let mut order = order([Expected::Monitor, read(Shape::Whole), Expected::Plain(1)]);
    let said = "+OK\r\n+1700000000.1 [0 127.0.0.1:1] \"GET\" \"x\"\r\n$-1\r\n+1700000000.2 [0 lua] \"x\"\r\n+PONG\r\n";
    assert_eq!(meanings(&mut order, said), ["passes", "passes", "allows", "passes", "passes"]);
}

#[test]
fn what_redis_counts_twice_is_subtracted() {
    let mut order = order([read(Shape::Sum(None)), read(Shape::Sum(None)), Expected::Plain(1)]);
    let words = meanings(&mut order, ":3\r\n:1\r\n-NOPERM no\r\n-NOPERM no\r\n+OK\r\n");
    assert_eq!(words, ["vanishes", "allows", "refuses", "vanishes", "passes"]);
}

#[test]
fn our_own_words_wait_for_their_turn() {
    let mut order = order([Expected::Plain(1), Expected::Said("a".into()), Expected::Said("b".into())]);
    assert_eq!(order.said(), None);
    meanings(&mut order, "+OK\r\n");
    assert_eq!((order.said().unwrap(), order.said().unwrap()), ("a".into(), "b".into()));
    assert_eq!(order.said(), None);
}

#[test]
fn a_ping_of_ours_tells_whether_the_client_has_logged_in() {
    for (reply, meaning) in [
        ("-NOAUTH Authentication required.\r\n", "no login"),
        ("+PONG\r\n", "login"),
        ("-NOPERM this user has no permissions to run the 'ping' command\r\n", "login"),
        // To a RESP2 client that subscribes.
        ("*2\r\n$4\r\npong\r\n$0\r\n\r\n", "login"),
    ] {
        let mut order = order([Expected::Plain(1), Expected::Login, Expected::Plain(1)]);
        assert_eq!(meanings(&mut order, &format!("+OK\r\n{reply}+OK\r\n")), ["passes", meaning, "passes"]);
    }
}
