//! A client of one side, as the kubeconfig says.

use std::{path::Path, time::Duration};

use anyhow::{Context, anyhow, bail};
use common::api_server::{self, named_proxy, set_proxy};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret};
use kube::{
    Api, Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use super::{Place, Store, told::Asked};

/// The objects of one side.
#[derive(Clone)]
pub(crate) struct Side {
    pub(crate) place: Place,
    pub(crate) secrets: Store<Secret>,
    pub(crate) config_maps: Store<ConfigMap>,
    pub(crate) pods: Api<Pod>,
    pub(super) client: Client,
    /// Where the API server is: two contexts may be of one.
    pub(crate) server: String,
}

// === impl Side ===

impl Side {
    /// Reads the kubeconfig. Nothing is connected yet.
    ///
    /// # Errors
    /// When the kubeconfig or the context cannot be used.
    pub(crate) async fn at(place: Place) -> anyhow::Result<Self> {
        let kubeconfig = kubeconfig(None)?;
        let current = kubeconfig.current_context.clone().filter(|context| !context.is_empty());
        let Some(context) = place.context.clone().or(current) else {
            bail!("the kubeconfig has no current context: set one, or give --{}-context", place.role.word());
        };
        let known = kubeconfig.contexts.iter().any(|named| named.name == context);
        if !known {
            let role = place.role.word();
            bail!(
                "the kubeconfig has no context {context:?}: see `kubectl config get-contexts`, or give --{role}-context"
            );
        }
        let proxy = named_proxy(&kubeconfig, Some(&context));
        let options = KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        let mut config = config.with_context(|| format!("context {context:?} of the kubeconfig cannot be used"))?;
        set_proxy(&mut config, proxy.as_deref())?;
        config.connect_timeout = Some(CONNECT);
        config.read_timeout = Some(ANSWER);
        config.write_timeout = Some(ANSWER);
        // Whoever waits at a terminal would rather read what is wrong.
        config.default_retry = false;
        let server = config.cluster_url.to_string();
        let client = api_server::client(config);
        let client = client.with_context(|| format!("context {context:?} of the kubeconfig cannot be used"))?;
        let namespace = place.namespace.as_str();
        Ok(Self {
            secrets: Store::new("Secret", "secrets", Api::namespaced(client.clone(), namespace), &place, &server),
            config_maps: Store::new(
                "ConfigMap",
                "configmaps",
                Api::namespaced(client.clone(), namespace),
                &place,
                &server,
            ),
            pods: Api::namespaced(client.clone(), namespace),
            client,
            place,
            server,
        })
    }

    /// Secrets of another namespace of the same cluster.
    pub(crate) async fn secrets_in(&self, namespace: &str) -> anyhow::Result<Store<Secret>> {
        let place = Place { namespace: namespace.to_owned(), ..self.place.clone() };
        Ok(Box::pin(Self::at(place)).await?.secrets)
    }

    /// Whether the cluster has this namespace.
    pub(crate) async fn has_namespace(&self, name: &str) -> anyhow::Result<bool> {
        let found = Api::<Namespace>::all(self.client.clone()).get_opt(name).await;
        let asked = Asked {
            kind: "Namespace",
            resource: "namespaces",
            place: Place { namespace: name.to_owned(), ..self.place.clone() },
            server: self.server.clone(),
        };
        found.map(|found| found.is_some()).map_err(|error| asked.told("get", name, &error))
    }

    /// Whether both are one namespace.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.server == other.server && self.place.namespace == other.place.namespace
    }

    /// `namespace/name`.
    pub(crate) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.place.namespace)
    }
}

/// The contexts of a kubeconfig, in its order.
pub(crate) fn context_names(path: Option<&Path>) -> anyhow::Result<Vec<String>> {
    Ok(kubeconfig(path)?.contexts.into_iter().map(|named| named.name).collect())
}

/// The one in the file, else the usual one.
fn kubeconfig(path: Option<&Path>) -> anyhow::Result<Kubeconfig> {
    let read = path.map_or_else(Kubeconfig::read, Kubeconfig::read_from);
    read.map_err(|error| {
        // What follows the first line is an excerpt, which may be a credential.
        let text = error.to_string();
        let text = text.lines().next().unwrap_or_default();
        anyhow!("{text}: set KUBECONFIG to a kubeconfig that can be read")
    })
}

const CONNECT: Duration = Duration::from_secs(10);
/// Longer than an API server lets any of these calls take, admission webhooks included (10 s by default, each).
const ANSWER: Duration = Duration::from_secs(60);
