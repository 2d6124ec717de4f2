//! Which of the labels that an agent asks for its cluster Secret gets.
//!
//! Always true: an agent sets no label that the operator has not allowed by name, and none by which Argo CD or we know what
//! a Secret is; a label that somebody else has set, or changed, is left alone.

use std::{collections::BTreeMap, sync::Arc};

use common::label::{LabelKey, LabelValue, Labels, parse_pair};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use regex::Regex;

use super::metrics::RefusedLabel;

/// Which keys agents may set; none by default.
#[derive(Debug, Clone, Default)]
pub struct LabelRule(Option<Arc<Regex>>);

/// The text is no rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a regular expression that matches the whole key of each label that agents may set")]
pub struct InvalidLabelRule;

// === impl LabelRule ===

impl LabelRule {
    /// Allows every key that `pattern` matches as a whole.
    ///
    /// # Errors
    /// When it is no regular expression.
    pub fn parse(pattern: &str) -> Result<Self, InvalidLabelRule> {
        // By itself, so that no parenthesis too many reaches beyond ours.
        Regex::new(pattern).map_err(|_| InvalidLabelRule)?;
        let whole = Regex::new(&format!("^(?:{pattern})$")).map_err(|_| InvalidLabelRule)?;
        Ok(Self(Some(Arc::new(whole))))
    }

    /// What is to be set of what was asked for, and what is not, with the reason.
    pub(super) fn sort(&self, asked: &BTreeMap<String, String>) -> (Labels, Vec<(String, RefusedLabel)>) {
        let (mut allowed, mut refused) = (Labels::new(), Vec::new());
        for (key, value) in asked {
            match self.judge(key, value) {
                Ok((key, value)) => drop(allowed.insert(key, value)),
                Err(why) => refused.push((key.clone(), why)),
            }
        }
        (allowed, refused)
    }

    fn judge(&self, key: &str, value: &str) -> Result<(LabelKey, LabelValue), RefusedLabel> {
        let key = LabelKey::parse(key).map_err(|_| RefusedLabel::Malformed)?;
        let value = LabelValue::parse(value).map_err(|_| RefusedLabel::Malformed)?;
        if key.prefix().is_some_and(is_reserved) {
            return Err(RefusedLabel::Reserved);
        }
        let matches = self.0.as_ref().is_some_and(|pattern| pattern.is_match(key.as_str()));
        if matches { Ok((key, value)) } else { Err(RefusedLabel::NotAllowed) }
    }
}

/// Brings the labels in step with what is asked for. Whether that changes anything.
///
/// What was set before stands in an annotation, so that a label goes when it is asked for no more. One that has another
/// value than was set there is somebody else's by now.
pub(super) fn bring_in_step(meta: &mut ObjectMeta, asked: &Labels) -> bool {
    let annotations = meta.annotations.get_or_insert_default();
    let before = annotations.get(SET).map(|text| read(text)).unwrap_or_default();
    let labels = meta.labels.get_or_insert_default();
    let is_ours = |labels: &BTreeMap<String, String>, key: &LabelKey| match (labels.get(key.as_str()), before.get(key))
    {
        (Some(is), Some(was)) => is == was.as_str(),
        (Some(_others), None) => false,
        (None, _) => true,
    };
    let mut set = Labels::new();
    let mut changed = false;
    for key in before.keys().filter(|key| !asked.contains_key(*key)) {
        if is_ours(labels, key) {
            changed |= labels.remove(key.as_str()).is_some();
        }
    }
    for (key, value) in asked {
        if is_ours(labels, key) {
            let old = labels.insert(key.as_str().to_owned(), value.as_str().to_owned());
            changed |= old.as_deref() != Some(value.as_str());
            set.insert(key.clone(), value.clone());
        }
    }
    if set != before {
        changed = true;
        match set.is_empty() {
            true => drop(annotations.remove(SET)),
            false => drop(annotations.insert(SET.to_owned(), written(&set))),
        }
    }
    changed
}

/// Neither keys nor values can have a comma or an equals sign.
fn written(labels: &Labels) -> String {
    let pairs: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={}", value.as_str())).collect();
    pairs.join(",")
}

fn read(text: &str) -> Labels {
    text.split(',').filter_map(|pair| parse_pair(pair).ok()).collect()
}

