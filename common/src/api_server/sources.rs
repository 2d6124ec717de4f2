//! Which files a kubeconfig is made of.

use std::path::{Path, PathBuf};

use kube::config::Kubeconfig;

/// The files that `kubeconfig` was read from, `file` or where kubectl looks for it, and those that it names. Files with
/// tokens are not among them: they are read again all the time.
#[must_use]
pub fn files_of(kubeconfig: &Kubeconfig, file: Option<&Path>) -> Vec<PathBuf> {
    let mut files = match file {
        Some(file) => vec![file.to_owned()],
        None => usual(),
    };
    let clusters = kubeconfig.clusters.iter().filter_map(|named| named.cluster.as_ref());
    files.extend(clusters.filter_map(|cluster| cluster.certificate_authority.as_ref()).map(PathBuf::from));
    for user in kubeconfig.auth_infos.iter().filter_map(|named| named.auth_info.as_ref()) {
        files.extend([&user.client_certificate, &user.client_key].into_iter().flatten().map(PathBuf::from));
    }
    files
}

/// As `kube` and kubectl.
fn usual() -> Vec<PathBuf> {
    let listed = std::env::var_os("KUBECONFIG").unwrap_or_default();
    let listed: Vec<_> = std::env::split_paths(&listed).filter(|path| !path.as_os_str().is_empty()).collect();
    if !listed.is_empty() {
        return listed;
    }
    std::env::home_dir().map(|home| home.join(".kube/config")).into_iter().collect()
}
