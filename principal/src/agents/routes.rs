//! The seam between doors and who knows where a key belongs: *whose is that key?*

use std::sync::Arc;

use common::{AgentKey, AgentName};

use super::Directory;
use crate::control_plane::{NotKnown, References};

/// Says whose a key is. Doors get one, and know neither who is registered nor how Applications are mapped.
pub trait Routes: Send + Sync + 'static {
    /// Whose the key is now. Cheap: it is asked for every command that names such a key.
    fn route(&self, key: &AgentKey) -> Route;

    /// Who would publish on the channel, now or once it attaches: who listens to it keeps listening, and does not ask again.
    fn publisher(&self, channel: &AgentKey) -> Route {
        self.route(channel)
    }
}

/// Whose a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// The control plane's own, or of a cluster that is reached without us.
    Local,
    /// An agent's, attached or not.
    Agent(AgentName),
    /// It cannot be said now, and this is why.
    Unknown(&'static str),
}

/// Says it by who is registered, and by one of the two mappings.
#[derive(Debug)]
pub struct Router {
    agents: Arc<Directory>,
    by: By,
}

/// How an Application is mapped to an agent.
#[derive(Debug)]
pub enum By {
    /// It is the agent's whose name its namespace has.
    Namespace,
    /// It is the agent's whose name its destination has.
    Destination {
        /// The control plane's namespace, whose Applications are called by their names alone.
        namespace: String,
        /// Where each Application goes.
        applications: Arc<References>,
    },
}

// === impl Router ===

impl Router {
    /// Maps to the agents in the directory.
    #[must_use]
    pub fn new(agents: Arc<Directory>, by: By) -> Self {
        Self { agents, by }
    }

    fn agent(&self, key: &AgentKey) -> Result<Option<AgentName>, NotKnown> {
        let instance = key.instance();
        match &self.by {
            By::Namespace => instance.namespace().map_or(Ok(None), |namespace| self.agents.find(namespace)),
            By::Destination { namespace, applications } => {
                let namespace = instance.namespace().unwrap_or(namespace);
                match applications.agent_of(namespace, instance.name())? {
                    Some(destination) => self.agents.find(destination.as_str()),
                    None => Ok(None),
                }
            }
        }
    }
}

impl Routes for Router {
    fn route(&self, key: &AgentKey) -> Route {
        match self.agent(key) {
            Ok(Some(agent)) => Route::Agent(agent),
            Ok(None) => Route::Local,
            Err(NotKnown(why)) => Route::Unknown(why),
        }
    }