/// Where what an agent has asked for stands, as `<key>=<value>,…`.
const SET: &str = "argocd-agent.argoproj-labs.io/cluster-labels";

/// By these Argo CD finds its Secrets, and we ours.
fn is_reserved(prefix: &str) -> bool {
    ["argocd.argoproj.io", "argocd-agent.argoproj-labs.io"].contains(&prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn labels(pairs: &[&str]) -> Labels {
        pairs.iter().map(|pair| parse_pair(pair).unwrap()).collect()
    }

    #[test]
    fn only_what_the_rule_matches_as_a_whole_is_set_and_nothing_that_is_reserved() {
        let asked = texts(&[
            ("tier", "prod"),
            ("tiered", "x"),
            ("example.com/region", "eu"),
            ("argocd.argoproj.io/secret-type", "repository"),
            ("argocd-agent.argoproj-labs.io/agent-name", "other"),
            ("tier\n", "x"),
            ("region", "a b"),
        ]);
        let rule = LabelRule::parse("tier|example.com/.*|argocd.*|region").unwrap();
        let (allowed, refused) = rule.sort(&asked);
        assert_eq!(allowed, labels(&["tier=prod", "example.com/region=eu"]));
        let mut reasons: Vec<_> = refused.iter().map(|(key, why)| (key.as_str(), *why)).collect();
        reasons.sort_by_key(|(key, _)| *key);
        assert_eq!(
            reasons,
            [
                ("argocd-agent.argoproj-labs.io/agent-name", RefusedLabel::Reserved),
                ("argocd.argoproj.io/secret-type", RefusedLabel::Reserved),
                ("region", RefusedLabel::Malformed),
                ("tier\n", RefusedLabel::Malformed),
                ("tiered", RefusedLabel::NotAllowed),
            ]
        );
        let (allowed, refused) = LabelRule::default().sort(&texts(&[("tier", "prod")]));
        assert_eq!((allowed.len(), refused.len()), (0, 1));
        for bad in ["(", "a)|(b", "["] {
            assert_eq!(LabelRule::parse(bad).unwrap_err(), InvalidLabelRule, "{bad}");
        }
    }

    #[test]
    fn labels_are_kept_in_step_and_an_operators_are_left_alone() {
        let own = [("argocd.argoproj.io/secret-type", "cluster"), ("team", "a"), ("tier", "operators")];
        let mut meta = ObjectMeta { labels: Some(texts(&own)), ..ObjectMeta::default() };
        let is = |meta: &ObjectMeta, key: &str| meta.labels.as_ref().unwrap().get(key).cloned();
        // What is there is the operator's.
        assert!(bring_in_step(&mut meta, &labels(&["tier=prod", "region=eu", "zone="])));
        assert_eq!((is(&meta, "tier"), is(&meta, "region")), (Some("operators".into()), Some("eu".into())));
        assert_eq!(meta.annotations.as_ref().unwrap()[SET], "region=eu,zone=");
        assert!(!bring_in_step(&mut meta, &labels(&["tier=prod", "region=eu", "zone="])));
        // What is asked for in another way changes, what is asked for no more goes.
        assert!(bring_in_step(&mut meta, &labels(&["region=us"])));
        assert_eq!((is(&meta, "region"), is(&meta, "zone")), (Some("us".into()), None));
        // What the operator has changed is the operator's from then on.
        meta.labels.as_mut().unwrap().insert("region".into(), "mars".into());
        assert!(bring_in_step(&mut meta, &labels(&["region=eu"])));
        assert!(bring_in_step(&mut meta, &labels(&["zone=b"])));
        assert_eq!((is(&meta, "region"), is(&meta, "zone")), (Some("mars".into()), Some("b".into())));
        // What the operator has taken away comes back, as long as it is asked for.
        meta.labels.as_mut().unwrap().remove("zone");
        assert!(bring_in_step(&mut meta, &labels(&["zone=b"])));
        assert!(bring_in_step(&mut meta, &Labels::new()));
        assert_eq!(meta.labels, Some(texts(&[own[0], own[1], own[2], ("region", "mars")])));
        assert_eq!(meta.annotations.unwrap().get(SET), None);
    }
}
