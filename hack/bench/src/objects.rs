//! What is stored in the cluster: ConfigMaps that Argo CD tracks, of any size.

use bytes::Bytes;
use serde_json::json;

/// A ConfigMap to create.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ConfigMap {
    namespace: &'static str,
    pub(crate) name: String,
    /// Bytes of its one value. The object as a whole is some 600 bytes larger.
    pub(crate) size: usize,
    /// Whether it bears the mark by which Argo CD tracks it.
    pub(crate) managed: bool,
}

// === impl ConfigMap ===

impl ConfigMap {
    pub(crate) fn managed(name: impl Into<String>, size: usize) -> Self {
        Self { namespace: NAMESPACE, name: name.into(), size, managed: true }
    }

    pub(crate) fn body(&self) -> Bytes {
        let Self { namespace, name, .. } = self;
        let mark = self.managed.then(|| format!("bench:/ConfigMap:{namespace}/{name}"));
        let object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": name,
                "annotations": mark.map(|mark| json!({ "argocd.argoproj.io/tracking-id": mark })),
            },
            "data": { "value": LINE.repeat(self.size.div_ceil(LINE.len())).split_at(self.size).0 },
        });
        object.to_string().into()
    }

    /// Where it is found.
    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.collection(), self.name)
    }

    /// Where it is created.
    pub(crate) fn collection(&self) -> String {
        collection(self.namespace)
    }
}

/// The object that a contestant must deliver before it takes part.
pub(crate) fn ready() -> ConfigMap {
    ConfigMap::managed("ready", 1)
}

/// The object that a filter must withhold. No list has it: what is listed is managed, all of it.
pub(crate) fn unmanaged() -> ConfigMap {
    ConfigMap { namespace: ELSEWHERE, name: "unmanaged".to_owned(), size: 1, managed: false }
}

/// Where the ConfigMaps of a namespace are created and listed.
pub(crate) fn collection(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/configmaps")
}

pub(crate) fn namespace(name: &str) -> Bytes {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }).to_string().into()
}

/// The namespace of all that is measured.
pub(crate) const NAMESPACE: &str = "bench";

/// The namespace of what is not managed.
pub(crate) const ELSEWHERE: &str = "bench-elsewhere";

/// Text such as configuration is. No character of it is escaped in JSON.
const LINE: &str = "listen = 0.0.0.0, log.level = info, retries = 5, timeout = 30s; ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_the_size_and_the_mark_that_were_asked_for() {
        for size in [1, 63, 64, 65, 20_000] {
            let object = ConfigMap::managed("a", size);
            let json = serde_json::from_slice::<serde_json::Value>(&object.body()).unwrap();
            assert_eq!(json["data"]["value"].as_str().unwrap().len(), size);
            let mark = &json["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"];
            assert_eq!(mark, "bench:/ConfigMap:bench/a");
            let plain = ConfigMap { managed: false, ..object.clone() }.body();
            assert!(!String::from_utf8(plain.to_vec()).unwrap().contains("tracking-id"));
            assert_eq!(object.path(), "/api/v1/namespaces/bench/configmaps/a");
        }
    }
}
