//! Applications of Argo CD, whose destinations may be agents.

use std::sync::Arc;

use common::{AgentName, Application};

use super::{
    references::{Listed, Reference, References},
    watch::Keep,
};

impl Keep<Application> for Arc<References> {
    type Coming = Listed;

    fn listed(coming: &mut Listed, application: Application) {
        let (namespace, name) = application.key();
        coming.set(namespace, name, agent(&application).map(Reference::without_server));
    }

    fn replace(&self, coming: Listed) {
        References::replace(self, coming);
    }

    fn apply(&self, application: Application) {
        let (namespace, name) = application.key();
        self.set(namespace, name, agent(&application).map(Reference::without_server));
    }

    fn delete(&self, application: Application) {
        let (namespace, name) = application.key();
        self.set(namespace, name, None);
    }

    fn is_known(&self) -> bool {
        References::is_known(self)
    }
}

/// Upstream takes the destination's name for the agent's as it is (`redisproxy.go`).
fn agent(application: &Application) -> Option<AgentName> {
    // What is no agent's name is the name of a cluster that is reached without us.
    AgentName::parse(application.destination().name.as_deref()?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(spec: &Value) -> Option<String> {
        let application = json!({"metadata": {"namespace": "ns", "name": "a"}, "spec": spec, "status": {"x": [1]}});
        let application: Application = serde_json::from_value(application).unwrap();
        agent(&application).map(|agent| agent.to_string())
    }

    #[test]
    fn the_name_of_the_destination_is_the_agent() {
        assert_eq!(of(&json!({"destination": {"name": "agent-1", "namespace": "x"}})), Some("agent-1".into()));
        for none in [
            json!({}),
            json!({"destination": {}}),
            json!({"destination": {"server": "https://kubernetes.default.svc"}}),
            json!({"destination": {"name": ""}}),
            json!({"destination": {"name": null}}),
            json!({"destination": {"name": "In-Cluster_1"}}),
        ] {
            assert_eq!(of(&none), None, "{none}");
        }
    }
}
