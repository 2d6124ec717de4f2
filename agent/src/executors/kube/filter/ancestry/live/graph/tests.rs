use super::{
    super::super::{
        super::{item::Reference, meta::OwnerReference},
        links::{Links, Places},
    },
    *,
};

fn uid(text: &str) -> Uid {
    Uid::parse(text).unwrap()
}

/// A node that is managed by itself.
fn node(uid_text: &str, version: u64) -> Node {
    Node { uid: Some(uid(uid_text)), version, managed: true, parents: Links::default() }
}

fn child_of(owner: &str, version: u64) -> Node {
    let owner = OwnerReference { uid: owner.to_owned(), ..OwnerReference::default() };
    let meta = super::super::super::super::meta::ObjectMeta { owners: vec![owner], ..Default::default() };
    let parents = Places::default().owners("", "pods", None, &meta);
    Node { uid: Some(uid("u")), version, managed: false, parents }
}

/// A reference to `web` with this UID.
fn link(uid: &str) -> Link {
    let about = Reference { uid: uid.to_owned(), name: "web".to_owned(), ..Reference::default() };
    Places::default().about(&about).iter().next().unwrap().clone()
}

fn inferred() -> Link {
    Link { uid: None, ..link("any") }
}

fn is(graph: &mut Graph, link: &Link) -> Option<u64> {
    match graph.find("shop", link) {
        Known::Is(node) => Some(node.map_or(0, |node| node.version)),
        Known::Unknown => None,
    }
}

fn apply(graph: &mut Graph, node: Node) -> Change {
    graph.apply("shop", "web", node)
}

/// A graph that knows `web` with the UID `u` in version 5, and was asked for it.
fn asked() -> Graph {
    let mut graph = Graph::default();
    assert_eq!(graph.begin_list(), Change::Nothing);
    assert_eq!(apply(&mut graph, node("u", 5)), Change::Nothing, "nobody was told anything");
    assert_eq!(graph.end_list(), Change::Nothing);
    assert_eq!(is(&mut graph, &link("u")), Some(5));
    graph
}

#[test]
fn an_owner_is_known_by_name_namespace_and_uid() {
    let mut graph = asked();
    assert_eq!(is(&mut graph, &inferred()), Some(5));
    assert_eq!(is(&mut graph, &link("other")), None);
    assert_eq!(is(&mut graph, &Link { name: "w".into(), ..link("u") }), None);
    assert_eq!(graph.find("cart", &link("u")), Known::Unknown);
}

#[test]
fn only_what_matters_is_a_change() {
    let mut graph = asked();
    assert_eq!(apply(&mut graph, node("u", 6)), Change::Nothing, "a status");
    assert_eq!(is(&mut graph, &link("u")), Some(6));
    let unmarked = |version| Node { managed: false, ..node("u", version) };
    assert_eq!(apply(&mut graph, unmarked(7)), Change::Answers);
    assert_eq!(apply(&mut graph, node("u", 8)), Change::Nothing, "nobody was told of the last one");
    is(&mut graph, &link("u"));
    assert_eq!(apply(&mut graph, child_of("a", 9)), Change::Answers);
    is(&mut graph, &link("u"));
    assert_eq!(apply(&mut graph, child_of("a", 10)), Change::Nothing);
    assert_eq!(apply(&mut graph, child_of("b", 11)), Change::Answers, "another parent");
}

#[test]
fn what_is_older_is_not_news() {
    let mut graph = asked();
    let older = Node { managed: false, ..node("u", 4) };
    assert_eq!(apply(&mut graph, older), Change::Nothing);
    assert_eq!(graph.delete("shop", "web", 4), Change::Nothing);
    assert_eq!(is(&mut graph, &link("u")), Some(5));
    // An API server whose versions are no numbers is believed.
    let unknown = Node { managed: false, ..node("u", 0) };
    assert_eq!(apply(&mut graph, unknown), Change::Answers);
}

#[test]
fn what_is_deleted_is_gone_for_good_and_another_one_of_its_name_must_be_looked_up() {
    let mut graph = asked();
    assert_eq!(graph.delete("shop", "web", 6), Change::Answers);
    assert_eq!(is(&mut graph, &link("u")), Some(0));
    assert_eq!(is(&mut graph, &link("v")), None);
    assert_eq!(is(&mut graph, &inferred()), None);
    assert_eq!(graph.looked_up("shop", &link("v"), Some(node("v", 8))), Change::Nothing);
    assert_eq!((is(&mut graph, &link("v")), is(&mut graph, &link("u"))), (Some(8), Some(0)));
    // The watch comes to where the look-up was.
    assert_eq!(apply(&mut graph, node("v", 7)), Change::Nothing);
    assert_eq!(is(&mut graph, &link("v")), Some(8));
}

