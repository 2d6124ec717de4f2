//! Owners that no owner reference names, as Argo CD and its agent infer them.
//!
//! One table. Whoever adds a row says where the rule comes from: what is shown here must be what Argo CD's own tree
//! shows, and no more.

use super::super::meta::ObjectMeta;

/// The rules, one line each.
const RULES: &[Rule] = &[
    // OLM names the OperatorGroup of a ClusterServiceVersion in an annotation (`OperatorGroupAnnotationKey`,
    // `pkg/operators/v1/operatorgroup_types.go` of operator-framework/api), in the namespace of both. Argo CD makes an
    // owner of it (`resolveResourceReferences`, `pkg/cache/references.go` of gitops-engine, argo-cd#3390), and so does
    // its agent (argocd-agent#1021). Neither looks at `olm.operatorNamespace`, so a copy of a ClusterServiceVersion in
    // another namespace belongs to nothing there.
    Rule {
        group: "operators.coreos.com",
        resource: "clusterserviceversions",
        annotation: "olm.operatorGroup",
        owner_api_version: "operators.coreos.com/v1",
        owner_kind: "OperatorGroup",
    },
];

/// Objects of one resource name their owner in an annotation. The owner is in the same namespace.
#[derive(Debug)]
struct Rule {
    group: &'static str,
    resource: &'static str,
    annotation: &'static str,
    owner_api_version: &'static str,
    owner_kind: &'static str,
}

/// An owner that is known by its name alone: it has no UID to be told from another one of that name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Inferred<'m> {
    pub(super) api_version: &'static str,
    pub(super) kind: &'static str,
    pub(super) name: &'m str,
}

/// The owners that an object of this group and resource has by the rules.
pub(super) fn inferred<'m>(group: &str, resource: &str, meta: &'m ObjectMeta) -> impl Iterator<Item = Inferred<'m>> {
    let rules = RULES.iter().filter(move |rule| rule.group == group && rule.resource == resource);
    rules.filter_map(|rule| {
        let name = meta.annotations.get(rule.annotation).filter(|name| !name.is_empty())?;
        Some(Inferred { api_version: rule.owner_api_version, kind: rule.owner_kind, name })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotated(value: &str) -> ObjectMeta {
        let annotations = [("olm.operatorGroup".to_owned(), value.to_owned())].into();
        ObjectMeta { annotations, ..ObjectMeta::default() }
    }

    #[test]
    fn a_cluster_service_version_belongs_to_its_operator_group() {
        let meta = annotated("og");
        let found: Vec<_> = inferred("operators.coreos.com", "clusterserviceversions", &meta).collect();
        let expected = Inferred { api_version: "operators.coreos.com/v1", kind: "OperatorGroup", name: "og" };
        assert_eq!(found, [expected]);
    }

    #[test]
    fn nothing_else_has_an_owner_that_it_does_not_refer_to() {
        for (group, resource, value) in [
            ("operators.coreos.com", "subscriptions", "og"),
            ("example.com", "clusterserviceversions", "og"),
            ("operators.coreos.com", "clusterserviceversions", ""),
        ] {
            assert_eq!(inferred(group, resource, &annotated(value)).count(), 0, "{group} {resource} {value:?}");
        }
    }
}
