//! The kubeconfig that reaches the workload cluster through the principal: a context for each agent.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::pki::Leaf;

/// Everything is inside, so that the file works from anywhere; the first agent's context is the current one.
pub(crate) fn render(port: u16, ca: &str, callers: &[(&str, &Leaf)]) -> String {
    let ca = STANDARD.encode(ca);
    let (mut users, mut contexts) = (String::new(), String::new());
    for (agent, caller) in callers {
        let (certificate, key) = (STANDARD.encode(&caller.certificate), STANDARD.encode(&caller.key));
        users += &format!(
            "- name: {agent}\n  user:\n    client-certificate-data: {certificate}\n    client-key-data: {key}\n"
        );
        contexts += &format!("- name: {agent}\n  context:\n    cluster: principal\n    user: {agent}\n");
    }
    let current = callers.first().map_or("", |(agent, _)| agent);
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: principal
  cluster:
    server: https://127.0.0.1:{port}
    certificate-authority-data: {ca}
users:
{users}contexts:
{contexts}current-context: {current}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_can_read_it_and_chooses_the_agent_by_context() {
        let leaf = |name: &str| Leaf { certificate: format!("{name} certificate"), key: format!("{name} key") };
        let yaml = render(9090, "authority", &[("a", &leaf("a")), ("b", &leaf("b"))]);
        let config = kube::config::Kubeconfig::from_yaml(&yaml).unwrap();
        assert_eq!(config.current_context.as_deref(), Some("a"));
        assert_eq!(config.contexts.iter().map(|context| &context.name).collect::<Vec<_>>(), ["a", "b"]);
        let cluster = config.clusters[0].cluster.as_ref().unwrap();
        assert_eq!(cluster.server.as_deref(), Some("https://127.0.0.1:9090"));
        let user = config.auth_infos[1].auth_info.as_ref().unwrap();
        assert_eq!(user.client_certificate_data.as_deref(), Some(STANDARD.encode("b certificate").as_str()));
    }
}
