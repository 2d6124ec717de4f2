//! The way to an API server: straight, or through a proxy.
//!
//! As client-go: the proxy that the kubeconfig names for the cluster, else that of the environment. A Pod's own API server
//! is in its cluster and is reached straight.

use kube::{Config, config::Kubeconfig};

use crate::proxy::{InvalidProxy, Proxies, Proxy};

/// The proxy that the kubeconfig itself names for the cluster of `context`, or of its current one.
#[must_use]
pub fn named_proxy(kubeconfig: &Kubeconfig, context: Option<&str>) -> Option<String> {
    let context = context.or(kubeconfig.current_context.as_deref())?;
    let context = kubeconfig.contexts.iter().find(|named| named.name == context)?.context.as_ref()?;
    let cluster = kubeconfig.clusters.iter().find(|named| named.name == context.cluster)?.cluster.as_ref()?;
    cluster.proxy_url.clone().filter(|url| !url.is_empty())
}

/// Has `config` go through the proxy that is `named`, else through that of the environment if one is on the way. `kube` has
/// put there what it thinks of the environment.
///
/// # Errors
/// When there is a proxy that cannot be used.
pub fn set_proxy(config: &mut Config, named: Option<&str>) -> Result<(), InvalidProxy> {
    config.proxy_url = match named {
        Some(url) => Some(Proxy::parse(url).ok_or(InvalidProxy::Kubeconfig)?),
        None => of_environment(config, &Proxies::read(|name| std::env::var(name).ok())?).cloned(),
    }
    .map(|proxy| proxy.url().clone());
    Ok(())
}

fn of_environment<'p>(config: &Config, proxies: &'p Proxies) -> Option<&'p Proxy> {
    let server = &config.cluster_url;
    // What the variable is for.
    let port = (server.scheme_str() == Some("https")).then(|| server.port_u16().unwrap_or(443))?;
    proxies.on_the_way_to(server.host()?, port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(server: &str) -> Config {
        Config::new(server.parse().unwrap())
    }

    #[test]
    fn the_environments_proxy_is_for_servers_elsewhere_that_speak_tls() {
        let proxies = Proxies::read(|name| match name {
            "HTTPS_PROXY" => Some("http://user:word@proxy:3128".into()),
            "NO_PROXY" => Some("near.example".into()),
            _ => None,
        });
        let proxies = proxies.unwrap();
        for (server, is_through) in [
            ("https://far.example", true),
            ("https://far.example:6443/path", true),
            ("https://[2001:db8::1]:6443", true),
            ("http://far.example", false),
            ("https://api.near.example:6443", false),
            ("https://127.0.0.1:6443", false),
            ("https://[::1]:6443", false),
            ("https://localhost", false),
        ] {
            let proxy = of_environment(&config(server), &proxies);
            assert_eq!(proxy.is_some(), is_through, "{server}");
            assert!(proxy.is_none_or(|proxy| proxy.url() == "http://user:word@proxy:3128/"));
        }
    }

    #[test]
    fn the_kubeconfigs_own_proxy_comes_first_and_must_be_one_that_can_be_used() {
        let cluster =
            |name: &str, proxy: &str| format!("{{name: {name}, cluster: {{server: 'https://{name}'{proxy}}}}}");
        let text = format!(
            "{{current-context: a, contexts: [{{name: a, context: {{cluster: a, user: u}}}}, {{name: b, context: \
             {{cluster: b, user: u}}}}], clusters: [{}, {}]}}",
            cluster("a", ", proxy-url: 'http://user:s3cret@proxy:1'"),
            cluster("b", ""),
        );
        let kubeconfig = Kubeconfig::from_yaml(&text).unwrap();
        let named = named_proxy(&kubeconfig, None).unwrap();
        assert_eq!(named_proxy(&kubeconfig, Some("b")), None);
        assert_eq!(named_proxy(&kubeconfig, Some("c")), None);
        let mut local = config("https://127.0.0.1:6443");
        set_proxy(&mut local, Some(&named)).unwrap();
        assert_eq!(local.proxy_url.unwrap(), "http://user:s3cret@proxy:1/");
        for bad in ["socks5://user:s3cret@proxy:1", "https://user:s3cret@proxy:1", "http://", "x y"] {
            let error = set_proxy(&mut config("https://a"), Some(bad)).unwrap_err().to_string();
            assert!(
                error.starts_with("proxy-url of the kubeconfig must be http://") && !error.contains("s3cret"),
                "{error}"
            );
        }
    }
}
