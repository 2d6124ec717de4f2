//! Files that change, as the kubelet changes them and as people do.

use std::fs;

use common::tls::{IdentitySource, RootsSource};
use harness::{
    eventually,
    faulty::{AGENT, Faulty, Rig},
    mount::Mount,
    pki,
    raw::Caller,
};

use super::*;

#[tokio::test]
async fn what_the_kubelet_renews_is_shown_to_whoever_comes_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut mount = Mount::new(folder.path());
    let rig = Rig::with(|config| {
        let tls = &mut config.kube_door.as_mut().unwrap().tls;
        let (certificate, key) = paths(&tls.identity);
        let read = |path| fs::read_to_string(path).unwrap();
        mount.swap(&[("tls.crt", &read(certificate)), ("tls.key", &read(key))]);
        tls.identity = IdentitySource::Files { certificate: mount.path("tls.crt"), key: mount.path("tls.key") };
    })
    .await;
    let (world, door) = (&rig.world, rig.world.door());
    let load = Load::start(&rig.caller, door, POD);
    load.goes_on().await;
    // A watch that sees the first swap and not the second is a known trap.
    for reloads in 1..=3 {
        let leaf = world.ca.server();
        mount.swap(&[("tls.crt", &leaf.certificate), ("tls.key", &leaf.key)]);
        until_shown(&rig.caller, door, &leaf).await;
        load.goes_on().await;
        assert_eq!(of(world, RELOADS, "kube_door").await, f64::from(reloads));
    }
    load.end().await;
    assert_eq!(of(world, FAILURES, "").await, 0.0);
    assert!(of(world, EXPIRY, "kube_door").await > 4e9, "such a certificate ends in the year 4096");
    // The agents' port has a certificate of its own.
    assert_eq!(of(world, RELOADS, "grpc").await, 0.0);
}

#[tokio::test]
async fn files_that_are_written_one_after_the_other_are_taken_once_they_fit() {
    let rig = Rig::start().await;
    let (certificate, key) = paths(&rig.world.config().grpc_tls.as_ref().unwrap().identity);
    let load = Load::start(&rig.caller, rig.world.door(), POD);
    let leaf = rig.world.ca.server();
    fs::write(&certificate, &leaf.certificate).unwrap();
    load.goes_on().await;
    fs::write(&key, &leaf.key).unwrap();
    // Both ports have it.
    let agent = rig.caller.clone().alpn(&[b"h2"]);
    until_shown(&agent, rig.world.principal.grpc, &leaf).await;
    until_shown(&rig.caller, rig.world.door(), &leaf).await;
    load.end().await;
}

#[tokio::test]
async fn a_folder_that_is_replaced_whole_is_found_again() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("tls");
    let write = |leaf: &pki::Leaf| {
        let next = outer.path().join("next");
        fs::create_dir(&next).unwrap();
        let _paths = leaf.write(&next, "door");
        if folder.exists() {
            fs::rename(&folder, outer.path().join("old")).unwrap();
        }
        fs::rename(&next, &folder).unwrap();
    };
    let rig = Rig::with(|config| {
        let tls = &mut config.kube_door.as_mut().unwrap().tls;
        let (certificate, key) = paths(&tls.identity);
        let read = |path| fs::read_to_string(path).unwrap();
        write(&pki::Leaf { certificate: read(certificate), key: read(key) });
        tls.identity = IdentitySource::Files { certificate: folder.join("door.crt"), key: folder.join("door.key") };
    })
    .await;
    let leaf = rig.world.ca.server();
    write(&leaf);
    until_shown(&rig.caller, rig.world.door(), &leaf).await;
    // And is watched as the first one was.
    let leaf = rig.world.ca.server();
    let _paths = leaf.write(&folder, "door");
    until_shown(&rig.caller, rig.world.door(), &leaf).await;
}

#[tokio::test]
async fn authorities_are_rolled_over_with_the_old_and_the_new_one_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("clients.crt");
    let world = World::start_with(|config| {
        let RootsSource::File(path) = &config.grpc_tls.as_ref().unwrap().client_ca else { panic!("it is in a file") };
        fs::copy(path, &bundle).unwrap();
        config.grpc_tls.as_mut().unwrap().client_ca = RootsSource::File(bundle.clone());
        config.kube_door.as_mut().unwrap().tls.client_ca = RootsSource::File(bundle.clone());
    })
    .await;
    let rig = Rig::around(world, Faulty::on_demand().await).await;
    let (world, door) = (&rig.world, rig.world.door());
    let new_ca = pki::Ca::new();
    let new_caller = Caller::new(world.ca.pem(), Some(new_ca.client(AGENT)));
    let ask = async |caller: &Caller| {
        let mut connection = caller.connect(door).await.ok()?;
        connection.send(raw_get()).await.ok()?;
        connection.answer().await.ok().map(|answer| answer.status)
    };
    assert_eq!(ask(&new_caller).await, None);

    let old_load = Load::start(&rig.caller, door, POD);
    fs::write(&bundle, format!("{}{}", world.ca.pem(), new_ca.pem())).unwrap();
    eventually("the new one counts", async || (ask(&new_caller).await == Some(200)).then_some(())).await;
    let new_load = Load::start(&new_caller, door, POD);
    old_load.goes_on().await;
    new_load.goes_on().await;

    // The agent gets a certificate of the new one.
    let (certificate, key) = (world.folder().join("agent-workload.crt"), world.folder().join("agent-workload.key"));
    let leaf = new_ca.client(AGENT);
    fs::write(certificate, leaf.certificate).unwrap();
    fs::write(key, leaf.key).unwrap();
    eventually("it has attached anew", async || {
        (rig.metric("argocd_agent_tunnel_sessions_total", "").await == 2.0).then_some(())
    })
    .await;
    old_load.end().await;

    // Now the old one can go.
    fs::write(&bundle, new_ca.pem()).unwrap();
    eventually("the old one does not count", async || ask(&rig.caller).await.is_none().then_some(())).await;
    new_load.end().await;
    assert_eq!(of(world, RELOADS, "kube_door_client_ca").await, 2.0);
    assert_eq!(of(world, RELOADS, "grpc_client_ca").await, 2.0);
    assert_eq!(rig.metric("argocd_agent_tunnel_sessions_total", "").await, 2.0);
}

fn raw_get() -> String {
    get(POD)
}
