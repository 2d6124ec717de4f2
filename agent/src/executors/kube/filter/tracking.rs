//! The mark that Argo CD leaves on what it deploys, and the settings that say which mark that is.
//!
//! An object carries the mark here exactly where Argo CD itself would take it for its own, so the rules are those of
//! `util/argo/resource_tracking.go` of Argo CD 3 (`GetAppName`, `getAppInstanceValue`), quirks included.

use std::collections::BTreeMap;

use super::meta::ObjectMeta;

/// How objects are tracked, as `argocd-cm` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tracking {
    method: TrackingMethod,
    label_key: String,
    installation_id: Option<String>,
}

/// Where the mark is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TrackingMethod {
    /// In the annotation `argocd.argoproj.io/tracking-id`.
    Annotation,
    /// In the instance label.
    Label,
    /// In both, but only the annotation decides; the label is there for other tools to read.
    AnnotationAndLabel,
}

/// The settings cannot be understood, so nothing can be said to be managed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{METHOD_KEY}` is `{value}`, but must be `annotation`, `label` or `annotation+label`")]
pub(crate) struct TrackingError {
    value: String,
}

// === impl Tracking ===

impl Tracking {
    /// Reads the data of `argocd-cm`. No data at all, and every key that is empty, means Argo CD's defaults.
    ///
    /// # Errors
    /// When the tracking method is not one that Argo CD has.
    pub(crate) fn from_config(data: Option<&BTreeMap<String, String>>) -> Result<Self, TrackingError> {
        let setting = |key| data.and_then(|data| data.get(key)).map(String::as_str).filter(|value| !value.is_empty());
        let method = match setting(METHOD_KEY) {
            None | Some("annotation") => TrackingMethod::Annotation,
            Some("label") => TrackingMethod::Label,
            Some("annotation+label") => TrackingMethod::AnnotationAndLabel,
            Some(other) => return Err(TrackingError { value: other.to_owned() }),
        };
        Ok(Self {
            method,
            label_key: setting(LABEL_KEY_KEY).unwrap_or(DEFAULT_LABEL_KEY).to_owned(),
            installation_id: setting(INSTALLATION_ID_KEY).map(str::to_owned),
        })
    }

    /// Whether the object itself carries the mark.
    pub(crate) fn marks(&self, meta: &ObjectMeta) -> bool {
        match self.method {
            TrackingMethod::Label => is_set(&meta.labels, &self.label_key),
            TrackingMethod::Annotation | TrackingMethod::AnnotationAndLabel => {
                self.is_this_installation(meta) && is_set(&meta.annotations, TRACKING_ID)
            }
        }
    }

    /// Argo CD's condition is `id != "" && annotations == nil || annotations[key] != id`. Go binds `&&` closer than
    /// `||`, so the second half holds without the first: an object that names an installation is nobody's where none
    /// is configured.
    fn is_this_installation(&self, meta: &ObjectMeta) -> bool {
        let theirs = meta.annotations.get(INSTALLATION_ID).map_or("", String::as_str);
        theirs == self.installation_id.as_deref().unwrap_or("")
    }
}

impl Default for Tracking {
    fn default() -> Self {
        Self { method: TrackingMethod::Annotation, label_key: DEFAULT_LABEL_KEY.to_owned(), installation_id: None }
    }
}

fn is_set(values: &BTreeMap<String, String>, key: &str) -> bool {
    values.get(key).is_some_and(|value| !value.is_empty())
}

/// The annotation that names application and object (`common.AnnotationKeyAppInstance`).
const TRACKING_ID: &str = "argocd.argoproj.io/tracking-id";
/// The annotation that names the installation of Argo CD (`common.AnnotationInstallationID`).
const INSTALLATION_ID: &str = "argocd.argoproj.io/installation-id";
/// The label where `argocd-cm` names no other (`common.LabelKeyAppInstance`).
const DEFAULT_LABEL_KEY: &str = "app.kubernetes.io/instance";

