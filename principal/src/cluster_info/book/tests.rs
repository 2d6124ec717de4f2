use super::*;

fn agent(name: &str) -> AgentName {
    AgentName::parse(name).unwrap()
}

fn servers(list: &[(&str, &[&str])]) -> Servers {
    let server = |server: &&str| Arc::from(*server);
    list.iter().map(|(name, servers)| (agent(name), servers.iter().map(server).collect())).collect()
}

fn session(number: u64) -> SessionId {
    SessionId::try_from(number).unwrap()
}

fn figures(applications: i64) -> Figures {
    Figures { applications, ..Figures::default() }
}

/// All that is to be written: address, whether the agent is attached, and its Applications.
fn saves(book: &mut Book) -> Vec<(String, bool, Option<i64>)> {
    let saves = std::iter::from_fn(|| book.next_save());
    let applications = |save: &Save| save.figures.as_ref().map(|figures| figures.applications);
    saves.map(|save| (save.server.to_string(), save.is_attached, applications(&save))).collect()
}

fn away(server: &str) -> (String, bool, Option<i64>) {
    (server.into(), false, None)
}

fn attached(server: &str, applications: Option<i64>) -> (String, bool, Option<i64>) {
    (server.into(), true, applications)
}

/// Agent `a` with the address `x`, registered, attached and asked, and all that is written.
fn settled(now: Instant) -> Book {
    let mut book = Book::default();
    book.registered(servers(&[("a", &["x"])]), now);
    book.attached(&agent("a"), Some(session(1)));
    assert_eq!(book.next_ask(), Some((agent("a"), session(1))));
    book.told(&agent("a"), session(1), Some(figures(1)));
    saves(&mut book);
    book
}

#[tokio::test(start_paused = true)]
async fn an_address_is_written_when_it_is_new_and_no_more_when_it_is_gone() {
    let (mut book, now) = (Book::default(), Instant::now());
    let done = book.registered(servers(&[("a", &["x", "y"]), ("b", &["z"]), ("none", &[])]), now);
    assert_eq!((done.came, done.gone), (vec![agent("a"), agent("b")], vec![]));
    assert_eq!(saves(&mut book), [away("x"), away("y"), away("z")]);
    // The same again, an address more, one that has changed, and an agent that is gone.
    let done = book.registered(servers(&[("a", &["x", "y"]), ("b", &["z"])]), now);
    assert_eq!(done, Registered::default());
    assert_eq!(saves(&mut book), []);
    book.registered(servers(&[("a", &["w", "x", "y"]), ("b", &["v"])]), now);
    assert_eq!(saves(&mut book), [away("w"), away("v")]);
    // One that was to be written, and is no address any more.
    book.registered(servers(&[("a", &["x", "u"]), ("b", &["v"])]), now);
    let done = book.registered(servers(&[("a", &["x"])]), now);
    assert_eq!(done.gone, [agent("b")]);
    assert_eq!(saves(&mut book), []);
    book.attached(&agent("b"), Some(session(1)));
    assert_eq!((book.next_ask(), book.due.len()), (None, 1));
    book.registered(Servers::new(), now);
    assert!(book.next_due().is_none() && book.agents.is_empty() && !book.is_unsaved());
}

