//! A list in pages is walked to its end, although pages may be empty; every managed item comes exactly once.

use harness::{
    client::{Protocol, get_as},
    scene::{Scene, apply, tracked},
    shown::List,
};

use super::mixed::{PROTOBUF, TABLE, map, owned};

/// What is managed of the 23.
const MANAGED: [u32; 4] = [0, 11, 12, 22];

#[tokio::test]
async fn pages_are_walked_to_the_end_and_every_managed_item_comes_once() {
    let scene = some_of_many("walked").await;
    let expected: Vec<_> = MANAGED.iter().map(|number| format!("map-{number:02}")).collect();
    for accept in ["application/json", PROTOBUF, TABLE] {
        for limit in [1, 3, 5, 23, 500] {
            let pages = walk(&scene, accept, &format!("limit={limit}")).await;
            let names: Vec<_> = pages.iter().flat_map(List::names).collect();
            assert_eq!(names, expected, "{accept} {limit}");
            assert!(pages.iter().all(|page| page.objects.len() <= limit), "{accept} {limit}");
            let versions: Vec<_> = pages.iter().map(|page| &page.version).collect();
            assert!(versions.iter().all(|version| *version == versions[0]), "one state of things: {versions:?}");
            if accept == TABLE {
                // Only what shows rows needs columns; the API server sends them with each page.
                assert!(pages[0].columns.as_array().is_some_and(|columns| !columns.is_empty()));
            }
        }
    }
}

#[tokio::test]
async fn no_page_tells_how_much_of_what_is_hidden_is_still_to_come() {
    let scene = some_of_many("remaining").await;
    let list = scene.core("configmaps?limit=3");
    let direct = List::read(&scene.direct.ask(get_as(&list, "application/json")).await);
    assert!(direct.remaining.is_some_and(|remaining| remaining >= 20), "{:?}", direct.remaining);
    for accept in ["application/json", PROTOBUF, TABLE] {
        let page = List::read(&scene.door.ask(get_as(&list, accept)).await);
        assert_eq!(page.remaining, None, "{accept}");
        assert!(!page.next.is_empty());
    }
}

#[tokio::test]
async fn pages_of_one_encoding_go_on_in_another_and_on_another_connection() {
    let scene = some_of_many("mixed-pages").await;
    let first = List::read(&scene.door.ask(get_as(&scene.core("configmaps?limit=12"), "application/json")).await);
    let rest = scene.core(&format!("configmaps?limit=100&continue={}", first.next));
    let mut connection = scene.door.connect(Protocol::Http2).await;
    let rest = List::read(&connection.ask(get_as(&rest, PROTOBUF)).await);
    let names = [first.names(), rest.names()].concat();
    assert_eq!(names, MANAGED.map(|number| format!("map-{number:02}")));
    assert_eq!(rest.next, "");
}

#[tokio::test]
async fn a_page_that_cannot_go_on_is_the_api_servers_error() {
    let scene = some_of_many("bad-page").await;
    for token in ["nonsense", ""] {
        let target = scene.core(&format!("configmaps?limit=1&continue={token}&fieldSelector=metadata.name%3Dmap-11"));
        let direct = scene.direct.ask(get_as(&target, "application/json")).await;
        let answer = scene.door.ask(get_as(&target, "application/json")).await;
        assert_eq!(answer.status, direct.status, "{token}: {}", answer.text());
        if !direct.status.is_success() {
            assert_eq!(answer.text(), direct.text());
        }
    }
}

/// Twenty-three ConfigMaps, of which few are managed: the first, the last, one in the middle, and one that it owns. The
/// namespace has one more, which the cluster makes.
async fn some_of_many(name: &str) -> Scene {
    let scene = Scene::filtered(name).await;
    let mut owner = None;
    for number in 0..23 {
        let name = format!("map-{number:02}");
        let object = map(&scene, &name);
        owner = Some(match number {
            0 | 11 | 22 => apply(&tracked(object)).await,
            12 => owned(&scene, &name, &[owner.as_ref().unwrap()]).await,
            _ => apply(&object).await,
        });
    }
    scene
}

async fn walk(scene: &Scene, accept: &str, query: &str) -> Vec<List> {
    let (mut pages, mut more) = (Vec::<List>::new(), String::new());
    loop {
        let target = scene.core(&format!("configmaps?{query}{more}"));
        let page = List::read(&scene.door.ask(get_as(&target, accept)).await);
        more = format!("&continue={}", page.next);
        let is_last = page.next.is_empty();
        pages.push(page);
        if is_last {
            return pages;
        }
        assert!(pages.len() < 100, "the pages have no end");
    }
}
