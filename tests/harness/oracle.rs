//! Which objects are managed, worked out the slow way: from whole lists, by the rules of the documents and none of the
//! product's code.

use std::collections::HashMap;

use serde_json::Value;

use crate::client::Endpoint;

/// Everything that was in some lists at one time.
#[derive(Debug, Default)]
pub struct Oracle {
    objects: HashMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    is_marked: bool,
    names: Names,
    owners: Vec<(String, Names)>,
}

/// What a reference must say of its owner besides its UID.
#[derive(Debug, PartialEq, Eq)]
struct Names {
    group: String,
    kind: String,
    name: String,
}

// === impl Oracle ===

impl Oracle {
    /// What there is at these paths now, which are lists.
    pub async fn of(paths: &[&str]) -> Self {
        let direct = Endpoint::direct();
        let mut this = Self::default();
        for path in paths {
            this.learn(&direct.object(path).await);
        }
        this
    }

    /// Adds a list in JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn learn(&mut self, list: &Value) {
        // The items of a typed list do not say what they are.
        let kind = text(&list["kind"]);
        let kind = kind.strip_suffix("List").expect("a list");
        let group = group(&text(&list["apiVersion"]));
        for item in list["items"].as_array().expect("items") {
            let metadata = &item["metadata"];
            let owners = metadata["ownerReferences"].as_array().into_iter().flatten();
            let owners = owners.map(|owner| {
                let names = Names {
                    group: self::group(&text(&owner["apiVersion"])),
                    kind: text(&owner["kind"]),
                    name: text(&owner["name"]),
                };
                (text(&owner["uid"]), names)
            });
            let known = Known {
                is_marked: !text(&metadata["annotations"][MARK]).is_empty(),
                names: Names { group: group.clone(), kind: kind.to_owned(), name: text(&metadata["name"]) },
                owners: owners.collect(),
            };
            self.objects.insert(text(&metadata["uid"]), known);
        }
    }

    /// Whether the object with this UID is managed.
    #[must_use]
    pub fn is_managed(&self, uid: &str) -> bool {
        self.within(uid, REFERENCES)
    }

    fn within(&self, uid: &str, references: u32) -> bool {
        let Some(object) = self.objects.get(uid) else { return false };
        let owned = || {
            references > 0
                && object.owners.iter().any(|(uid, names)| {
                    let is_it = self.objects.get(uid).is_some_and(|owner| owner.names == *names);
                    is_it && self.within(uid, references - 1)
                })
        };
        object.is_marked || owned()
    }
}

fn group(api_version: &str) -> String {
    api_version.rsplit_once('/').map_or("", |(group, _)| group).to_owned()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// How many references are followed.
const REFERENCES: u32 = 5;

/// The mark by Argo CD's default method, for an Argo CD without an installation ID.
const MARK: &str = "argocd.argoproj.io/tracking-id";

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// ConfigMaps, each with its UID for a name, a mark or none, and owners.
    fn oracle(objects: &[(&str, bool, &[&str])]) -> Oracle {
        let items = objects.iter().map(|(name, is_marked, owners)| {
            let owners = owners.iter().map(|owner| {
                let (name, uid) = owner.split_once('/').unwrap_or((owner, owner));
                json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid})
            });
            let mark = if *is_marked { "x" } else { "" };
            json!({"metadata": {
                "name": name, "uid": name, "annotations": {MARK: mark}, "ownerReferences": owners.collect::<Vec<_>>(),
            }})
        });
        let mut oracle = Oracle::default();
        oracle.learn(&json!({"kind": "ConfigMapList", "apiVersion": "v1", "items": items.collect::<Vec<_>>()}));
        oracle
    }

    #[test]
    fn five_references_are_followed() {
        let oracle = oracle(&[
            ("0", true, &[]),
            ("1", false, &["0"]),
            ("2", false, &["1"]),
            ("3", false, &["2"]),
            ("4", false, &["3"]),
            ("5", false, &["4"]),
            ("6", false, &["5"]),
        ]);
        let managed: Vec<_> = ["0", "1", "2", "3", "4", "5", "6"].map(|uid| oracle.is_managed(uid)).into();
        assert_eq!(managed, [true, true, true, true, true, true, false]);
    }

    #[test]
    fn a_reference_must_be_right_in_all_it_says_and_may_go_round_in_circles() {
        let oracle = oracle(&[
            ("owner", true, &[]),
            ("right", false, &["nobody", "owner"]),
            ("another-uid", false, &["owner/x"]),
            ("another-name", false, &["x/owner"]),
            ("a", false, &["b"]),
            ("b", false, &["a"]),
        ]);
        assert!(oracle.is_managed("right"));
        for uid in ["another-uid", "another-name", "a", "b", "nobody"] {
            assert!(!oracle.is_managed(uid), "{uid}");
        }
    }
}