    fn publisher(&self, channel: &AgentKey) -> Route {
        match (self.route(channel), &self.by) {
            // Agents are registered at the latest when they attach, which all have yet to do when the principal starts.
            (Route::Local, By::Namespace) => {
                let agent = channel.instance().namespace().and_then(|namespace| AgentName::parse(namespace).ok());
                agent.map_or(Route::Local, Route::Agent)
            }
            (route, _) => route,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str) -> AgentName {
        AgentName::parse(name).unwrap()
    }

    fn route(router: &Router, instance: &str) -> Route {
        let tree = AgentKey::parse(format!("app|resources-tree|{instance}|1.8.3.gz").as_bytes()).unwrap();
        let managed = AgentKey::parse(format!("p:app|managed-resources|{instance}|1.8.3").as_bytes()).unwrap();
        assert_eq!(router.route(&tree), router.route(&managed));
        router.route(&tree)
    }

    fn seen(clusters: Option<Arc<References>>) -> Arc<Directory> {
        let directory = Directory::new(clusters);
        directory.saw(&agent("seen"));
        Arc::new(directory)
    }

    fn by_destination(applications: Arc<References>) -> By {
        By::Destination { namespace: "argocd".into(), applications }
    }

    #[test]
    fn by_namespace_an_application_is_the_agents_whose_name_that_is() {
        let clusters = References::of(&[("argocd", "cluster-1", "agent-1")]);
        let router = Router::new(seen(Some(clusters)), By::Namespace);
        assert_eq!(route(&router, "agent-1_guestbook"), Route::Agent(agent("agent-1")));
        assert_eq!(route(&router, "seen_guest.book"), Route::Agent(agent("seen")));
        for local in ["guestbook", "agent-1", "team-a_guestbook", "argocd_agent-1"] {
            assert_eq!(route(&router, local), Route::Local, "{local}");
        }
    }

    #[test]
    fn by_namespace_what_may_be_an_agents_is_not_known_before_the_cluster_secrets_are() {
        let router = Router::new(seen(Some(References::not_listed())), By::Namespace);
        assert_eq!(route(&router, "guestbook"), Route::Local);
        assert_eq!(route(&router, "seen_guestbook"), Route::Agent(agent("seen")));
        assert!(matches!(route(&router, "agent-1_guestbook"), Route::Unknown(_)));
    }

    #[test]
    fn by_namespace_the_publisher_of_a_channel_need_not_be_registered() {
        let publisher = |router: &Router, instance: &str| {
            let channel = AgentKey::parse(format!("app|managed-resources|{instance}|1.8.3").as_bytes()).unwrap();
            router.publisher(&channel)
        };
        for clusters in [None, Some(References::of(&[]))] {
            let router = Router::new(seen(clusters), By::Namespace);
            for name in ["seen", "agent-1"] {
                assert_eq!(publisher(&router, &format!("{name}_guestbook")), Route::Agent(agent(name)));
            }
            assert_eq!(publisher(&router, "guestbook"), Route::Local);
        }
        let applications = References::of(&[("argocd", "guestbook", "agent-1")]);
        let router = Router::new(seen(None), by_destination(applications));
        assert_eq!(publisher(&router, "guestbook"), route(&router, "guestbook"));
    }

    #[test]
    fn where_cluster_secrets_cannot_be_read_at_all_only_who_was_seen_is_an_agent() {
        let router = Router::new(seen(None), By::Namespace);
        assert_eq!(route(&router, "seen_guestbook"), Route::Agent(agent("seen")));
        assert_eq!(route(&router, "agent-1_guestbook"), Route::Local);
    }

    #[test]
    fn by_destination_an_application_is_the_agents_that_it_names() {
        let applications = References::of(&[
            ("argocd", "guestbook", "agent-1"),
            ("team-a", "guestbook", "seen"),
            ("agent-1", "elsewhere", "prod-eu"),
        ]);
        let clusters = References::of(&[("argocd", "cluster-1", "agent-1")]);
        let router = Router::new(seen(Some(clusters)), by_destination(applications));
        assert_eq!(route(&router, "guestbook"), Route::Agent(agent("agent-1")));
        assert_eq!(route(&router, "argocd_guestbook"), Route::Agent(agent("agent-1")));
        assert_eq!(route(&router, "team-a_guestbook"), Route::Agent(agent("seen")));
        // Of a cluster that is no agent, of no such Application, and of a namespace that happens to be called so.
        for local in ["agent-1_elsewhere", "other", "team-a_other", "agent-1_guestbook"] {
            assert_eq!(route(&router, local), Route::Local, "{local}");
        }
    }

    #[test]
    fn by_destination_nothing_is_known_before_the_applications_are() {
        let router = Router::new(seen(None), by_destination(References::not_listed()));
        for instance in ["guestbook", "seen_guestbook"] {
            assert_eq!(route(&router, instance), Route::Unknown("applications are not known yet"));
        }
    }

    #[test]
    fn by_destination_who_is_no_agent_is_not_known_before_the_cluster_secrets_are() {
        let applications = References::of(&[("argocd", "a", "agent-1"), ("argocd", "b", "seen")]);
        let router = Router::new(seen(Some(References::not_listed())), by_destination(applications));
        assert!(matches!(route(&router, "a"), Route::Unknown(_)));
        assert_eq!(route(&router, "b"), Route::Agent(agent("seen")));
        assert_eq!(route(&router, "c"), Route::Local);
    }
}
