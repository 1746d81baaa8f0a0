//! `[server]`

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use ipnet::IpNet;

use super::Scope;
use super::model::{Server, ServerLimits};
use super::plugin_use;
use super::reader::{Node, Section};
use super::resolver;

/// More threads than any machine of today has cores; a number above it is a typing mistake.
const MOST_WORKERS: usize = 1024;

/// What an `http::HeaderMap` holds is 24,576 fields at most; well below it, and above every need.
const MOST_HEADERS: usize = 10_000;
const MOST_STREAMS: u32 = 10_000;

pub(super) fn read(root: &mut Section<'_>, scope: &Scope<'_>) -> Server {
    let mut section = root.section("server");
    let server = Server {
        workers: section
            .read("workers", |node| node.whole(0..=MOST_WORKERS))
            .and_then(NonZeroUsize::new)
            .unwrap_or_else(cores),
        shutdown_grace: section
            .read("shutdown_grace", Node::duration_or_zero)
            .unwrap_or(Duration::from_secs(30)),
        drain_delay: section
            .read("drain_delay", Node::duration_or_zero)
            .unwrap_or(Duration::ZERO),
        watch: section.read("watch", Node::boolean).unwrap_or(true),
        trusted_proxies: section
            .read("trusted_proxies", networks)
            .unwrap_or_default(),
        plugins: section
            .read("plugins", |node| plugin_use::read_all(node, scope))
            .unwrap_or_default(),
        limits: limits(&mut section),
        resolver: resolver::read(&mut section),
    };
    section.finish();
    server
}

fn cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Addresses and ranges of them.
pub(super) fn networks(node: &Node<'_>) -> Option<Vec<IpNet>> {
    Some(node.items()?.iter().filter_map(network).collect())
}

fn network(node: &Node<'_>) -> Option<IpNet> {
    const EXPECTED: &str =
        r#"an address or a range of them, such as "127.0.0.1", "10.0.0.0/8" or "fd00::/8""#;
    let text = node.string_like(EXPECTED)?;
    let network = text
        .parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let Ok(network) = network else {
        node.unexpected(EXPECTED);
        return None;
    };
    let whole = network.trunc();
    if whole != network {
        node.warning(format!(
            "{network} is an address within a range; the whole range {whole} is trusted"
        ));
    }
    Some(whole)
}

fn limits(server: &mut Section<'_>) -> ServerLimits {
    let mut section = server.section("limits");
    let limits = ServerLimits {
        connections: section
            .read("connections", |node| node.whole(1..=10_000_000))
            .unwrap_or(10_000),
        header_bytes: section
            .read("header_bytes", |node| node.size(1024..=16 << 20))
            .and_then(|size| usize::try_from(size).ok())
            .unwrap_or(64 << 10),
        streams: section
            .read("streams", |node| node.whole(1..=MOST_STREAMS))
            .unwrap_or(100),
        headers: section
            .read("headers", |node| node.whole(1..=MOST_HEADERS))
            .unwrap_or(100),
        header_timeout: section
            .read("header_timeout", Node::duration)
            .unwrap_or(Duration::from_secs(10)),
        handshake_timeout: section
            .read("handshake_timeout", Node::duration)
            .unwrap_or(Duration::from_secs(10)),
        idle_timeout: section
            .read("idle_timeout", Node::duration)
            .unwrap_or(Duration::from_mins(1)),
        body_bytes: section.read("body_bytes", body_bytes),
    };
    section.finish();
    limits
}

