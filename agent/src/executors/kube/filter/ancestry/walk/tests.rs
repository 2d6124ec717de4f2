use std::collections::HashMap;

use futures_util::FutureExt;

use super::{
    super::{
        super::{
            item::Reference,
            meta::{ObjectMeta, OwnerReference},
        },
        links::Places,
    },
    *,
};

/// Owners by name, each of which has its name for a UID.
#[derive(Default)]
struct Family {
    nodes: HashMap<String, Result<Arc<Node>, Refusal>>,
    looked_at: Vec<String>,
}

impl Look for Family {
    async fn look(&mut self, link: &Link) -> Result<Option<Arc<Node>>, Refusal> {
        self.looked_at.push(link.name.to_string());
        self.nodes.get(&*link.name).cloned().transpose()
    }
}

impl Family {
    fn add(&mut self, name: &str, managed: bool, owners: &[&str]) {
        let node = Node { uid: Uid::parse(name), version: 1, managed, parents: owned_by(owners) };
        self.nodes.insert(name.to_owned(), Ok(Arc::new(node)));
    }

    fn asked(&mut self, links: &Links) -> Result<bool, Refusal> {
        self.asked_by(&mut Walk::default(), links, &Remembered::default())
    }

    fn asked_by(&mut self, walk: &mut Walk, links: &Links, remembered: &Remembered) -> Result<bool, Refusal> {
        self.looked_at.clear();
        walk.any_managed(links, self, remembered).now_or_never().unwrap()
    }
}

fn owned_by(owners: &[&str]) -> Links {
    let owner =
        |name: &&str| OwnerReference { name: (*name).to_owned(), uid: (*name).to_owned(), ..OwnerReference::default() };
    let meta = ObjectMeta { owners: owners.iter().map(owner).collect(), ..ObjectMeta::default() };
    Places::default().owners("", "pods", None, &meta)
}

fn about(name: &str) -> Links {
    Places::default().about(&Reference { name: name.to_owned(), uid: name.to_owned(), ..Reference::default() })
}

fn refusal() -> Refusal {
    Refusal::Undecidable("closed".into())
}

#[test]
fn five_references_are_followed_and_no_sixth_and_an_event_is_one_before_them() {
    let mut family = Family::default();
    for n in 1..=5 {
        family.add(&format!("o{n}"), n == 5, &[&format!("o{}", n + 1)]);
    }
    assert_eq!(family.asked(&owned_by(&["o1"])), Ok(true));
    family.add("o0", false, &["o1"]);
    assert_eq!(family.asked(&owned_by(&["o0"])), Ok(false));
    assert_eq!(family.asked(&about("o0")), Ok(true));
    family.add("o", false, &["o0"]);
    assert_eq!(family.asked(&about("o")), Ok(false));
    assert_eq!(family.looked_at, ["o", "o0", "o1", "o2", "o3", "o4"]);
}

#[test]
fn every_owner_is_looked_at_once_and_the_near_ones_first() {
    let mut family = Family::default();
    family.add("a", false, &["b", "c"]);
    family.add("b", false, &["a", "c"]);
    family.add("c", false, &["c", "d"]);
    assert_eq!(family.asked(&owned_by(&["a", "b", "a"])), Ok(false));
    assert_eq!(family.looked_at, ["a", "b", "c", "d"]);
}

#[test]
fn no_more_than_thirty_two_are_looked_at() {
    let names: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut family = Family::default();
    assert_eq!(family.asked(&owned_by(&names[..MAX_LOOK_UPS])), Ok(false));
    let too_many = Refusal::Undecidable("the object has too many owners".into());
    assert_eq!(family.asked(&owned_by(&names)), Err(too_many));
    assert_eq!(family.looked_at.len(), MAX_LOOK_UPS);
}

#[test]
fn an_owner_that_cannot_be_read_hides_no_other_and_leaves_it_open_where_there_is_none() {
    let mut family = Family::default();
    family.nodes.insert("closed".to_owned(), Err(refusal()));
    family.add("managed", true, &[]);
    family.add("other", false, &[]);
    assert_eq!(family.asked(&owned_by(&["closed", "managed"])), Ok(true));
    assert_eq!(family.asked(&owned_by(&["closed", "other"])), Err(refusal()));
    assert_eq!(family.asked(&Links::default()), Ok(false));
}

#[test]
fn all_through_whom_an_object_is_managed_are_remembered() {
    let (mut family, mut walk, remembered) = (Family::default(), Walk::default(), Remembered::default());
    family.add("pod", false, &["other", "rs"]);
    family.add("rs", false, &["d"]);
    family.add("other", false, &[]);
    family.add("d", true, &[]);
    assert_eq!(family.asked_by(&mut walk, &about("pod"), &remembered), Ok(true));
    for (name, is) in [("pod", true), ("rs", true), ("d", true), ("other", false)] {
        assert_eq!(remembered.contains(&Uid::parse(name).unwrap()), is, "{name}");
    }
    // Gone, all of them: events can still be shown, but a living object has no owner any more.
    family.nodes.clear();
    assert_eq!(family.asked_by(&mut walk, &about("pod"), &remembered), Ok(true));
    assert_eq!(family.asked_by(&mut walk, &owned_by(&["rs"]), &remembered), Ok(false));
    assert_eq!(family.asked_by(&mut walk, &about("other"), &remembered), Ok(false));
    // There, but no longer managed.
    family.add("pod", false, &[]);
    assert_eq!(family.asked_by(&mut walk, &about("pod"), &remembered), Ok(false));
    family.nodes.insert("pod".to_owned(), Err(refusal()));
    assert_eq!(family.asked_by(&mut walk, &about("pod"), &remembered), Err(refusal()));
}

#[test]
fn a_walk_that_is_used_again_needs_no_further_memory() {
    let (mut family, mut walk, remembered) = (Family::default(), Walk::default(), Remembered::default());
    family.add("a", false, &["b", "c"]);
    let links = owned_by(&["a"]);
    family.asked_by(&mut walk, &links, &remembered).unwrap();
    let room = (walk.steps.capacity(), walk.seen.capacity());
    for _ in 0..10 {
        family.asked_by(&mut walk, &links, &remembered).unwrap();
    }
    assert_eq!((walk.steps.capacity(), walk.seen.capacity()), room);
}
