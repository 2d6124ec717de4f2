//! What RBAC says of lists and watches is passed on; where it keeps the filter from deciding, that is said.

use harness::{
    client::{Endpoint, get, get_as},
    scene::{Scene, deployment, tracked},
    watched::Watch,
};
use http::Request;

use super::{
    mixed::{PROTOBUF, TABLE, owned},
    permissions::{READS_CONFIG, limited},
};

#[tokio::test]
async fn who_may_not_list_or_watch_gets_the_api_servers_words() {
    let scene = Scene::filtered("eve-lists").await;
    scene.tracked("a").await;
    for accept in ["application/json", PROTOBUF, TABLE] {
        for query in ["", "?limit=1", "?watch=true", "?fieldSelector=metadata.name%3Da"] {
            let target = scene.core(&format!("configmaps{query}"));
            let as_eve = async |endpoint: &Endpoint| {
                let mut request = get_as(&target, accept);
                request.headers_mut().insert("impersonate-user", "eve".parse().unwrap());
                endpoint.ask(request).await.expect_status(403)
            };
            let (direct, answer) = (as_eve(&scene.direct).await, as_eve(&scene.door).await);
            assert_eq!(answer.text(), direct.text(), "{query} {accept}");
            assert_eq!(answer.headers.get("content-type"), direct.headers.get("content-type"));
        }
    }
}

#[tokio::test]
async fn what_the_agent_may_not_list_or_watch_is_refused_by_the_api_server_in_its_words() {
    let (scene, robot) = limited("limited-lists", READS_CONFIG).await;
    for target in [
        scene.core("secrets"),
        scene.core("secrets?watch=true"),
        scene.apps("deployments?limit=500"),
        "/apis/nope.example/v1/things".to_owned(),
        "/api/v1/nodes".to_owned(),
    ] {
        let direct = robot.ask(get(&target)).await.expect_status(403);
        let answer = scene.door.ask(get(&target)).await;
        assert_eq!((answer.status, answer.text()), (direct.status, direct.text()), "{target}");
    }
}

#[tokio::test]
async fn owners_that_the_agent_may_not_read_leave_a_list_undecided_and_the_permission_is_named() {
    let (scene, _robot) = limited("undecided-lists", READS_CONFIG).await;
    scene.tracked("marked").await;
    let owner = scene.apply(tracked(deployment("web", 0))).await;
    owned(&scene, "owned", &[&owner]).await;
    for accept in ["application/json", PROTOBUF, TABLE] {
        let answer = scene.door.ask(get_as(&scene.core("configmaps"), accept)).await;
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(names_permission(&answer.text()), "{}", answer.text());
        // Those that are marked themselves need no owner.
        let marked = scene.core("configmaps?fieldSelector=metadata.name%3Dmarked");
        scene.door.ask(get_as(&marked, accept)).await.expect_status(200);

        // A watch says it at once or as an event, and then ends: what it cannot decide it does not leave out.
        let mut connection = scene.door.connect(harness::client::Protocol::Http1).await;
        let answer = connection.send(get_as(&scene.core("configmaps?watch=true"), accept)).await;
        if answer.status() == 200 {
            let watch = Watch::open(&scene.door, &scene.core("configmaps?watch=true"), accept).await;
            let events = watch.rest().await;
            let last = events.last().unwrap();
            assert_eq!(last.kind, "ERROR", "{events:?}");
            assert!(names_permission(&last.message), "{}", last.message);
            assert!(events.iter().all(|event| event.object.name != "owned"), "{events:?}");
        } else {
            let answer = harness::client::Answer::read(answer).await.expect_status(503);
            assert!(names_permission(&answer.text()), "{}", answer.text());
        }
    }
}

#[tokio::test]
async fn an_impersonated_callers_list_is_decided_by_what_the_agent_may_read() {
    let scene = Scene::filtered("admin-lists").await;
    let owner = scene.tracked("owner").await;
    owned(&scene, "child", &[&owner]).await;
    scene.untracked("hidden").await;
    let mut request: Request<_> = get_as(&scene.core("configmaps"), "application/json");
    request.headers_mut().insert("impersonate-user", "somebody".parse().unwrap());
    request.headers_mut().insert("impersonate-group", "system:masters".parse().unwrap());
    let list = harness::shown::List::read(&scene.door.ask(request).await);
    assert_eq!(list.names(), ["child", "owner"]);
}

/// Whether it says which verb of which resource is missing.
fn names_permission(text: &str) -> bool {
    let verb = text.contains("cannot list resource") || text.contains("cannot get resource");
    text.contains("deployments.apps") && verb && text.contains("apps")
}
