//! `upstreams.NAME.outliers`, and `upstreams.NAME.health`, which is checked and has no effect yet.

use std::time::Duration;

use super::model::Outliers;
use super::reader::{Node, Section};

/// In a row, to change one's mind about a target.
const COUNT: std::ops::RangeInclusive<u32> = 1..=1000;

pub(super) fn read(upstream: &mut Section<'_>) -> Option<Outliers> {
    if let Some(node) = upstream.take("health")
        && health(&node).is_some()
    {
        node.warning("accepted, but active health checks are not part of this version: targets are not probed");
    }
    upstream.read("outliers", outliers)
}

fn health(node: &Node<'_>) -> Option<()> {
    let mut section = node.section(r#"a table such as { path = "/healthz" }"#)?;
    section
        .require("path", r#"a path such as "/healthz""#)
        .and_then(|node| path(&node));
    section.read("interval", Node::duration);
    section.read("timeout", Node::duration);
    section.read("healthy", |node| node.whole(COUNT));
    section.read("unhealthy", |node| node.whole(COUNT));
    section.finish();
    Some(())
}

fn path(node: &Node<'_>) -> Option<()> {
    let fine = node
        .string()?
        .parse::<http::uri::PathAndQuery>()
        .is_ok_and(|path| path.as_str().starts_with('/'));
    if !fine {
        node.unexpected(r#"a path such as "/healthz""#);
    }
    Some(())
}

fn outliers(node: &Node<'_>) -> Option<Outliers> {
    let mut section = node.section("a table such as { failures = 5 }")?;
    let outliers = Outliers {
        failures: section
            .read("failures", |node| node.whole(COUNT))
            .unwrap_or(5),
        ejection: section
            .read("ejection", Node::duration)
            .unwrap_or(Duration::from_secs(30)),
        max_ejected: section.read("max_ejected", Node::share).unwrap_or(0.5),
    };
    section.finish();
    Some(outliers)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{accepted, refused, warned};
    use super::*;

    const TARGETS: &str = "[upstreams.u]\ntargets = [{ url = \"http://a\" }]\n";

    fn outliers(text: &str) -> Option<Outliers> {
        let mut config = accepted(&format!("{TARGETS}{text}"));
        config.upstreams.remove("u").unwrap().outliers
    }

    #[test]
    fn outliers_are_taken_and_without_them_nobody_is_ejected() {
        assert_eq!(outliers(""), None);
        let defaults = Outliers {
            failures: 5,
            ejection: Duration::from_secs(30),
            max_ejected: 0.5,
        };
        assert_eq!(outliers("outliers = {}"), Some(defaults));
        assert_eq!(
            outliers("outliers = { failures = 1, ejection = \"1ms\", max_ejected = 1 }"),
            Some(Outliers {
                failures: 1,
                ejection: Duration::from_millis(1),
                max_ejected: 1.0
            })
        );
    }

    #[test]
    fn health_checks_are_accepted_with_a_warning() {
        let (_, warnings) = warned(&format!(
            "{TARGETS}health = {{ path = \"/healthz\", interval = \"5s\", timeout = \"1s\", healthy = 2, unhealthy = 3 }}"
        ));
        assert_eq!(
            warnings,
            [
                "3: upstreams.u.health: accepted, but active health checks are not part of this version: targets are not probed",
            ]
        );
    }

    #[test]
    fn their_form_is_checked() {
        for (text, expected) in [
            (
                "health = {}",
                "3: upstreams.u.health.path: missing; expected a path such as \"/healthz\"",
            ),
            (
                "health.path = \"healthz\"",
                "3: upstreams.u.health.path: found \"healthz\"; expected a path such as \"/healthz\"",
            ),
            (
                "health = { path = \"/\", interval = \"0s\" }",
                "3: upstreams.u.health.interval: found \"0s\"; expected a duration longer than zero",
            ),
            (
                "health = { path = \"/\", healthy = 0 }",
                "3: upstreams.u.health.healthy: found 0; expected a whole number from 1 to 1000",
            ),
            (
                "health = { path = \"/\", intervall = \"1s\" }",
                "3: upstreams.u.health.intervall: unknown key; did you mean \"interval\"?",
            ),
            (
                "outliers = []",
                "3: upstreams.u.outliers: found an empty array; expected a table such as { failures = 5 }",
            ),
            (
                "outliers.failures = 0",
                "3: upstreams.u.outliers.failures: found 0; expected a whole number from 1 to 1000",
            ),
            (
                "outliers.ejection = \"0s\"",
                "3: upstreams.u.outliers.ejection: found \"0s\"; expected a duration longer than zero",
            ),
            (
                "outliers.max_ejected = -0.5",
                "3: upstreams.u.outliers.max_ejected: found -0.5; expected a number from 0.0 to 1.0",
            ),
        ] {
            assert_eq!(refused(&format!("{TARGETS}{text}")), [expected], "{text}");
        }
    }
}