#[test]
fn nobody_is_woken_for_what_nobody_asked_about() {
    let mut graph = Graph::default();
    assert_eq!(apply(&mut graph, node("u", 5)), Change::Nothing);
    assert_eq!(apply(&mut graph, Node { managed: false, ..node("u", 6) }), Change::Nothing);
    assert_eq!(graph.delete("shop", "web", 7), Change::Nothing);
    assert_eq!((graph.len(), graph.namespaces.len()), (0, 0), "nothing is left of it");
}

#[test]
fn an_absent_owner_that_comes_is_a_change() {
    for (missed, change) in [(link("u"), Change::Answers), (inferred(), Change::Answers), (link("v"), Change::Nothing)]
    {
        let mut graph = Graph::default();
        assert_eq!(graph.looked_up("shop", &missed, None), Change::Nothing);
        assert_eq!(is(&mut graph, &missed), Some(0));
        assert_eq!(apply(&mut graph, node("u", 5)), change);
    }
    let mut graph = Graph::default();
    assert_eq!(graph.looked_up("shop", &link("u"), Some(node("before", 3))), Change::Nothing);
    assert_eq!((is(&mut graph, &link("u")), is(&mut graph, &link("before"))), (Some(0), Some(3)));
    assert_eq!(apply(&mut graph, node("u", 5)), Change::Answers);
}

#[test]
fn a_look_up_that_is_behind_the_watch_changes_nothing() {
    let mut graph = asked();
    let older = Node { managed: false, ..node("u", 4) };
    assert_eq!(graph.looked_up("shop", &link("u"), Some(older)), Change::Nothing);
    assert_eq!(is(&mut graph, &link("u")), Some(5));
    assert_eq!(graph.looked_up("shop", &link("u"), None), Change::Nothing, "the watch found it meanwhile");
    assert_eq!(is(&mut graph, &link("u")), Some(5));
}

#[test]
fn what_a_new_list_does_not_tell_of_is_not_known_any_more() {
    let mut graph = asked();
    assert_eq!(graph.begin_list(), Change::Nothing);
    assert_eq!(is(&mut graph, &link("u")), Some(5), "while it is read, what was known holds");
    assert_eq!(graph.end_list(), Change::Answers);
    assert_eq!(is(&mut graph, &link("u")), None);
    assert_eq!((graph.len(), graph.namespaces.len()), (0, 0));

    let mut graph = asked();
    assert_eq!(graph.begin_list(), Change::Nothing);
    assert_eq!(apply(&mut graph, node("u", 5)), Change::Nothing);
    assert_eq!(graph.end_list(), Change::Nothing);
    assert_eq!(is(&mut graph, &link("u")), Some(5));
}

#[test]
fn what_only_a_look_up_told_of_does_not_outlive_a_list() {
    let mut graph = Graph::default();
    assert_eq!(graph.begin_list(), Change::Nothing);
    assert_eq!(graph.looked_up("shop", &link("u"), Some(node("u", 5))), Change::Nothing);
    assert_eq!(graph.end_list(), Change::Answers, "it may have gone before the list was made");
    assert_eq!(is(&mut graph, &link("u")), None);
}

#[test]
fn what_was_not_found_is_kept_up_to_a_bound_and_what_may_come_is_never_slept_over() {
    for (missed, change) in [(link("u"), Change::Nothing), (inferred(), Change::Answers)] {
        let mut graph = Graph::default();
        for n in 0..=MAX_MISSED {
            let missed = Link { name: n.to_string().into(), ..missed.clone() };
            assert_eq!(graph.looked_up("shop", &missed, None), Change::Nothing);
            assert!(graph.missed <= MAX_MISSED && graph.len() <= MAX_MISSED);
        }
        assert_eq!((graph.missed, graph.len()), (1, 1));
        // With a UID: what was not there when it was looked up is gone for good.
        assert_eq!(graph.apply("shop", "0", node("v", 1)), change);
    }
}
