//! What the filter reads of an object: who it is, what marks it, and who owns it.
//!
//! Read from JSON with serde, which tolerates what Go leaves out or writes as null, and refuses a member that stands
//! twice; from protobuf in [`super::protobuf`]. Text that is absent is empty, as in Go.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};

/// The parts of `metav1.ObjectMeta` that decide whether an object is managed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ObjectMeta {
    /// The name.
    #[serde(deserialize_with = "nullable")]
    pub(crate) name: String,
    /// The namespace; `None` for what has none.
    #[serde(deserialize_with = "non_empty")]
    pub(crate) namespace: Option<String>,
    /// The UID: the only name that is never given twice.
    #[serde(deserialize_with = "nullable")]
    pub(crate) uid: String,
    /// The version of this state of the object.
    #[serde(deserialize_with = "nullable")]
    pub(crate) resource_version: String,
    /// The labels.
    #[serde(deserialize_with = "nullable_values")]
    pub(crate) labels: BTreeMap<String, String>,
    /// The annotations.
    #[serde(deserialize_with = "nullable_values")]
    pub(crate) annotations: BTreeMap<String, String>,
    /// The owner references, in the order in which they stand.
    #[serde(rename = "ownerReferences", deserialize_with = "nullable")]
    pub(crate) owners: Vec<OwnerReference>,
}

/// One owner reference. It names an object of the same namespace, or one of the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct OwnerReference {
    /// Group and version of the owner's kind.
    #[serde(deserialize_with = "nullable")]
    pub(crate) api_version: String,
    /// The owner's kind.
    #[serde(deserialize_with = "nullable")]
    pub(crate) kind: String,
    /// The owner's name.
    #[serde(deserialize_with = "nullable")]
    pub(crate) name: String,
    /// The owner's UID, without which another object of that name would pass for it.
    #[serde(deserialize_with = "nullable")]
    pub(crate) uid: String,
}

/// What kind of object it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TypeMeta {
    /// Group and version.
    pub(crate) api_version: String,
    /// The kind.
    pub(crate) kind: String,
}

// === impl TypeMeta ===

impl TypeMeta {
    /// Whether this is the API server's `Table`, and not somebody's custom resource of that name.
    pub(crate) fn is_table(&self) -> bool {
        self.kind == "Table" && self.api_version.starts_with("meta.k8s.io/")
    }
}

fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn non_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::<String>::deserialize(deserializer).map(|text| text.filter(|text| !text.is_empty()))
}

/// Go reads a null within a map of strings as the empty string, and a null in its place as an empty map.
fn nullable_values<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    deserializer.deserialize_option(Values)
}

struct Values;

// === impl Values ===

impl<'de> Visitor<'de> for Values {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of strings")
    }

    fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(BTreeMap::new())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut values = BTreeMap::new();
        while let Some((key, value)) = entries.next_entry::<String, Option<String>>()? {
            values.insert(key, value.unwrap_or_default());
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_and_absent_members_are_empty() {
        let nulls = r#"{"name":null,"namespace":"","uid":null,"resourceVersion":null,"labels":null,
            "annotations":{"a":null},"ownerReferences":[{"name":null,"uid":"u"}],"managedFields":[[[{}]]]}"#;
        let meta: ObjectMeta = serde_json::from_str(nulls).unwrap();
        let expected = ObjectMeta {
            annotations: [("a".to_owned(), String::new())].into(),
            owners: vec![OwnerReference { uid: "u".to_owned(), ..OwnerReference::default() }],
            ..ObjectMeta::default()
        };
        assert_eq!(meta, expected);
        assert_eq!(serde_json::from_str::<ObjectMeta>("{}").unwrap(), ObjectMeta::default());
    }

    #[test]
    fn a_member_that_stands_twice_is_refused() {
        assert!(serde_json::from_str::<ObjectMeta>(r#"{"annotations":{"a":"b"},"annotations":{}}"#).is_err());
        assert!(serde_json::from_str::<ObjectMeta>(r#"{"uid":"a","uid":"b"}"#).is_err());
    }

    #[test]
    fn only_the_api_servers_own_table_is_a_table() {
        let is_table = |api_version: &str, kind: &str| {
            TypeMeta { api_version: api_version.to_owned(), kind: kind.to_owned() }.is_table()
        };
        assert!(is_table("meta.k8s.io/v1", "Table"));
        assert!(!is_table("furniture.example/v1", "Table"));
        assert!(!is_table("meta.k8s.io/v1", "PartialObjectMetadata"));
        assert!(!is_table("", "Table"));
    }
}
