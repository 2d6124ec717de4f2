//! The field selector of a list of events: which object the events are about.
//!
//! Where a selector names one object, one decision about that object covers every event that the API server can answer
//! with. So a term is only counted where the API server would hold events to it: the syntax is that of
//! `ParseSelector` (`apimachinery/pkg/fields/selector.go`), the labels are those of `AddFieldLabelConversionsForEvent`
//! (`pkg/apis/core/v1/conversion.go`, `pkg/apis/events/v1/conversion.go`).

use super::super::query;

/// What the selector demands of the object that an event is about. `None` is no demand; an empty text is one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EventSelector {
    /// Its name.
    pub(crate) name: Option<String>,
    /// Its namespace, empty for an object of the cluster.
    pub(crate) namespace: Option<String>,
    /// Its UID.
    pub(crate) uid: Option<String>,
    /// Its kind.
    pub(crate) kind: Option<String>,
    /// Group and version of its kind.
    pub(crate) api_version: Option<String>,
}

/// One term of a selector, its value unescaped.
struct Term<'a> {
    field: &'a str,
    equal: bool,
    value: String,
}

// === impl EventSelector ===

impl EventSelector {
    /// Reads the field selector out of the query of a list of `events` in `group`.
    ///
    /// `None` where there is no selector, or none that the API server would accept, or one that contradicts itself.
    pub(crate) fn parse(query: &str, group: &str) -> Option<Self> {
        let prefix = match group {
            "" => "involvedObject.",
            "events.k8s.io" => "regarding.",
            _ => return None,
        };
        // API servers built with Go before 1.17 split parameters at semicolons as well, and no client sends them bare.
        if query.contains(';') || query::has_too_many_parameters(query) {
            return None;
        }
        let text = String::from_utf8(query::first(query, "fieldSelector")?).ok()?;
        let mut selector = Self::default();
        for part in split_terms(&text).filter(|part| !part.is_empty()) {
            let term = Term::parse(part)?;
            let Some(field) = term.field.strip_prefix(prefix).filter(|_| term.equal) else { continue };
            let demand = match field {
                "name" => &mut selector.name,
                "namespace" => &mut selector.namespace,
                "uid" => &mut selector.uid,
                "kind" => &mut selector.kind,
                "apiVersion" => &mut selector.api_version,
                _ => continue,
            };
            if demand.as_ref().is_some_and(|earlier| *earlier != term.value) {
                return None;
            }
            *demand = Some(term.value);
        }
        Some(selector)
    }

    /// Whether all events that fit are about one object: it is named by its UID, or by kind, name and namespace.
    ///
    /// `namespace` is the one in the request's path. It stands in for the involved object's own, since events are
    /// recorded in the namespace of what they are about (`legacyValidateEvent`, `pkg/apis/core/validation/events.go`).
    pub(crate) fn names_one_object(&self, namespace: Option<&str>) -> bool {
        let set = |demand: &Option<String>| demand.as_ref().is_some_and(|value| !value.is_empty());
        let placed = self.namespace.is_some() || namespace.is_some();
        set(&self.uid) || (set(&self.kind) && set(&self.name) && placed)
    }
}

// === impl Term ===

impl<'a> Term<'a> {
    /// `splitTerm`: the first operator splits, and nothing is escaped before it.
    fn parse(text: &'a str) -> Option<Self> {
        let (left, right) = text.split_once('=')?;
        let (field, equal) = match left.strip_suffix('!') {
            Some(field) => (field, false),
            None => (left, true),
        };
        let value = if equal { right.strip_prefix('=').unwrap_or(right) } else { right };
        Some(Self { field, equal, value: unescape_value(value)? })
    }
}

/// `splitTerms`: at every comma that no backslash escapes.
fn split_terms(text: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    text.split(move |c| {
        let comma = c == ',' && !escaped;
        escaped = c == '\\' && !escaped;
        comma
    })
}

