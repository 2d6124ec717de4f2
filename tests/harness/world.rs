//! A principal and its agents in this process, on ports of their own, in front of the shared real cluster.

use std::{
    error::Error,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use agent::{
    Agent,
    config::{AgentMode, AgentTls, Compression, Creds, KubeSource, RedisConfig, RedisTls},
};
use common::{
    config::TlsVersions,
    drain,
    proxy::Proxies,
    redis::Credentials,
    tls::{IdentitySource, RootsSource},
    tunnel::limits,
};
use principal::{
    Principal,
    agents::auth::AuthMethod,
    config::{ClientCertificates, JwtKeySource, KubeDoorConfig, ListenAddress, Mapping, ServerTls},
};
use tempfile::TempDir;

use crate::{cluster, eventually, panics, pki, process};

/// The control plane's side of a world, and the folder in which all its files are.
#[derive(Debug)]
pub struct World {
    /// Signs the certificates of principal, agents and callers.
    pub ca: pki::Ca,
    /// The principal that runs.
    pub principal: Principal,
    signal: Option<drain::Signal>,
    config: principal::config::Config,
    folder: TempDir,
}

/// A workload cluster's side.
#[derive(Debug)]
pub struct Attached {
    /// The agent that runs.
    pub agent: Agent,
    signal: Option<drain::Signal>,
}

// === impl World ===

impl World {
    /// A principal with the default settings.
    pub async fn start() -> Self {
        Self::start_with(|_config| {}).await
    }

    /// A principal with other settings.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_with(change: impl FnOnce(&mut principal::config::Config)) -> Self {
        panics::are_fatal();
        let folder = TempDir::new().expect("a folder");
        let ca = pki::Ca::new();
        let client_ca = pki::write(folder.path(), "ca.crt", &ca.pem());
        let (certificate, key) = ca.server().write(folder.path(), "server");
        let identity = IdentitySource::Files { certificate, key };
        let tls = ServerTls { identity, client_ca: RootsSource::File(client_ca) };
        let mut config = principal::config::Config {
            // Not just any free port: a restart must find it free again.
            grpc_listen: ListenAddress { host: "127.0.0.1".into(), port: process::port() },
            grpc_tls: Some(tls.clone()),
            tls_versions: TlsVersions::TLS13,
            auth: AuthMethod::parse("mtls:CN=([^,]+)").expect("a method"),
            client_certificates: ClientCertificates::Required,
            client_cert_subject_match: false,
            enrollment: None,
            kube_door: Some(KubeDoorConfig {
                listen: SocketAddr::from((Ipv4Addr::LOCALHOST, process::port())),
                tls,
                response_timeout: Duration::from_secs(10),
            }),
            jwt_key: JwtKeySource::Secret("argocd-agent-jwt".into()),
            registration: None,
            redis_door: None,
            mapping: Mapping::Namespace,
            kube: None,
            namespace: "argocd".into(),
            metrics_port: Some(0),
            healthz_port: Some(0),
            admin_port: Some(0),
            stream_window: limits::STREAM_WINDOW,
            drain_grace: Duration::from_secs(5),
            max_connections: 16_384,
            max_requests_per_agent: 4096,
            max_requests: 65_536,
            ping_interval: limits::PING_INTERVAL,
            silence: limits::SILENCE,
            no_effect: Vec::new(),
        };
        change(&mut config);
        let (signal, watch) = drain::channel();
        let principal = bound(async || Principal::start(config.clone(), &watch).await).await;
        let principal = principal.expect("the principal starts");
        Self { ca, principal, signal: Some(signal), config, folder }
    }

    /// An agent called `name` with the filter on, for an Argo CD in `namespace`, attached.
    pub async fn agent(&self, name: &str, namespace: &str) -> Attached {
        self.agent_with(name, namespace, |_config| {}).await
    }

    /// An agent with other settings, attached.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn agent_with(
        &self,
        name: &str,
        namespace: &str,
        change: impl FnOnce(&mut agent::config::Config),
    ) -> Attached {
        let mut config = self.agent_config(name, namespace);
        change(&mut config);
        // Only now: who brings an API server along need not wait for the real one.
        let kubeconfig = &mut config.kube.kubeconfig;
        kubeconfig.get_or_insert_with(|| cluster::cluster().kubeconfig_path());
        let (signal, watch) = drain::channel();
        let agent = bound(async || Agent::start(config.clone(), &watch).await).await.expect("the agent starts");
        let mut connected = agent.connected.clone();
        eventually::soon(connected.wait_for(|connected| *connected)).await.expect("the agent runs");
        Attached { agent, signal: Some(signal) }
    }

    /// The settings of an agent called `name`, but for its API server.
    #[must_use]
    pub fn agent_config(&self, name: &str, namespace: &str) -> agent::config::Config {
        let (certificate, key) = self.ca.client(name).write(self.folder.path(), &format!("agent-{name}"));
        agent::config::Config {
            server: ("127.0.0.1".into(), self.principal.grpc.port()),
            tls: Some(AgentTls {
                identity: Some(IdentitySource::Files { certificate, key }),
                root_ca: Some(RootsSource::File(self.ca_path())),
            }),
            creds: Creds::Certificate,
            join_token: None,
            tls_versions: TlsVersions::TLS13,
            mode: AgentMode::Managed,
            namespace: namespace.into(),
            application_namespaces: vec![namespace.into()],
            destination_based_mapping: false,
            cluster_labels: std::collections::BTreeMap::new(),
            kube: KubeSource::default(),
            proxies: Proxies::default(),
            redis: RedisConfig {
                // Nobody is there, which concerns nobody who asks for nothing of it.
                address: format!("127.0.0.1:{}", process::port()),
                tls: RedisTls::Off,
                credentials: Credentials::None,
                database: 0,
                key_prefix: String::new(),
                compression: Compression::Gzip,
            },
            resource_proxy: true,
            managed_only: true,
            managed_creates_only: false,
            metrics_port: Some(0),
            healthz_port: Some(0),
            stream_window: limits::STREAM_WINDOW,
            drain_grace: Duration::from_secs(5),
            max_pipes: 8192,
            ping_interval: limits::PING_INTERVAL,
            silence: limits::SILENCE,
            no_effect: Vec::new(),
        }
    }

    /// Ends the principal at once and starts it again on the same ports.
    ///
    /// # Panics
    /// When it does not start again.
    pub async fn restart_principal(&mut self) {
        self.stop_principal(Duration::ZERO).await;
        let (signal, watch) = drain::channel();
        self.principal = Principal::start(self.config.clone(), &watch).await.expect("the principal starts again");
        self.signal = Some(signal);
    }

    /// Drains the principal; whether everything finished within the grace period.
    pub async fn stop_principal(&mut self, grace: Duration) -> bool {
        match self.signal.take() {
            Some(signal) => signal.drain(grace).await,
            None => true,
        }
    }

    /// The address of the Kubernetes door.
    ///
    /// # Panics
    /// When it is shut.
    #[must_use]
    pub fn door(&self) -> SocketAddr {
        self.principal.kube_door.expect("the Kubernetes door is open")
    }

    /// The settings of the principal.
    #[must_use]
    pub fn config(&self) -> &principal::config::Config {
        &self.config
    }

    /// The file with the world's CA.
    #[must_use]
    pub fn ca_path(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// A kubeconfig by which `caller` reaches the Kubernetes door.
    ///
    /// # Panics
    /// When the file cannot be written.
    #[must_use]
    pub fn kubeconfig(&self, caller: &str) -> PathBuf {
        let (certificate, key) = self.ca.client(caller).write(self.folder.path(), &format!("caller-{caller}"));
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: door\n\
             clusters:\n- name: door\n  cluster:\n    server: https://{door}\n    certificate-authority: {ca}\n\
             users:\n- name: door\n  user:\n    client-certificate: {certificate}\n    client-key: {key}\n\
             contexts:\n- name: door\n  context:\n    cluster: door\n    user: door\n",
            door = self.door(),
            ca = self.ca_path().display(),
            certificate = certificate.display(),
            key = key.display(),
        );
        pki::write(self.folder.path(), &format!("kubeconfig-{caller}"), &text)
    }

    /// The folder of this world's files.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

// === impl Attached ===

impl Attached {
    /// Drains the agent; whether everything finished within the grace period.
    pub async fn stop(mut self, grace: Duration) -> bool {
        match self.signal.take() {
            Some(signal) => signal.drain(grace).await,
            None => true,
        }
    }
}

/// Starts something again whose port was taken. Whoever asks the kernel for any port may get one that a parallel test has
/// just been given, too, as long as neither listens; then only the first to listen may keep it.
async fn bound<T, E: Error + 'static>(mut start: impl AsyncFnMut() -> Result<T, E>) -> Result<T, E> {
    for _ in 0..ATTEMPTS {
        match start().await {
            Err(error) if is_taken(&error) => {}
            started => return started,
        }
    }
    start().await
}

fn is_taken(error: &(dyn Error + 'static)) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::AddrInUse) || error.source().is_some_and(is_taken)
}

const ATTEMPTS: usize = 5;
