//! HTTP CONNECT proxies, chosen as Go programs choose them: `HTTPS_PROXY` and `NO_PROXY`, in capitals or not.
//!
//! Always true: this machine itself is never reached through a proxy; a proxy's password is shown to nobody but the proxy.

mod connect;
mod connector;
mod exempt;

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, Uri};

pub use connect::ProxyError;
pub use connector::ProxyConnector;
use exempt::Exempt;

use crate::config::FlagError;

/// Which way connections for TLS go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    proxy: Option<Proxy>,
    exempt: Exempt,
}

/// A proxy that is spoken to in plain HTTP. What is said through it is TLS, which is none of its business.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    host: String,
    port: u16,
    /// Sensitive.
    authorization: Option<HeaderValue>,
    /// All of it, for those who read it themselves.
    url: Uri,
}

/// The proxy's address cannot be used. It is not shown: there may be a password in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub enum InvalidProxy {
    /// That of the environment.
    Variable,
    /// That of a kubeconfig.
    Kubeconfig,
}

// === impl InvalidProxy ===

impl InvalidProxy {
    fn text(self) -> &'static str {
        match self {
            Self::Variable => "HTTPS_PROXY must be http://[user:password@]host[:port]",
            Self::Kubeconfig => "proxy-url of the kubeconfig must be http://[user:password@]host[:port]",
        }
    }
}

impl From<InvalidProxy> for FlagError {
    fn from(invalid: InvalidProxy) -> Self {
        Self::Variable(invalid.text())
    }
}

// === impl Proxies ===

impl Proxies {
    /// As the environment says; `read` looks a variable up.
    ///
    /// # Errors
    /// When a proxy is named that cannot be used.
    pub fn read(read: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidProxy> {
        let first = |names: [&str; 2]| names.into_iter().filter_map(&read).find(|value| !value.trim().is_empty());
        let proxy = first(["HTTPS_PROXY", "https_proxy"])
            .map(|text| Proxy::parse(text.trim()).ok_or(InvalidProxy::Variable))
            .transpose()?;
        Ok(Self { proxy, exempt: Exempt::parse(&first(["NO_PROXY", "no_proxy"]).unwrap_or_default()) })
    }

    /// The proxy on the way to `host`, if there is one.
    #[must_use]
    pub fn on_the_way_to(&self, host: &str, port: u16) -> Option<&Proxy> {
        self.proxy.as_ref().filter(|_| !self.exempt.has(host, port))
    }
}

// === impl Proxy ===

impl Proxy {
    /// Reads `http://[user:password@]host[:port]`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // As Go: without a scheme it is meant to be HTTP.
        let uri: Uri = match text.contains("://") {
            true => text.parse(),
            false => format!("http://{text}").parse(),
        }
        .ok()?;
        let host = uri.host().filter(|host| !host.is_empty())?;
        if uri.scheme_str() != Some("http") {
            return None;
        }
        let login = uri.authority().and_then(|authority| authority.as_str().rsplit_once('@'));
        let authorization = match login {
            Some((login, _)) => {
                let login = percent_encoding::percent_decode_str(login).collect::<Vec<u8>>();
                let text = format!("Basic {}", STANDARD.encode(login));
                let mut value = HeaderValue::try_from(text).ok()?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        // A port that is no number is none to this parser.
        let place = uri.authority().map_or("", |authority| authority.as_str());
        let place = place.rsplit('@').next().unwrap_or_default();
        let port = match uri.port_u16() {
            Some(port) => port,
            None if place == host => 80,
            None => return None,
        };
        Some(Self { host: host.trim_matches(['[', ']']).to_owned(), port, authorization, url: uri })
    }

    /// Its address, with the password.
    pub(crate) fn url(&self) -> &Uri {
        &self.url
    }
}

/// Without the password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&authority(&self.host, self.port))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// Host and port, as a URL has them.
fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Proxies, InvalidProxy> {
        let found =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Proxies::read(found)
    }

    fn way(variables: &[(&str, &str)], host: &str) -> Option<String> {
        read(variables).unwrap().on_the_way_to(host, 443).map(ToString::to_string)
    }

    #[test]
    fn the_variables_are_those_of_go() {
        assert_eq!(way(&[], "a.example"), None);
        assert_eq!(way(&[("HTTPS_PROXY", "http://p:3128")], "a.example").as_deref(), Some("p:3128"));
        assert_eq!(way(&[("https_proxy", "p")], "a.example").as_deref(), Some("p:80"));
        assert_eq!(way(&[("HTTPS_PROXY", "p:1"), ("https_proxy", "q:2")], "a").as_deref(), Some("p:1"));
        assert_eq!(way(&[("HTTPS_PROXY", " "), ("https_proxy", "http://[::1]:2")], "a").as_deref(), Some("[::1]:2"));
        assert_eq!(way(&[("HTTP_PROXY", "p:1")], "a.example"), None);
        assert_eq!(way(&[("HTTPS_PROXY", "p:1"), ("no_proxy", ".example")], "a.example"), None);
        for bad in ["https://p:1", "socks5://p:1", "http://", "http://p:x", "a b", "http://u:s3cret@"] {
            let error = read(&[("HTTPS_PROXY", bad)]).unwrap_err().to_string();
            assert!(error.contains("must be http://") && !error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_password_is_shown_to_nobody() {
        let proxies = read(&[("HTTPS_PROXY", "http://user:p%40ss@p:1")]).unwrap();
        let proxy = proxies.on_the_way_to("a", 1).unwrap();
        assert_eq!(proxy.authorization.as_ref().unwrap(), "Basic dXNlcjpwQHNz");
        let shown = format!("{proxies:?} {proxy:?} {proxy} {:?}", proxy.authorization);
        assert!(!shown.contains("p%40ss") && !shown.contains("dXNlcjpwQHNz") && !shown.contains("user"), "{shown}");
    }
}
