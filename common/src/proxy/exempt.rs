//! Who is reached without a proxy.

use std::net::IpAddr;

/// What `NO_PROXY` lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Exempt(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    Everybody,
    /// All addresses whose first so many bits are these.
    Network(IpAddr, u32),
    Address(IpAddr, Option<u16>),
    /// Of a name with all below it, or only all below it.
    Name {
        name: String,
        itself: bool,
        port: Option<u16>,
    },
}

// === impl Exempt ===

impl Exempt {
    /// As `golang.org/x/net/http/httpproxy` reads it; what it would not understand counts for nobody.
    pub(super) fn parse(text: &str) -> Self {
        Self(text.split(',').map(str::trim).filter(|item| !item.is_empty()).filter_map(Rule::parse).collect())
    }

    pub(super) fn has(&self, host: &str, port: u16) -> bool {
        let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
        let address = host.parse::<IpAddr>().ok();
        // This machine, whatever is listed.
        if host == "localhost" || address.is_some_and(|address| address.to_canonical().is_loopback()) {
            return true;
        }
        self.0.iter().any(|rule| match rule {
            Rule::Everybody => true,
            Rule::Network(network, bits) => address.is_some_and(|address| is_in(address, *network, *bits)),
            Rule::Address(listed, of) => address == Some(*listed) && of.is_none_or(|of| of == port),
            Rule::Name { name, itself, port: of } => {
                let below = host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'));
                (below || (*itself && host == *name)) && of.is_none_or(|of| of == port)
            }
        })
    }
}

// === impl Rule ===

impl Rule {
    fn parse(item: &str) -> Option<Self> {
        if item == "*" {
            return Some(Self::Everybody);
        }
        if let Some((network, bits)) = item.split_once('/') {
            let (network, bits) = (network.parse::<IpAddr>().ok()?, bits.parse().ok()?);
            return (bits <= width(network)).then_some(Self::Network(network, bits));
        }
        if let Ok(address) = item.trim_matches(['[', ']']).parse() {
            return Some(Self::Address(address, None));
        }
        let (host, port) = match item.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (item, None),
        };
        if let Ok(address) = host.trim_matches(['[', ']']).parse() {
            return Some(Self::Address(address, port));
        }
        let name = host.to_ascii_lowercase();
        let below = name.strip_prefix('*').unwrap_or(&name).strip_prefix('.').map(str::to_owned);
        let itself = below.is_none();
        let name = below.unwrap_or(name);
        (!name.is_empty()).then_some(Self::Name { name, itself, port })
    }
}

fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn is_in(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    let number = |address: IpAddr| match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    };
    let differs = number(address) ^ number(network);
    address.is_ipv4() == network.is_ipv4() && (bits == 0 || differs >> (128 - bits) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_listed_is_reached_without_a_proxy() {
        let table: &[(&str, &[&str], &[&str])] = &[
            ("", &["localhost", "LOCALHOST.", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"], &["a", "10.0.0.1"]),
            ("*", &["a", "10.0.0.1"], &[]),
            ("a.example", &["a.example", "A.EXAMPLE", "x.a.example", "a.example."], &["xa.example", "example"]),
            (".a.example, ", &["x.a.example"], &["a.example"]),
            ("*.a.example", &["x.a.example"], &["a.example"]),
            ("10.0.0.0/8,fd00::/8", &["10.255.0.1", "fd12::1"], &["11.0.0.1", "fe00::1", "ten.example"]),
            ("10.0.0.1", &["10.0.0.1"], &["10.0.0.2"]),
            ("0.0.0.0/0", &["8.8.8.8"], &["2001:db8::1"]),
            (
                "a.example:443,b.example:8443,10.0.0.1:443,[fd00::1]:443",
                &["a.example", "10.0.0.1", "fd00::1"],
                &["b.example"],
            ),
            ("10.0.0.0/99,a:b:c,/,.,:", &[], &["a", "10.0.0.1"]),
        ];
        for (listed, without, through) in table {
            let exempt = Exempt::parse(listed);
            assert!(without.iter().all(|host| exempt.has(host, 443)), "{listed}: {without:?}");
            assert!(!through.iter().any(|host| exempt.has(host, 443)), "{listed}: {through:?}");
        }
    }
}
