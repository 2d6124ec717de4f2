//! A kubeconfig with everything inside, so that it works from anywhere.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::pki::ClientCert;

pub(crate) fn render(server: &str, ca_pem: &str, client: &ClientCert) -> String {
    let ca = STANDARD.encode(ca_pem);
    let cert = STANDARD.encode(&client.cert_pem);
    let key = STANDARD.encode(&client.key_pem);
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: envtest
  cluster:
    server: {server}
    certificate-authority-data: {ca}
users:
- name: envtest
  user:
    client-certificate-data: {cert}
    client-key-data: {key}
contexts:
- name: envtest
  context:
    cluster: envtest
    user: envtest
current-context: envtest
"
    )
}
