//! `upstreams.NAME.limits`

use super::model::UpstreamLimits;
use super::reader::Section;

/// As many as a machine has sockets for, with room.
pub(super) const COUNT: std::ops::RangeInclusive<usize> = 1..=10_000_000;

pub(super) fn read(upstream: &mut Section<'_>) -> UpstreamLimits {
    let mut section = upstream.section("limits");
    let connections = section.read("connections", |node| node.whole(COUNT));
    let pending = section.take("pending");
    section.finish();
    if let (None, Some(node)) = (connections, &pending) {
        node.warning("has no effect: without `connections` no request waits");
    }
    UpstreamLimits {
        connections,
        pending: pending
            .and_then(|node| node.whole(0..=*COUNT.end()))
            .unwrap_or(1024),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{accepted, refused, warned};
    use super::*;

    const TARGETS: &str = "[upstreams.u]\ntargets = [{ url = \"http://a\" }]\n";

    #[test]
    fn defaults_and_values() {
        for (text, connections, pending) in [
            ("", None, 1024),
            ("limits = {}", None, 1024),
            ("limits = { connections = 5 }", Some(5), 1024),
            ("limits = { connections = 1, pending = 0 }", Some(1), 0),
        ] {
            let mut config = accepted(&format!("{TARGETS}{text}"));
            let limits = config.upstreams.remove("u").unwrap().limits;
            let expected = UpstreamLimits {
                connections,
                pending,
            };
            assert_eq!(limits, expected, "{text}");
        }
    }

    #[test]
    fn waiting_without_a_limit_is_a_warning() {
        assert_eq!(
            warned(&format!("{TARGETS}limits = {{ pending = 1 }}")).1,
            [
                "3: upstreams.u.limits.pending: has no effect: without `connections` no request waits"
            ]
        );
    }

    #[test]
    fn what_is_refused() {
        for (text, expected) in [
            (
                "limits = 5",
                "3: upstreams.u.limits: found 5; expected a table",
            ),
            (
                "limits.connections = 0",
                "3: upstreams.u.limits.connections: found 0; expected a whole number from 1 to 10000000",
            ),
            (
                "limits = { connections = 1, pending = -1 }",
                "3: upstreams.u.limits.pending: found -1; expected a whole number from 0 to 10000000",
            ),
            (
                "limits.conections = 1",
                "3: upstreams.u.limits.conections: unknown key; did you mean \"connections\"?",
            ),
        ] {
            assert_eq!(refused(&format!("{TARGETS}{text}")), [expected], "{text}");
        }
    }
}