/// `None` is both "none" and a wrong value, of which the second never gets out.
///
/// Zero is refused because it means "no limit" elsewhere (nginx's `client_max_body_size`).
fn body_bytes(node: &Node<'_>) -> Option<u64> {
    if node.as_str() == Some("none") {
        return None;
    }
    node.size_or(1..=1 << 50, r#", or "none" for no limit"#)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{accepted, refused, warned};
    use super::*;

    #[test]
    fn an_empty_section_has_the_defaults_of_an_absent_one() {
        for text in [
            "",
            "[server]\n",
            "[server]\nlimits = {}\nworkers = 0\nplugins = []\ntrusted_proxies = []\n",
        ] {
            let server = accepted(text).server;
            assert_eq!(server.workers, cores());
            assert_eq!(server.shutdown_grace, Duration::from_secs(30));
            assert!(server.trusted_proxies.is_empty() && server.plugins.is_empty());
            assert_eq!(server.limits.connections, 10_000);
            assert_eq!(server.limits.header_bytes, 65_536);
            assert_eq!(server.limits.headers, 100);
            assert_eq!(server.limits.header_timeout, Duration::from_secs(10));
            assert_eq!(server.limits.idle_timeout, Duration::from_mins(1));
            assert_eq!(server.limits.body_bytes, None);
        }
    }

    #[test]
    fn everything_that_is_given_is_taken() {
        let server = accepted(
            r#"
            [server]
            workers = 3
            shutdown_grace = "0s"
            trusted_proxies = ["127.0.0.1", "10.0.0.0/8", "fd00::/8", "::1"]
            limits = { connections = 5, header_bytes = "8KiB", headers = 7, header_timeout = "1s", idle_timeout = "1m", body_bytes = "1MiB" }
            "#,
        )
        .server;
        assert_eq!(server.workers.get(), 3);
        assert_eq!(server.shutdown_grace, Duration::ZERO);
        let trusted: Vec<String> = server
            .trusted_proxies
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            trusted,
            ["127.0.0.1/32", "10.0.0.0/8", "fd00::/8", "::1/128"]
        );
        assert_eq!(server.limits.connections, 5);
        assert_eq!(server.limits.header_bytes, 8192);
        assert_eq!(server.limits.headers, 7);
        assert_eq!(server.limits.header_timeout, Duration::from_secs(1));
        assert_eq!(server.limits.idle_timeout, Duration::from_mins(1));
        assert_eq!(server.limits.body_bytes, Some(1 << 20));
    }

    #[test]
    fn what_is_refused() {
        for (line, expected) in [
            (
                "workers = -1",
                "1: server.workers: found -1; expected a whole number from 0 to 1024",
            ),
            (
                "workers = \"4\"",
                "1: server.workers: found \"4\"; expected a whole number from 0 to 1024",
            ),
            (
                "workers = 0xFFFF",
                "1: server.workers: found 0xFFFF; expected a whole number from 0 to 1024",
            ),
            (
                "shutdown_grace = 30",
                "1: server.shutdown_grace: found 30; expected a duration such as \"250ms\", \"2s\", \"1m\" or \"1h\"",
            ),
            (
                "shutdown_grace = \"9000h\"",
                "1: server.shutdown_grace: found \"9000h\"; expected at most \"8760h\"",
            ),
            (
                "trusted_proxies = \"::1\"",
                "1: server.trusted_proxies: found \"::1\"; expected an array",
            ),
            (
                "trusted_proxies = [\"::1\", \"localhost\"]",
                "1: server.trusted_proxies[1]: found \"localhost\"; expected an address or a range of them, such as \"127.0.0.1\", \"10.0.0.0/8\" or \"fd00::/8\"",
            ),
            (
                "limits.header_bytes = \"64KB\"",
                "1: server.limits.header_bytes: found \"64KB\"; expected a size such as \"512B\", \"64KiB\", \"16MiB\" or \"1GiB\"",
            ),
            (
                "limits.header_bytes = \"1GiB\"",
                "1: server.limits.header_bytes: found \"1GiB\"; expected a size from \"1KiB\" to \"16MiB\"",
            ),
            (
                "limits.header_timeout = \"0s\"",
                "1: server.limits.header_timeout: found \"0s\"; expected a duration longer than zero",
            ),
            (
                "limits.body_bytes = \"0B\"",
                "1: server.limits.body_bytes: found \"0B\"; expected a size from \"1B\" to \"1048576GiB\", or \"none\" for no limit",
            ),
            (
                "limits.headers = 0",
                "1: server.limits.headers: found 0; expected a whole number from 1 to 10000",
            ),
            ("limits = 1", "1: server.limits: found 1; expected a table"),
            (
                "limits.header = 5",
                "1: server.limits.header: unknown key; did you mean \"headers\"?",
            ),
            (
                "threads = 5",
                "1: server.threads: unknown key; allowed here: drain_delay, limits, plugins, resolver, shutdown_grace, trusted_proxies, watch, workers",
            ),
        ] {
            assert_eq!(refused(&format!("server.{line}")), [expected], "{line}");
        }
    }

    #[test]
    fn an_address_within_a_range_is_widened_with_a_warning() {
        let (config, warnings) = warned("server.trusted_proxies = [\"10.1.2.3/8\"]");
        assert_eq!(
            config.server.trusted_proxies,
            ["10.0.0.0/8".parse::<IpNet>().unwrap()]
        );
        assert_eq!(
            warnings,
            [
                "1: server.trusted_proxies[0]: 10.1.2.3/8 is an address within a range; the whole range 10.0.0.0/8 is trusted"
            ]
        );
    }
}