// The keys of `argocd-cm` (`util/settings/settings.go`).
const METHOD_KEY: &str = "application.resourceTrackingMethod";
const LABEL_KEY_KEY: &str = "application.instanceLabelKey";
const INSTALLATION_ID_KEY: &str = "installationID";

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn tracking(config: &[(&str, &str)]) -> Tracking {
        Tracking::from_config(Some(&map(config))).unwrap()
    }

    fn annotated(pairs: &[(&str, &str)]) -> ObjectMeta {
        ObjectMeta { annotations: map(pairs), ..ObjectMeta::default() }
    }

    fn labelled(pairs: &[(&str, &str)]) -> ObjectMeta {
        ObjectMeta { labels: map(pairs), ..ObjectMeta::default() }
    }

    #[test]
    fn no_config_and_empty_keys_mean_argo_cds_defaults() {
        assert_eq!(Tracking::from_config(None).unwrap(), Tracking::default());
        assert_eq!(tracking(&[]), Tracking::default());
        assert_eq!(tracking(&[(METHOD_KEY, ""), (LABEL_KEY_KEY, ""), (INSTALLATION_ID_KEY, "")]), Tracking::default());
    }

    #[test]
    fn an_unknown_method_is_an_error_that_names_key_value_and_choice() {
        let error = Tracking::from_config(Some(&map(&[(METHOD_KEY, "annotations")]))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`application.resourceTrackingMethod` is `annotations`, but must be `annotation`, `label` or \
             `annotation+label`"
        );
    }

    #[test]
    fn the_annotation_marks_unless_it_is_empty() {
        for method in ["annotation", "annotation+label"] {
            let tracking = tracking(&[(METHOD_KEY, method)]);
            assert!(tracking.marks(&annotated(&[(TRACKING_ID, "web:apps/Deployment:web/web")])));
            assert!(!tracking.marks(&annotated(&[(TRACKING_ID, "")])));
            assert!(!tracking.marks(&annotated(&[("other", "x")])));
            assert!(!tracking.marks(&labelled(&[(DEFAULT_LABEL_KEY, "web"), (TRACKING_ID, "web")])), "{method}");
            assert!(!tracking.marks(&ObjectMeta::default()));
        }
    }

    #[test]
    fn the_label_marks_by_the_configured_key() {
        let by_default = tracking(&[(METHOD_KEY, "label")]);
        assert!(by_default.marks(&labelled(&[(DEFAULT_LABEL_KEY, "web")])));
        assert!(!by_default.marks(&labelled(&[(DEFAULT_LABEL_KEY, "")])));
        assert!(!by_default.marks(&annotated(&[(TRACKING_ID, "web"), (DEFAULT_LABEL_KEY, "web")])));

        let by_key = tracking(&[(METHOD_KEY, "label"), (LABEL_KEY_KEY, "argocd.argoproj.io/instance")]);
        assert!(by_key.marks(&labelled(&[("argocd.argoproj.io/instance", "web")])));
        assert!(!by_key.marks(&labelled(&[(DEFAULT_LABEL_KEY, "web")])));
    }

    #[test]
    fn the_installation_id_must_be_the_same_on_both_sides_none_included() {
        let mine = annotated(&[(TRACKING_ID, "web"), (INSTALLATION_ID, "one")]);
        let theirs = annotated(&[(TRACKING_ID, "web"), (INSTALLATION_ID, "two")]);
        let nobodys = annotated(&[(TRACKING_ID, "web")]);
        let empty = annotated(&[(TRACKING_ID, "web"), (INSTALLATION_ID, "")]);
        for method in ["annotation", "annotation+label"] {
            let with_id = tracking(&[(METHOD_KEY, method), (INSTALLATION_ID_KEY, "one")]);
            assert!(with_id.marks(&mine));
            assert!(!with_id.marks(&theirs));
            assert!(!with_id.marks(&nobodys));
            assert!(!with_id.marks(&empty));
            assert!(!with_id.marks(&annotated(&[(INSTALLATION_ID, "one")])), "the id alone is no mark");

            let without = tracking(&[(METHOD_KEY, method)]);
            assert!(without.marks(&nobodys));
            assert!(without.marks(&empty));
            assert!(!without.marks(&mine), "{method}");
        }
    }

    #[test]
    fn the_label_method_ignores_the_installation_id() {
        let tracking = tracking(&[(METHOD_KEY, "label"), (INSTALLATION_ID_KEY, "one")]);
        assert!(tracking.marks(&labelled(&[(DEFAULT_LABEL_KEY, "web")])));
    }
}
