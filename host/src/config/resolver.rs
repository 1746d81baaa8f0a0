//! `server.resolver`

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::reader::{Node, Section};

/// More servers than any list of them has; each costs a wait where none answers.
const MOST_SERVERS: usize = 8;

/// `server.resolver`: how the names of targets become addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolver {
    /// Who is asked; empty: the servers of /etc/resolv.conf, with its search list.
    pub nameservers: Vec<SocketAddr>,
    /// How long one server is waited for. `None`: what /etc/resolv.conf says, or [`Self::TIMEOUT`] with servers of one's own.
    pub timeout: Option<Duration>,
    /// How often they are asked. `None`: what /etc/resolv.conf says, or 2.
    pub attempts: Option<usize>,
    /// An answer is used at least so long, whatever it says of itself. Default 1 s.
    pub min_ttl: Duration,
    /// An answer is used at most so long. Default 1 h.
    pub max_ttl: Duration,
    /// How long after that it is used on where there is no other one, because servers fail. Default 1 h.
    pub stale: Duration,
}

impl Resolver {
    /// How long one of the configuration's servers is waited for unless it says otherwise.
    pub const TIMEOUT: Duration = Duration::from_secs(2);
}

impl Default for Resolver {
    fn default() -> Self {
        Self {
            nameservers: Vec::new(),
            timeout: None,
            attempts: None,
            min_ttl: Duration::from_secs(1),
            max_ttl: Duration::from_hours(1),
            stale: Duration::from_hours(1),
        }
    }
}

pub(super) fn read(server: &mut Section<'_>) -> Resolver {
    let mut section = server.section("resolver");
    let default = Resolver::default();
    let min = section.take("min_ttl");
    let resolver = Resolver {
        nameservers: section.read("nameservers", nameservers).unwrap_or_default(),
        timeout: section.read("timeout", Node::duration),
        attempts: section.read("attempts", |node| node.whole(1..=10)),
        // Zero would be a question to a server for each connection.
        min_ttl: min
            .as_ref()
            .and_then(Node::duration)
            .unwrap_or(default.min_ttl),
        max_ttl: section
            .read("max_ttl", Node::duration)
            .unwrap_or(default.max_ttl),
        stale: section
            .read("stale", Node::duration_or_zero)
            .unwrap_or(default.stale),
    };
    if resolver.min_ttl > resolver.max_ttl {
        let place = min.as_ref();
        let longest = super::quantity::write_duration(resolver.max_ttl);
        let message = format!("longer than `max_ttl`, which is \"{longest}\"");
        match place {
            Some(node) => node.problem(message),
            None => section.problem("`max_ttl` is shorter than `min_ttl`, which is \"1s\""),
        }
    }
    section.finish();
    resolver
}

fn nameservers(node: &Node<'_>) -> Option<Vec<SocketAddr>> {
    let items = node.items()?;
    if items.is_empty() || items.len() > MOST_SERVERS {
        node.problem(format!(
            "found {} addresses; expected 1 to {MOST_SERVERS}",
            items.len()
        ));
    }
    Some(items.iter().filter_map(nameserver).collect())
}

fn nameserver(node: &Node<'_>) -> Option<SocketAddr> {
    const EXPECTED: &str =
        r#"the address of a name server, such as "10.0.0.2", "127.0.0.1:5353" or "[fd00::2]:53""#;
    let text = node.string_like(EXPECTED)?;
    let address = text
        .parse::<SocketAddr>()
        .or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)));
    match address {
        Ok(address) if address.port() != 0 && !address.ip().is_unspecified() => Some(address),
        _ => {
            node.unexpected(EXPECTED);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{accepted, refused};
    use super::*;

    #[test]
    fn defaults_are_the_systems() {
        for text in ["", "[server]\nresolver = {}"] {
            assert_eq!(accepted(text).server.resolver, Resolver::default());
        }
    }

    #[test]
    fn everything_that_is_given_is_taken() {
        let text = r#"server.resolver = { nameservers = ["10.0.0.2", "127.0.0.1:5353", "fd00::2", "[::1]:54"], timeout = "500ms", attempts = 3, min_ttl = "5s", max_ttl = "1m", stale = "0s" }"#;
        let addresses = ["10.0.0.2:53", "127.0.0.1:5353", "[fd00::2]:53", "[::1]:54"];
        let expected = Resolver {
            nameservers: addresses.map(|text| text.parse().unwrap()).to_vec(),
            timeout: Some(Duration::from_millis(500)),
            attempts: Some(3),
            min_ttl: Duration::from_secs(5),
            max_ttl: Duration::from_mins(1),
            stale: Duration::ZERO,
        };
        assert_eq!(accepted(text).server.resolver, expected);
    }

    #[test]
    fn what_is_refused() {
        const SERVER: &str = r#"expected the address of a name server, such as "10.0.0.2", "127.0.0.1:5353" or "[fd00::2]:53""#;
        for (text, expected) in [
            ("nameservers = []", "nameservers: found 0 addresses; expected 1 to 8".to_owned()),
            (
                "nameservers = [\"10.0.0.2\", \"dns.internal\"]",
                format!("nameservers[1]: found \"dns.internal\"; {SERVER}"),
            ),
            (
                "nameservers = [\"10.0.0.2:0\"]",
                format!("nameservers[0]: found \"10.0.0.2:0\"; {SERVER}"),
            ),
            (
                "nameservers = [\"0.0.0.0\"]",
                format!("nameservers[0]: found \"0.0.0.0\"; {SERVER}"),
            ),
            ("attempts = 0", "attempts: found 0; expected a whole number from 1 to 10".to_owned()),
            ("min_ttl = \"0s\"", "min_ttl: found \"0s\"; expected a duration longer than zero".to_owned()),
            ("min_ttl = \"2h\"", "min_ttl: longer than `max_ttl`, which is \"1h\"".to_owned()),
            ("ttl = 1", "ttl: unknown key; allowed here: attempts, max_ttl, min_ttl, nameservers, stale, timeout".to_owned()),
        ] {
            let refused = refused(&format!("server.resolver.{text}"));
            assert_eq!(refused, [format!("1: server.resolver.{expected}")], "{text}");
        }
        assert_eq!(
            refused("server.resolver.max_ttl = \"500ms\""),
            ["1: server.resolver: `max_ttl` is shorter than `min_ttl`, which is \"1s\""]
        );
    }
}