/// `UnescapeValue`: a backslash escapes itself, a comma and an equals sign, which must not stand bare.
fn unescape_value(text: &str) -> Option<String> {
    let mut value = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        value.push(match c {
            '\\' => chars.next().filter(|next| matches!(next, '\\' | ',' | '='))?,
            ',' | '=' => return None,
            other => other,
        });
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn core(selector: &str) -> Option<EventSelector> {
        let encoded: String =
            percent_encoding::utf8_percent_encode(selector, percent_encoding::NON_ALPHANUMERIC).collect();
        EventSelector::parse(&format!("limit=500&fieldSelector={encoded}"), "")
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn argo_cds_selector_names_the_object_by_its_uid_in_any_order() {
        for order in [
            "involvedObject.name=web,involvedObject.namespace=shop,involvedObject.uid=1-2",
            "involvedObject.uid=1-2,involvedObject.name==web,,involvedObject.namespace=shop,",
        ] {
            let selector = core(order).unwrap();
            let expected = EventSelector {
                name: some("web"),
                namespace: some("shop"),
                uid: some("1-2"),
                ..EventSelector::default()
            };
            assert_eq!(selector, expected);
            assert!(selector.names_one_object(None));
        }
    }

    #[test]
    fn events_k8s_io_calls_the_object_regarding() {
        let query = "fieldSelector=regarding.kind%3DPod%2Cregarding.name%3Dp%2Cregarding.apiVersion%3Dv1";
        let selector = EventSelector::parse(query, "events.k8s.io").unwrap();
        assert_eq!((selector.kind.clone(), selector.api_version.clone()), (some("Pod"), some("v1")));
        assert!(selector.names_one_object(Some("shop")));
        assert_eq!(EventSelector::parse(query, "").unwrap(), EventSelector::default());
        assert_eq!(EventSelector::parse(query, "apps"), None);
    }

    #[test]
    fn kind_and_name_need_a_namespace_to_name_one_object() {
        let selector = core("involvedObject.kind=Pod,involvedObject.name=p").unwrap();
        assert!(!selector.names_one_object(None));
        assert!(selector.names_one_object(Some("shop")));
        let of_the_cluster = core("involvedObject.kind=Node,involvedObject.name=n,involvedObject.namespace=").unwrap();
        assert_eq!(of_the_cluster.namespace, some(""));
        assert!(of_the_cluster.names_one_object(None));
    }

    #[test]
    fn what_is_empty_or_unequal_names_nothing() {
        for vague in [
            "",
            "type=Warning",
            "involvedObject.uid=",
            "involvedObject.uid!=1",
            "involvedObject.name=p",
            "involvedObject.kind=Pod",
            "involvedObject.kind=Pod,involvedObject.name!=p",
            "involvedObject.kind=Pod,involvedObject.name=",
            "InvolvedObject.uid=1",
            "involvedObject.uid =1",
            "metadata.uid=1",
        ] {
            assert!(!core(vague).unwrap().names_one_object(Some("shop")), "{vague}");
        }
        let beside = core("involvedObject.kind=Pod,involvedObject.name=p,reason!=Killing,type!=Normal").unwrap();
        assert!(beside.names_one_object(Some("shop")));
    }

    #[test]
    fn values_are_unescaped_and_commas_in_them_do_not_split() {
        let selector = core(r"involvedObject.name=a\,b\=c\\,involvedObject.uid=x").unwrap();
        assert_eq!((selector.name, selector.uid), (some(r"a,b=c\"), some("x")));
        // The first operator splits, even one within an exclamation.
        assert_eq!(core("involvedObject.name!x=y").unwrap(), EventSelector::default());
    }

    #[test]
    fn what_the_api_server_refuses_is_no_selector() {
        for bad in ["involvedObject.uid", "involvedObject.uid=a=b", r"involvedObject.uid=a\b", "involvedObject.uid=a\\"]
        {
            assert_eq!(core(bad), None, "{bad}");
        }
        assert_eq!(core("involvedObject.uid=a,involvedObject.uid=b"), None, "contradicts itself");
        assert!(core("involvedObject.uid=a,involvedObject.uid=a").unwrap().names_one_object(None));
    }

    #[test]
    fn only_the_selector_that_the_api_server_honours_counts() {
        let named = "fieldSelector=involvedObject.uid%3D1";
        assert_eq!(EventSelector::parse("", ""), None);
        assert!(!EventSelector::parse(&format!("fieldSelector=&{named}"), "").unwrap().names_one_object(None));
        assert!(EventSelector::parse(&format!("{named}&fieldSelector="), "").unwrap().names_one_object(None));
        assert_eq!(EventSelector::parse(&format!("a=1;{named}"), ""), None);
        assert_eq!(EventSelector::parse(&format!("{named}{}", "&".repeat(10_000)), ""), None);
        assert_eq!(EventSelector::parse("fieldSelector=involvedObject.uid%3D%FF", ""), None);
    }
}
