//! Changes that are not good: what was good stays in use, and one line says what to do.

use std::{fs, time::Duration};

use harness::{eventually, faulty::Rig, pki::Ca, process::says, site::Site};
use serde_json::Value;

use super::*;

#[tokio::test]
async fn a_bad_change_is_counted_and_leaves_what_was_good_in_use() {
    let rig = Rig::start().await;
    let (world, door) = (&rig.world, rig.world.door());
    let (certificate, key) = paths(&world.config().grpc_tls.as_ref().unwrap().identity);
    let good = shown(&rig.caller, door).await.unwrap();
    let (leaf, other) = (world.ca.server(), world.ca.server());
    let (expired, early) = (world.ca.expired_client("x"), world.ca.early_client("x"));
    let garbage = "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n";
    let load = Load::start(&rig.caller, door, POD);
    let mut failures = 0.0;
    for (certificate_text, key_text) in [
        (garbage, &*leaf.key),
        (&leaf.certificate, &other.key),
        ("", ""),
        (&expired.certificate, &expired.key),
        (&early.certificate, &early.key),
        (&leaf.certificate, "no key"),
    ] {
        fs::write(&certificate, certificate_text).unwrap();
        fs::write(&key, key_text).unwrap();
        eventually("it is counted", async || {
            let now = of(world, FAILURES, "kube_door").await;
            (now > failures).then(|| failures = now)
        })
        .await;
        assert_eq!(shown(&rig.caller, door).await.as_ref(), Some(&good));
    }
    fs::remove_file(&certificate).unwrap();
    eventually("that is counted, too", async || (of(world, FAILURES, "kube_door").await > failures).then_some(()))
        .await;
    load.goes_on().await;
    assert_eq!(of(world, RELOADS, "").await, 0.0);

    // A bad bundle does not hold up a good certificate.
    let authorities = world.ca_path();
    fs::write(&authorities, "").unwrap();
    eventually("the bundle is refused", async || {
        (of(world, FAILURES, "kube_door_client_ca").await == 1.0).then_some(())
    })
    .await;
    fs::write(&certificate, &leaf.certificate).unwrap();
    fs::write(&key, &leaf.key).unwrap();
    until_shown(&rig.caller, door, &leaf).await;
    load.end().await;
}

#[tokio::test]
async fn the_log_names_the_object_its_key_and_the_cure_once() {
    let site = Site::new();
    let mut principal = site.principal(&[]).await;
    fs::write(site.folder().join("server.key"), Ca::new().server().key).unwrap();
    let refused = "certificate not reloaded, the last good one stays in use";
    let of = |what: &'static str| move |line: &Value| says(line, refused) && text(line, "what") == what;
    let line = principal.process.logged("a refusal", of("grpc")).await;
    principal.process.logged("that of the other port", of("kube_door")).await;
    let field = |name: &str| text(&line, name);
    assert_eq!(field("level"), "ERROR");
    let folder = site.folder().display();
    assert_eq!(
        field("error"),
        format!(
            "the private key in {folder}/server.key does not belong to the first certificate in {folder}/server.crt"
        )
    );
    assert_eq!(field("cure"), "write certificate and key of one pair, in one go");
    let leaf = site.ca.server();
    let _paths = leaf.write(site.folder(), "server");
    principal.process.logged("a reload", |line| says(line, "certificate reloaded")).await;
    principal.process.signal("TERM");
    principal.process.end().await;
    // Once for each of the two ports.
    assert_eq!(principal.process.log().iter().filter(|line| says(line, refused)).count(), 2);
}

#[tokio::test]
async fn a_certificate_that_ends_within_two_weeks_is_warned_of_at_the_start_and_when_it_is_reloaded() {
    let site = Site::new();
    // An hour more, since the binary may yet have to be built.
    let days = |days: u64| Duration::from_secs(days * 24 * 60 * 60 + 60 * 60);
    let _paths = site.ca.server_for(days(13)).write(site.folder(), "server");
    let mut principal = site.principal(&[]).await;
    let warning = "the certificate in use ends soon: renew it, it is reloaded without a restart";
    let line = principal.process.logged("a warning", |line| says(line, warning)).await;
    assert_eq!((text(&line, "level").as_str(), number(&line, "days")), ("WARN", Some(13)), "{line}");
    let _paths = site.ca.server_for(days(15)).write(site.folder(), "server");
    principal.process.logged("a reload", |line| says(line, "certificate reloaded")).await;
    let _paths = site.ca.server_for(days(3)).write(site.folder(), "server");
    let is_near = |line: &Value| says(line, warning) && number(line, "days") == Some(3);
    principal.process.logged("a warning of the new one", is_near).await;
    let warned = |days| principal.process.log().iter().filter(|line| number(line, "days") == Some(days)).count();
    assert_eq!((warned(15), warned(14)), (0, 0));
}

fn field<'l>(line: &'l Value, name: &str) -> Option<&'l Value> {
    line.get(name).or_else(|| line.get("fields").and_then(|fields| fields.get(name)))
}

fn number(line: &Value, name: &str) -> Option<i64> {
    field(line, name).and_then(Value::as_i64)
}

fn text(line: &Value, name: &str) -> String {
    field(line, name).and_then(Value::as_str).unwrap_or_default().to_owned()
}