#[tokio::test(start_paused = true)]
async fn an_address_of_two_agents_is_the_firsts_and_is_told_of_once() {
    let (mut book, now) = (Book::default(), Instant::now());
    let both = || servers(&[("a", &["x"]), ("b", &["x", "y"])]);
    assert_eq!(book.registered(both(), now).contested, [(agent("b"), "x".into())]);
    assert_eq!(saves(&mut book), [away("x"), away("y")]);
    assert_eq!(book.registered(both(), now).contested, []);
    book.attached(&agent("b"), Some(session(1)));
    assert_eq!(saves(&mut book), [attached("y", None)]);
    // The first gives it up.
    let done = book.registered(servers(&[("b", &["x", "y"])]), now);
    assert_eq!((done.contested, done.gone), (vec![], vec![agent("a")]));
    assert_eq!(saves(&mut book), [attached("x", None)]);
    assert_eq!(book.registered(both(), now).contested, [(agent("b"), "x".into())]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_comes_goes_and_tells_is_written_at_once() {
    let now = Instant::now();
    let (mut book, a) = (settled(now), agent("a"));
    // The same session, and what is known already.
    book.attached(&a, Some(session(1)));
    book.told(&a, session(1), Some(figures(1)));
    assert_eq!((book.next_ask(), saves(&mut book)), (None, vec![]));
    book.told(&a, session(1), Some(figures(2)));
    assert_eq!(saves(&mut book), [attached("x", Some(2))]);
    // Another session without a gap: what was told stays, and it is asked anew.
    book.attached(&a, Some(session(2)));
    assert_eq!((book.next_ask(), saves(&mut book)), (Some((a.clone(), session(2))), vec![]));
    // What was said in a session that is over is not heard.
    book.told(&a, session(1), Some(figures(3)));
    book.failed(&a, session(1), now);
    assert_eq!(saves(&mut book), []);
    book.attached(&a, None);
    assert_eq!(saves(&mut book), [away("x")]);
    book.told(&a, session(2), Some(figures(3)));
    book.attached(&a, Some(session(3)));
    assert_eq!(saves(&mut book), [attached("x", None)]);
    // Nobody says anything of the cluster any more.
    book.told(&a, session(3), Some(figures(3)));
    book.told(&a, session(3), None);
    assert_eq!(saves(&mut book), [attached("x", None)]);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_before_it_is_its_turn_is_not_asked() {
    let (mut book, now) = (Book::default(), Instant::now());
    book.registered(servers(&[("a", &["x"]), ("b", &["y"])]), now);
    for name in ["b", "a"] {
        book.attached(&agent(name), Some(session(1)));
    }
    book.attached(&agent("b"), None);
    assert_eq!((book.next_ask(), book.next_ask()), (Some((agent("a"), session(1))), None));
}

#[tokio::test(start_paused = true)]
async fn everything_is_written_and_asked_again_in_time_and_not_all_at_once() {
    let (mut book, began) = (Book::default(), Instant::now());
    let names: Vec<_> = (0..1_000).map(|number| format!("agent-{number}")).collect();
    let list: Vec<_> = names.iter().map(|name| (name.as_str(), std::slice::from_ref(&"x"))).collect();
    let own: Servers = list.iter().map(|(name, _)| (agent(name), BTreeSet::from([Arc::from(*name)]))).collect();
    book.registered(own, began);
    assert_eq!(saves(&mut book).len(), 1_000);
    book.attached(&agent("agent-7"), Some(session(1)));
    book.next_ask();
    saves(&mut book);
    let (mut most, mut last) = (0, HashMap::new());
    for second in 1..=600 {
        let now = began + Duration::from_secs(second);
        book.due(now);
        let due = saves(&mut book);
        most = most.max(due.len());
        for (server, ..) in due {
            let before = last.insert(server, second).unwrap_or_default();
            assert!(second - before <= PERIOD.as_secs() + 1, "written after {} s", second - before);
        }
        assert_eq!(book.next_ask().is_some(), last.get("agent-7") == Some(&second), "after {second} s");
    }
    assert_eq!(last.len(), 1_000);
    // A thousand in three minutes are six in a second.
    assert!(most < 40, "{most} at once");
    // The clock of a machine that slept: once, and not for each period that is over.
    book.due(began + Duration::from_secs(10_000));
    assert_eq!(saves(&mut book).len(), 1_000);
    assert!(book.next_due().unwrap() > began + Duration::from_secs(10_000));
}

#[tokio::test(start_paused = true)]
async fn who_is_asked_in_vain_is_asked_again_soon_at_first_and_keeps_what_it_said() {
    let began = Instant::now();
    let (mut book, a) = (settled(began), agent("a"));
    let mut now = began;
    for most in [10, 20, 40, 80, 160, 180, 180] {
        book.failed(&a, session(1), now);
        let due = book.next_due().unwrap();
        assert!(due <= now + Duration::from_secs(most), "{:?} after {most} s", due - now);
        assert!(due > now);
        now = due;
        book.due(now);
        assert_eq!(book.next_ask(), Some((a.clone(), session(1))));
        assert_eq!(saves(&mut book), [attached("x", Some(1))]);
    }
    book.told(&a, session(1), Some(figures(1)));
    assert_eq!(book.agents[&a].failures, 0);
}

#[tokio::test(start_paused = true)]
async fn a_redis_that_has_lost_everything_is_told_everything() {
    let mut book = settled(Instant::now());
    book.save_all();
    book.save_all();
    assert!(book.is_unsaved());
    assert_eq!(saves(&mut book), [attached("x", Some(1))]);
    assert!(!book.is_unsaved());
}
