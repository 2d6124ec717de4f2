//! Whatever is edited, and in whatever order: after every quiet second an informer behind the filter holds exactly what is
//! managed.
//!
//! What is done is a function of a seed, which a failure tells and [`SEED`] sets.

use std::{collections::BTreeSet, fmt::Debug, time::Duration};

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use harness::{
    client::kube,
    scene::{AGENT, Scene},
};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{
    Api, Resource, ResourceExt,
    runtime::{WatchStreamExt, reflector, watcher},
};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::population::{Held, Population};

/// The environment variable that says what is done: a number.
const SEED: &str = "ARGOCD_AGENT_TEST_SEED";

const ROUNDS: usize = 4;
const EDITS: usize = 400;

/// How long everything must have stood still.
const QUIET: Duration = Duration::from_secs(1);

/// How long informers may take to hold what is managed, on a machine that does other things besides. It only ends a run
/// that has failed.
const PATIENCE: Duration = Duration::from_secs(45);

/// How often it is looked whether all stands still.
const LOOK: Duration = Duration::from_millis(200);

/// A store, and what keeps it up to date.
struct Informer {
    what: &'static str,
    held: Box<dyn Fn() -> BTreeSet<Held>>,
}

#[tokio::test]
async fn informers_hold_exactly_what_is_managed_after_every_quiet_second() {
    let seed = std::env::var(SEED).map_or_else(|_| u64::from(std::process::id()), |seed| seed.parse().unwrap());
    // Shown by whoever runs the test, where it fails.
    eprintln!("{SEED}={seed}");
    let scene = Scene::filtered("random").await;
    let mut population = Population::create(&scene, seed).await;

    let managed = population.managed().await;
    let some = managed.maps.len() + managed.secrets.len();
    assert!((300..2700).contains(&some), "{SEED}={seed}: {some} are managed, and so the rest says little");
    let client = kube(&scene.world.kubeconfig(AGENT)).await;
    let selector = format!("scene={}", scene.namespace);
    let listed = watcher::Config::default().labels(&selector).page_size(200);
    let streamed = watcher::Config::default().labels(&selector).streaming_lists();
    let maps: Api<ConfigMap> = Api::all(client.clone());
    let here: Api<ConfigMap> = Api::namespaced(client.clone(), &scene.namespace);
    let secrets: Api<Secret> = Api::all(client.clone());
    let (mut informers, mut runs) = (Vec::new(), Vec::new());
    for (informer, run) in [
        informer("ConfigMaps by lists", maps.clone(), listed.clone()),
        informer("ConfigMaps by streams", maps, streamed.clone()),
        informer("Secrets by lists", secrets.clone(), listed),
        informer("Secrets by streams", secrets, streamed),
        informer("ConfigMaps of a namespace by lists", here.clone(), watcher::Config::default()),
        informer("ConfigMaps of a namespace by streams", here, watcher::Config::default().streaming_lists()),
    ] {
        informers.push(informer);
        runs.push(run);
    }
    let edits = async {
        for round in 0..=ROUNDS {
            if round > 0 {
                population.edit(EDITS).await;
            }
            let wrong = stands_still(&population, &informers).await;
            assert!(wrong.is_empty(), "{SEED}={seed}, round {round}:\n{}", wrong.join("\n"));
        }
    };
    let runs = stream::select_all(runs).for_each(|ended| async move { panic!("{SEED}={seed}: {ended}") });
    tokio::select! {
        () = runs => {}
        () = edits => {}
    }
}

/// Waits until all informers hold what is managed and have done so for a quiet second; else what is wrong with them.
async fn stands_still(population: &Population, informers: &[Informer]) -> Vec<String> {
    let began = Instant::now();
    let mut quiet = None;
    loop {
        let truth = population.managed().await;
        let expected = [&truth.maps, &truth.maps, &truth.secrets, &truth.secrets, &truth.here, &truth.here];
        let pairs = informers.iter().zip(expected);
        let mut wrong: Vec<_> = pairs.filter_map(|(informer, expected)| informer.misses(expected)).collect();
        // The cluster itself goes on for a while: it collects what has no owner any more.
        let (since, before) = quiet.take().unwrap_or_else(|| (Instant::now(), truth.clone()));
        if wrong.is_empty() && before == truth {
            if since.elapsed() >= QUIET {
                return wrong;
            }
            quiet = Some((since, before));
        } else if began.elapsed() > PATIENCE {
            wrong.push(format!("in {PATIENCE:?} the cluster was not still for {QUIET:?}, or the above"));
            return wrong;
        }
        tokio::time::sleep(LOOK).await;
    }
}

// === impl Informer ===

impl Informer {
    /// What it does not hold and what it holds wrongly, in words.
    fn misses(&self, expected: &BTreeSet<Held>) -> Option<String> {
        let held = (self.held)();
        let missing: Vec<_> = expected.difference(&held).take(5).collect();
        let wrong: Vec<_> = held.difference(expected).take(5).collect();
        (held != *expected).then(|| {
            format!(
                "{}: {} instead of {}, such as: missing {missing:?}, wrong {wrong:?}",
                self.what,
                held.len(),
                expected.len()
            )
        })
    }
}

/// An informer, and a stream that says when it fails for good.
fn informer<K>(what: &'static str, api: Api<K>, config: watcher::Config) -> (Informer, BoxStream<'static, String>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, writer) = reflector::store::<K>();
    let run = reflector(writer, watcher(api, config)).default_backoff().filter_map(move |event| async move {
        match event {
            Ok(_) => None,
            // A watch may end so at any time, and the informer then lists again.
            Err(watcher::Error::WatchError(status)) if status.code == 410 => None,
            Err(error) => Some(format!("{what}: {error:?}")),
        }
    });
    let held = move || {
        let held = |object: &K| Held {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            uid: object.uid().unwrap_or_default(),
            version: object.resource_version().unwrap_or_default(),
        };
        store.state().iter().map(|object| held(object)).collect()
    };
    (Informer { what, held: Box::new(held) }, run.boxed())
}
