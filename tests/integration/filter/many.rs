//! Many watches at once.

use futures_util::{StreamExt, stream};
use harness::{
    audit::Audit,
    client::{Protocol, get},
    eventually,
    scene::Scene,
    soon,
    watched::Watch,
};
use serde_json::json;

use super::{
    mixed::{PROTOBUF, TABLE},
    watches::{mark, patch},
};

const WATCHES: usize = 200;

#[tokio::test]
async fn two_hundred_watches_see_what_is_managed_beside_reads_and_lists() {
    let scene = Scene::filtered("many").await;
    scene.untracked("hidden").await;
    scene.tracked("seen").await;
    let mut audit = Audit::from_now();
    let mut connection = scene.door.connect(Protocol::Http2).await;
    let opened = stream::iter(0..WATCHES).map(|number| {
        let connection = connection.share();
        let target = scene.core(&format!("configmaps?watch=true&number={number}"));
        let accept = ["application/json", PROTOBUF, TABLE][number % 3];
        async move {
            let mut watch = Watch::on(connection, &target, accept).await;
            watch.expect("ADDED", "seen").await;
            watch
        }
    });
    let mut watches: Vec<_> = opened.buffer_unordered(16).collect().await;
    for _ in 0..20 {
        soon(connection.ask(get(&scene.core("configmaps/seen")))).await.expect_status(200);
        soon(connection.ask(get(&scene.core("configmaps/hidden")))).await.assert_not_managed();
        soon(connection.ask(get(&scene.core("configmaps")))).await.expect_status(200);
    }
    patch(&scene, "seen", &json!({"data": {"greeting": "all"}})).await;
    patch(&scene, "hidden", &json!({"data": {"greeting": "nobody"}})).await;
    mark(&scene, "hidden", true).await;
    mark(&scene, "hidden", false).await;
    mark(&scene, "seen", false).await;
    for watch in &mut watches {
        watch.expect("MODIFIED", "seen").await;
        watch.expect("ADDED", "hidden").await;
        watch.expect("DELETED", "hidden").await;
        watch.expect("DELETED", "seen").await;
    }
    // All leave at once; the API server sees them leave, and the connection goes on.
    drop(watches);
    eventually("the API server has seen them all leave", async || {
        let target = scene.core("configmaps?watch=true&number=");
        (audit.completed(&target).len() >= WATCHES).then_some(())
    })
    .await;
    connection.ask(get(&scene.core("configmaps"))).await.expect_status(200);
}
