//! Targets that are connected to directly though their upstream has a proxy.
//!
//! What is compared is what stands in the target's URL: a name is not resolved to see whether its address is in a range.

use std::net::IpAddr;

use ipnet::IpNet;

/// A list of them; a target that any entry covers is connected to directly.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NoProxy(pub Vec<Exception>);

/// One entry of the list: `example.com`, `.example.com`, `10.0.0.0/8`, `[::1]:8080`, `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    hosts: Hosts,
    /// `None`: any.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    Any,
    /// In lower case.
    Domain {
        name: String,
        /// Whether it is covered itself, and not only what ends in it.
        is_included: bool,
    },
    Network(IpNet),
}

impl NoProxy {
    /// Whether a target is connected to directly; `host` is a name, or an address without brackets.
    pub fn covers(&self, host: &str, port: u16) -> bool {
        self.0.iter().any(|exception| exception.covers(host, port))
    }
}

impl Exception {
    /// Reads an entry. `is_name` says what may be a host's name. `None`: it is none.
    pub fn parse(text: &str, is_name: impl Fn(&str) -> bool) -> Option<Self> {
        let (hosts, port) = parts(text)?;
        let port = port.map(parse_port);
        if port == Some(None) {
            return None;
        }
        let hosts = if hosts == "*" {
            Hosts::Any
        } else if let Ok(network) = hosts.parse::<IpNet>() {
            Hosts::Network(network.trunc())
        } else if let Ok(address) = hosts.parse::<IpAddr>() {
            Hosts::Network(address.to_canonical().into())
        } else {
            let below = hosts.strip_prefix("*.").or(hosts.strip_prefix('.'));
            let name = below.unwrap_or(hosts);
            if !is_name(name) || name.starts_with('[') {
                return None;
            }
            Hosts::Domain {
                name: name.to_ascii_lowercase(),
                is_included: below.is_none(),
            }
        };
        let port = port.flatten();
        Some(Self { hosts, port })
    }

    fn covers(&self, host: &str, port: u16) -> bool {
        self.port.is_none_or(|mine| mine == port) && self.hosts.cover(host)
    }
}

impl Hosts {
    fn cover(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Network(network) => host
                .parse::<IpAddr>()
                .is_ok_and(|address| network.contains(&address.to_canonical())),
            Self::Domain { name, is_included } => {
                let Some(start) = host.len().checked_sub(name.len()) else {
                    return false;
                };
                let Some((before, end)) = host.split_at_checked(start) else {
                    return false;
                };
                end.eq_ignore_ascii_case(name)
                    && if before.is_empty() {
                        *is_included
                    } else {
                        before.ends_with('.')
                    }
            }
        }
    }
}

/// The hosts and the port of an entry. What has several colons and no brackets is an IPv6 address or a range of them.
fn parts(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (hosts, rest) = rest.split_once(']')?;
        // Brackets are for IPv6 only.
        if !hosts.contains(':') {
            return None;
        }
        return match rest.strip_prefix(':') {
            Some(port) => Some((hosts, Some(port))),
            None => rest.is_empty().then_some((hosts, None)),
        };
    }
    match text.split_once(':') {
        Some((hosts, port)) if !port.contains(':') => Some((hosts, Some(port))),
        _ => Some((text, None)),
    }
}

fn parse_port(text: &str) -> Option<u16> {
    // `parse` alone would take "+80".
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok()?;
    (is_number && port != 0).then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Exception> {
        let is_name = |name: &str| {
            let is_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
            !name.is_empty() && !name.starts_with('.') && name.bytes().all(is_byte)
        };
        Exception::parse(text, is_name)
    }

    #[test]
    fn covers_what_is_meant_and_nothing_else() {
        for (entry, covered, not) in [
            (
                "example.com",
                &["example.com:80", "Example.COM:1", "a.b.example.com:80"][..],
                &["badexample.com:80", "example.com.evil:80", "com:80"][..],
            ),
            (
                ".example.com",
                &["a.example.com:80"],
                &["example.com:80", "aexample.com:80"],
            ),
            (
                "*.example.com",
                &["a.b.Example.com:80"],
                &["example.com:80"],
            ),
            (
                "example.com:8080",
                &["example.com:8080", "a.example.com:8080"],
                &["example.com:80"],
            ),
            ("localhost", &["localhost:80"], &["127.0.0.1:80"]),
            ("*", &["x:1", "127.0.0.1:1", "::1:1"], &[]),
            ("*:443", &["x:443"], &["x:80"]),
            (
                "10.0.0.0/8",
                &["10.255.0.1:80", "::ffff:10.0.0.1:80"],
                &["11.0.0.1:80", "10.x:80", "10.0.0.1.example:80"],
            ),
            ("10.1.2.3/8", &["10.0.0.1:80"], &["11.0.0.1:80"]),
            (
                "10.0.0.0/8:8080",
                &["10.0.0.1:8080"],
                &["10.0.0.1:80", "11.0.0.1:8080"],
            ),
            ("127.0.0.1", &["127.0.0.1:80"], &["127.0.0.2:80"]),
            (
                "::ffff:127.0.0.1",
                &["127.0.0.1:80", "::ffff:127.0.0.1:1"],
                &["127.0.0.2:80"],
            ),
            ("127.0.0.1:81", &["127.0.0.1:81"], &["127.0.0.1:80"]),
            ("::1", &["::1:80", "0:0:0:0:0:0:0:1:80"], &["::2:80"]),
            ("[::1]", &["::1:80"], &["::2:80"]),
            ("[::1]:81", &["::1:81"], &["::1:80"]),
            ("fd00::/8", &["fd12::1:80"], &["fe80::1:80"]),
            ("[fd00::/8]:81", &["fd12::1:81"], &["fd12::1:80"]),
        ] {
            let list = NoProxy(vec![parse("other.example").unwrap(), parse(entry).unwrap()]);
            for (targets, expected) in [(covered, true), (not, false)] {
                for target in targets {
                    let (host, port) = target.rsplit_once(':').unwrap();
                    let found = list.covers(host, port.parse().unwrap());
                    assert_eq!(found, expected, "{entry} and {target}");
                }
            }
        }
        assert!(!NoProxy::default().covers("x", 80));
    }

    #[test]
    fn what_is_no_entry() {
        for text in [
            "",
            ".",
            "*.",
            "*a",
            "a b",
            "a:",
            "a:0",
            "a:+1",
            "a:65536",
            "a:b",
            "10.0.0.0/33",
            "10.0.0.0/x",
            "[::1",
            "[::1]x",
            "[::1]:",
            "[a]:1",
            "[10.0.0.1]:1",
            "http://a",
            "a,b",
            "::g",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
