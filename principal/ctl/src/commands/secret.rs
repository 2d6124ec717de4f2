//! Reading and making the Secrets that hold certificates and keys.

use std::collections::BTreeMap;

use anyhow::anyhow;
use k8s_openapi::{ByteString, api::core::v1::Secret};

use crate::{
    kube::{Change, Store, Written},
    names::{CA_CRT, TLS_CRT, TLS_KEY, TYPE_TLS},
    pki::Pair,
};

/// A key of a Secret as text; `called` goes into the error.
pub(super) fn text(called: &str, secret: &Secret, key: &str) -> anyhow::Result<String> {
    let missing = || {
        let there: Vec<_> = secret.data.iter().flatten().map(|(key, _)| key.as_str()).collect();
        let there = if there.is_empty() { "nothing".to_owned() } else { there.join(", ") };
        anyhow!("{called} has no key {key}, but {there}")
    };
    let bytes = secret.data.as_ref().and_then(|data| data.get(key)).ok_or_else(missing)?;
    String::from_utf8(bytes.0.clone()).map_err(|_| anyhow!("key {key} of {called} is not text"))
}

pub(super) fn has(secret: &Secret, key: &str) -> bool {
    secret.data.as_ref().is_some_and(|data| data.contains_key(key))
}

/// What stands under `tls.crt` and `tls.key`, and that it is a pair.
pub(super) fn pair(called: &str, secret: &Secret) -> anyhow::Result<Pair> {
    let (certificate, key) = (text(called, secret, TLS_CRT)?, text(called, secret, TLS_KEY)?);
    let named = |key: &str| format!("key {key} of {called}");
    Pair::read((&named(TLS_CRT), &certificate), (&named(TLS_KEY), &key))
}

/// The certificates of an authority, as both processes read them: `tls.crt`, else `ca.crt`.
pub(super) fn roots(called: &str, secret: &Secret) -> anyhow::Result<String> {
    text(called, secret, if has(secret, TLS_CRT) { TLS_CRT } else { CA_CRT })
}

/// The data of a Secret of type `kubernetes.io/tls`.
pub(super) fn tls_data(pair: &Pair) -> BTreeMap<String, ByteString> {
    data(&[(TLS_CRT, &pair.certificate), (TLS_KEY, pair.key.reveal())])
}

pub(super) fn data(entries: &[(&str, &str)]) -> BTreeMap<String, ByteString> {
    entries.iter().map(|(key, text)| ((*key).to_owned(), ByteString(text.as_bytes().to_vec()))).collect()
}

/// Creates the Secret, or, where `may_replace`, replaces the data of the one that is there, which `data` is told. Its labels, annotations and
/// type are kept; a type cannot be changed.
///
/// # Errors
/// With `refusal` when it is there and may not be replaced.
pub(super) async fn put(
    secrets: &Store<Secret>,
    name: &str,
    kind: &str,
    data: impl Fn(Option<&Secret>) -> anyhow::Result<BTreeMap<String, ByteString>>,
    may_replace: bool,
    refusal: impl Fn() -> anyhow::Error,
) -> anyhow::Result<Written> {
    secrets
        .change(name, |before| match before {
            Some(_) if !may_replace => Err(refusal()),
            Some(secret) => {
                let data = data(Some(&secret))?;
                Ok(Change::Write(Secret { data: Some(data), ..secret }))
            }
            None => {
                let data = Some(data(None)?);
                let mut secret = Secret { type_: Some(kind.to_owned()), data, ..Secret::default() };
                secret.metadata.name = Some(name.to_owned());
                Ok(Change::Write(secret))
            }
        })
        .await
}

/// As [`put`], of a certificate and its key.
pub(super) async fn put_tls(
    secrets: &Store<Secret>,
    name: &str,
    pair: &Pair,
    may_replace: bool,
    refusal: impl Fn() -> anyhow::Error,
) -> anyhow::Result<Written> {
    put(secrets, name, TYPE_TLS, |_before| Ok(tls_data(pair)), may_replace, refusal).await
}
