//! `[upstreams.NAME]`

use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderName;

use super::model::{Algorithm, HashOn, LoadFactor, Target, Timeouts, Upstream, UpstreamProtocol};
use super::reader::{Node, Section};
use super::tls::model::UpstreamTls;
use super::{Scope, health, limits, name, retries, target, tls, via};
use crate::exchange::Scheme;

pub(super) fn read(root: &mut Section<'_>, scope: &Scope<'_>) -> BTreeMap<String, Upstream> {
    let mut upstreams = BTreeMap::new();
    for (name, node) in root.section("upstreams").entries() {
        name::check(&node, name);
        if let Some(upstream) = upstream(&node, scope) {
            upstreams.insert(name.to_owned(), upstream);
        }
    }
    upstreams
}

fn upstream(node: &Node<'_>, scope: &Scope<'_>) -> Option<Upstream> {
    let mut section = node.section("a table")?;
    let balance = section.take("balance");
    let hash_on = section.take("hash_on");
    let bounded_load = section.take("bounded_load");
    let targets = target::read_all(&mut section);
    let timeouts = timeouts(&mut section);
    let retries = retries::read(&mut section);
    let limits = limits::read(&mut section);
    let outliers = health::read_outliers(&mut section);
    let health = health::read_health(&mut section);
    let protocol = section
        .read("protocol", |node| node.choice(&PROTOCOLS))
        .unwrap_or_default();
    let via = via::read(&mut section, scope);
    let tls = section.take("tls");
    section.finish();
    let tls = secure(&targets, tls.as_ref(), node, scope);

    // A wrong algorithm is one problem, and not a second one for what goes with it.
    let mut algorithm = match &balance {
        None => Some(Algorithm::RoundRobin),
        Some(node) => algorithm(node),
    };
    if let Some(node) = &hash_on
        && algorithm.is_some_and(|algorithm| !algorithm.hashes())
    {
        node.warning(r#"has no effect: only balance = "consistent-hash" and "maglev" hash"#);
    }
    if let (Some(node), Some(algorithm)) = (&bounded_load, &mut algorithm) {
        bound(algorithm, node);
    }
    if let Some(Algorithm::RoundRobin) = algorithm
        && targets.iter().any(|target| target.weight.get() != 1)
    {
        let place = balance.as_ref().unwrap_or(node);
        place.warning(r#"round-robin gives every target the same share; balance = "weighted-round-robin" respects `weight`"#);
    }
    Some(Upstream {
        balance: algorithm.unwrap_or(Algorithm::RoundRobin),
        hash_on: hash_on.as_ref().and_then(key).unwrap_or(HashOn::ClientIp),
        targets,
        timeouts,
        protocol,
        tls,
        retries,
        limits,
        outliers,
        health,
        via,
    })
}

/// What TLS to targets needs, where there is any.
fn secure(
    targets: &[Target],
    tls: Option<&Node<'_>>,
    upstream: &Node<'_>,
    scope: &Scope<'_>,
) -> Option<UpstreamTls> {
    let has_any = targets.iter().any(|target| target.scheme == Scheme::Https);
    let read = tls.map(|node| tls::upstream(node, scope));
    match (has_any, read) {
        (true, None) => Some(UpstreamTls::new(tls::origin(upstream))),
        (true, Some(read)) => read,
        (false, None) => None,
        (false, Some(_)) => {
            // Where a target is wrong, who knows what it was meant to be.
            if let (Some(node), false) = (tls, targets.is_empty()) {
                node.warning("has no effect: no target is https://");
            }
            None
        }
    }
}

const PROTOCOLS: [(&str, UpstreamProtocol); 3] = [
    ("http/1.1", UpstreamProtocol::Http1),
    ("h2", UpstreamProtocol::Http2),
    ("auto", UpstreamProtocol::Auto),
];

fn algorithm(node: &Node<'_>) -> Option<Algorithm> {
    let bounded_load = None;
    let algorithms = [
        ("random", Algorithm::Random),
        ("round-robin", Algorithm::RoundRobin),
        ("weighted-round-robin", Algorithm::WeightedRoundRobin),
        (
            "consistent-hash",
            Algorithm::ConsistentHash { bounded_load },
        ),
        ("least-request", Algorithm::LeastRequest),
        ("peak-ewma", Algorithm::PeakEwma),
        ("maglev", Algorithm::Maglev { bounded_load }),
    ];
    node.choice(&algorithms)
}

/// A bound that is not kept would be noticed under load only, so where there can be none it is refused.
fn bound(algorithm: &mut Algorithm, node: &Node<'_>) {
    match algorithm {
        Algorithm::ConsistentHash { bounded_load } | Algorithm::Maglev { bounded_load } => {
            *bounded_load = node.as_number().and_then(LoadFactor::new);
            if bounded_load.is_none() {
                node.unexpected("a number from 1.001 to 100.0, such as 1.25");
            }
        }
        Algorithm::Random
        | Algorithm::RoundRobin
        | Algorithm::WeightedRoundRobin
        | Algorithm::LeastRequest
        | Algorithm::PeakEwma => {
            node.problem(r#"only balance = "consistent-hash" and "maglev" can bound loads"#);
        }
    }
}

fn key(node: &Node<'_>) -> Option<HashOn> {
    const EXPECTED: &str =
        r#""client-ip", "header:NAME", "cookie:NAME", "query:NAME", "path" or "plugin""#;
    let key = match node.string_like(EXPECTED)?.split_once(':') {
        Some(("header", name)) => name.parse::<HeaderName>().ok().map(HashOn::Header),
        // A cookie's name is a token as a field's name is (RFC 6265, 4.1.1), but keeps its case.
        Some(("cookie", name)) => name
            .parse::<HeaderName>()
            .ok()
            .map(|_| HashOn::Cookie(name.to_owned())),
        Some(("query", name)) => (!name.is_empty()).then(|| HashOn::Query(name.to_owned())),
        Some(_) => None,
        None => match node.as_str() {
            Some("client-ip") => Some(HashOn::ClientIp),
            Some("path") => Some(HashOn::Path),
            Some("plugin") => Some(HashOn::Plugin),
            _ => None,
        },
    };
    if key.is_none() {
        node.unexpected(EXPECTED);
    }
    key
}

fn timeouts(upstream: &mut Section<'_>) -> Timeouts {
    let mut section = upstream.section("timeouts");
    let timeouts = Timeouts {
        connect: section
            .read("connect", Node::duration)
            .unwrap_or(Duration::from_secs(2)),
        response: section
            .read("response", Node::duration)
            .unwrap_or(Duration::from_secs(30)),
        idle: section
            .read("idle", Node::duration)
            .unwrap_or(Duration::from_mins(1)),
        tunnel: section
            .read("tunnel", Node::duration)
            .unwrap_or(Duration::from_mins(10)),
    };
    section.finish();
    timeouts
}

#[cfg(test)]
mod tests {
    use super::super::testing::{accepted, refused, warned};
    use super::*;

    const TARGETS: &str = "[upstreams.u]\ntargets = [{ url = \"http://a\" }]\n";

    fn accepted_upstream(text: &str) -> Upstream {
        accepted(&format!("{TARGETS}{text}"))
            .upstreams
            .remove("u")
            .unwrap()
    }

    #[test]
    fn defaults() {
        let upstream = accepted_upstream("");
        assert_eq!(
            (upstream.balance, upstream.hash_on),
            (Algorithm::RoundRobin, HashOn::ClientIp)
        );
        assert_eq!(
            upstream.timeouts,
            Timeouts {
                connect: Duration::from_secs(2),
                response: Duration::from_secs(30),
                idle: Duration::from_mins(1),
                tunnel: Duration::from_mins(10)
            }
        );
    }

    #[test]
    fn algorithms_and_keys() {
        for (name, algorithm) in [
            ("random", Algorithm::Random),
            ("round-robin", Algorithm::RoundRobin),
            ("weighted-round-robin", Algorithm::WeightedRoundRobin),
            (
                "consistent-hash",
                Algorithm::ConsistentHash { bounded_load: None },
            ),
            ("least-request", Algorithm::LeastRequest),
            ("peak-ewma", Algorithm::PeakEwma),
            ("maglev", Algorithm::Maglev { bounded_load: None }),
        ] {
            assert_eq!(
                accepted_upstream(&format!("balance = \"{name}\"")).balance,
                algorithm
            );
        }
        for (text, key) in [
            ("client-ip", HashOn::ClientIp),
            (
                "header:X-User",
                HashOn::Header(HeaderName::from_static("x-user")),
            ),
            ("cookie:Session", HashOn::Cookie("Session".to_owned())),
            ("query:a b:c", HashOn::Query("a b:c".to_owned())),
            ("path", HashOn::Path),
            ("plugin", HashOn::Plugin),
        ] {
            let upstream = accepted_upstream(&format!(
                "balance = \"consistent-hash\"\nhash_on = \"{text}\""
            ));
            assert_eq!(upstream.hash_on, key, "{text}");
        }
    }

    #[test]
    fn loads_are_bounded_where_keys_are_hashed() {
        for (text, thousandths) in [
            ("1.25", 1_250),
            ("2", 2_000),
            ("1.001", 1_001),
            ("1.0014", 1_001),
            ("1e2", 100_000),
        ] {
            let bounded_load = LoadFactor::new(f64::from(thousandths) / 1_000.0);
            assert_eq!(bounded_load.unwrap().thousandths(), thousandths);
            for (name, algorithm) in [
                (
                    "consistent-hash",
                    Algorithm::ConsistentHash { bounded_load },
                ),
                ("maglev", Algorithm::Maglev { bounded_load }),
            ] {
                let text = format!("bounded_load = {text}\nbalance = \"{name}\"");
                assert_eq!(accepted_upstream(&text).balance, algorithm, "{text}");
            }
        }
    }

    #[test]
    fn bounds_that_are_refused() {
        for factor in [
            "1", "1.0", "1.0004", "0.5", "-2.0", "125", "inf", "nan", "true",
        ] {
            let text = format!("{TARGETS}balance = \"maglev\"\nbounded_load = {factor}");
            assert_eq!(
                refused(&text)[0].to_ascii_lowercase(),
                format!(
                    "4: upstreams.u.bounded_load: found {factor}; expected a number from 1.001 to 100.0, such as 1.25"
                ),
            );
        }
        for balance in [
            "",
            "balance = \"random\"\n",
            "balance = \"round-robin\"\n",
            "balance = \"weighted-round-robin\"\n",
            "balance = \"least-request\"\n",
            "balance = \"peak-ewma\"\n",
        ] {
            let text = format!("{TARGETS}bounded_load = 1.25\n{balance}");
            assert_eq!(
                refused(&text),
                [
                    "3: upstreams.u.bounded_load: only balance = \"consistent-hash\" and \"maglev\" can bound loads"
                ]
            );
        }
        // A wrong algorithm is one problem.
        let text = format!("{TARGETS}bounded_load = 1.25\nbalance = \"maglef\"");
        assert_eq!(refused(&text).len(), 1);
    }

    #[test]
    fn timeouts_are_taken() {
        let timeouts =
            accepted_upstream("timeouts = { connect = \"1s\", response = \"2m\", idle = \"3ms\" }")
                .timeouts;
        assert_eq!(timeouts.connect, Duration::from_secs(1));
        assert_eq!(timeouts.response, Duration::from_mins(2));
        assert_eq!(timeouts.idle, Duration::from_millis(3));
    }

    #[test]
    fn what_says_the_default_is_no_warning() {
        accepted_upstream("protocol = \"http/1.1\"\nvia = \"direct\"\nvia_mode = \"auto\"");
    }

    #[test]
    fn what_has_no_effect_is_a_warning() {
        let text = format!("{TARGETS}hash_on = \"path\"");
        assert_eq!(
            warned(&text).1,
            [
                "3: upstreams.u.hash_on: has no effect: only balance = \"consistent-hash\" and \"maglev\" hash"
            ]
        );
        let (_, warnings) = warned("[upstreams.u]\ntargets = [{ url = \"http://a\", weight = 2 }]");
        assert_eq!(
            warnings,
            [
                "1: upstreams.u: round-robin gives every target the same share; balance = \"weighted-round-robin\" respects `weight`"
            ]
        );
    }

    #[test]
    fn what_is_refused() {
        const KEY: &str = r#"expected "client-ip", "header:NAME", "cookie:NAME", "query:NAME", "path" or "plugin""#;
        for (text, expected) in [
            (
                "balance = \"fastest\"",
                "3: upstreams.u.balance: found \"fastest\"; allowed: \"random\", \"round-robin\", \"weighted-round-robin\", \"consistent-hash\", \"least-request\", \"peak-ewma\", \"maglev\"".to_owned(),
            ),
            ("hash_on = \"header:\"\nbalance = \"consistent-hash\"", format!("3: upstreams.u.hash_on: found \"header:\"; {KEY}")),
            ("hash_on = \"cookie:a b\"\nbalance = \"consistent-hash\"", format!("3: upstreams.u.hash_on: found \"cookie:a b\"; {KEY}")),
            ("hash_on = \"query:\"\nbalance = \"consistent-hash\"", format!("3: upstreams.u.hash_on: found \"query:\"; {KEY}")),
            ("hash_on = \"body\"\nbalance = \"consistent-hash\"", format!("3: upstreams.u.hash_on: found \"body\"; {KEY}")),
            (
                "timeouts.connect = \"0ms\"",
                "3: upstreams.u.timeouts.connect: found \"0ms\"; expected a duration longer than zero".to_owned(),
            ),
            (
                "timeouts.conect = \"1s\"",
                "3: upstreams.u.timeouts.conect: unknown key; did you mean \"connect\"?".to_owned(),
            ),
            ("protocol = \"h3\"", "3: upstreams.u.protocol: found \"h3\"; allowed: \"http/1.1\", \"h2\", \"auto\"".to_owned()),
            ("balancer = 1", "3: upstreams.u.balancer: unknown key; did you mean \"balance\"?".to_owned()),
        ] {
            assert_eq!(refused(&format!("{TARGETS}{text}")), [expected], "{text}");
        }
        assert_eq!(
            refused("[upstreams.u]"),
            ["1: upstreams.u.targets: missing; expected [{ url = \"http://host:port\" }, ...]"]
        );
    }
}
