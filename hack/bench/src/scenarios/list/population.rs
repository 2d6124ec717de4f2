//! What a list is of.

use anyhow::Result;

use crate::{
    args::{self, Population},
    contestants::Kind,
    load::{Encoding, Expected, Protocol, fetch_whole},
    objects::{ConfigMap, MIXED, NAMESPACE, Object, collection, pods},
    stage::Stage,
};

// === impl Population ===

impl Population {
    /// Fills its part of the cluster.
    pub(super) async fn create(self, stage: &Stage, args: &args::List) -> Result<()> {
        let items = self.items(args);
        eprintln!("creating {}", self.title(items, args.size));
        let object = |number: usize| ConfigMap::managed(format!("item-{number:05}"), args.size);
        match self {
            Self::Managed => stage.api_server.create((0..items).map(object)).await?,
            Self::Half => {
                let mixed = |number| {
                    let object = object(number).within(MIXED);
                    if number % 2 == 0 { object } else { object.unmarked() }
                };
                stage.api_server.create((0..items).map(mixed)).await?
            }
            Self::Pods => {
                let owners = items.div_ceil(PODS_OF_EACH);
                let names = (0..owners).map(|number| format!("owner-{number:05}")).collect::<Vec<_>>();
                let uids = stage.api_server.create(names.iter().map(|name| Object::deployment(name))).await?;
                let sets = names.iter().zip(&uids).map(|(name, uid)| Object::replica_set(name, name, uid));
                let uids = stage.api_server.create(sets).await?;
                let pods = names.iter().zip(&uids).cycle().zip(0..items);
                let pods = pods.map(|((name, uid), number)| Object::pod(&format!("{name}-{number:05}"), name, uid));
                stage.api_server.create(pods).await?
            }
        };
        Ok(())
    }

    /// What each contestant must answer. Only one that filters answers anything but what the API server itself does.
    pub(super) async fn expected(self, stage: &Stage, encoding: Encoding) -> Result<Vec<Expected>> {
        let path = self.path();
        let mut connection = stage.api_server.endpoint().connect(Protocol::Http1).await?;
        let whole = fetch_whole(&mut connection, &path, encoding).await?;
        let mut expected = Vec::with_capacity(stage.contestants.len());
        for contestant in &stage.contestants {
            expected.push(match (contestant.kind, self) {
                (Kind::Ours, Self::Half) => {
                    let mut connection = contestant.endpoint.connect(Protocol::Http1).await?;
                    let answer = fetch_whole(&mut connection, &path, encoding).await?;
                    Expected::shown(&whole, answer, encoding)?
                }
                _ => Expected::list(whole.clone(), encoding)?,
            });
        }
        Ok(expected)
    }

    pub(super) fn items(self, args: &args::List) -> usize {
        match self {
            Self::Managed | Self::Half => args.items,
            Self::Pods => args.pods,
        }
    }

    pub(super) fn path(self) -> String {
        match self {
            Self::Managed => collection(NAMESPACE),
            Self::Half => collection(MIXED),
            Self::Pods => pods(),
        }
    }

    pub(super) fn title(self, items: usize, size: usize) -> String {
        match self {
            Self::Managed => format!("{items} ConfigMaps of {size} bytes, all managed"),
            Self::Half => format!("{items} ConfigMaps of {size} bytes, every other one managed"),
            Self::Pods => {
                format!("{items} Pods of {} ReplicaSets whose Deployments are tracked", items.div_ceil(PODS_OF_EACH))
            }
        }
    }
}

/// Pods that a ReplicaSet owns.
const PODS_OF_EACH: usize = 10;
