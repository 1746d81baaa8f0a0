//! `upstreams.NAME.health` and `upstreams.NAME.outliers`.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::uri::PathAndQuery;

use super::model::{HealthCheck, Outliers, Probe};
use super::reader::{Node, Section};

/// In a row, to change one's mind about a target.
const COUNT: RangeInclusive<u32> = 1..=1000;

pub(super) fn read_health(upstream: &mut Section<'_>) -> Option<HealthCheck> {
    upstream.read("health", health)
}

pub(super) fn read_outliers(upstream: &mut Section<'_>) -> Option<Outliers> {
    upstream.read("outliers", outliers)
}

fn health(node: &Node<'_>) -> Option<HealthCheck> {
    let mut section =
        node.section(r#"a table such as { path = "/healthz" } or { connect = true }"#)?;
    let path_node = section.take("path");
    let path = path_node.as_ref().map(path);
    let connect = section.take("connect");
    let status = section.read("status", status);
    let health = HealthCheck {
        probe: match &path {
            Some(path) => Probe::Http {
                path: path.clone().unwrap_or(PathAndQuery::from_static("/")),
                status: status.unwrap_or(200..=399),
            },
            None => Probe::Connect,
        },
        interval: section
            .read("interval", Node::duration)
            .unwrap_or(Duration::from_secs(5)),
        timeout: section
            .read("timeout", Node::duration)
            .unwrap_or(Duration::from_secs(1)),
        healthy: section
            .read("healthy", |node| node.whole(COUNT))
            .unwrap_or(2),
        unhealthy: section
            .read("unhealthy", |node| node.whole(COUNT))
            .unwrap_or(3),
        slow_start: slow_start(&mut section),
    };
    section.finish();
    let connects = connect.as_ref().and_then(Node::boolean);
    match (&path, &connect) {
        (None, _) if connects != Some(true) => {
            node.problem(r#"what a check does is missing; give a `path` such as "/healthz", or connect = true to see only whether the target takes connections"#);
        }
        (Some(_), Some(connect)) if connects == Some(true) => {
            connect.problem("a request connects as well; leave out either `path` or `connect`");
        }
        _ => {}
    }
    Some(health)
}

/// The same for targets that checks bring back and for those whose ejection ends: an upstream may have either alone.
fn slow_start(section: &mut Section<'_>) -> Duration {
    section
        .read("slow_start", Node::duration_or_zero)
        .unwrap_or(Duration::from_secs(10))
}

fn path(node: &Node<'_>) -> Option<PathAndQuery> {
    let path = node
        .string()?
        .parse::<PathAndQuery>()
        .ok()
        .filter(|path| path.as_str().starts_with('/'));
    if path.is_none() {
        node.unexpected(r#"a path such as "/healthz""#);
    }
    path
}

fn status(node: &Node<'_>) -> Option<RangeInclusive<u16>> {
    let status: u16 = node.whole(200..=599)?;
    Some(status..=status)
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
        slow_start: slow_start(&mut section),
    };
    section.finish();
    Some(outliers)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{accepted, refused};
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
            slow_start: Duration::from_secs(10),
        };
        assert_eq!(outliers("outliers = {}"), Some(defaults));
        assert_eq!(
            outliers(
                "outliers = { failures = 1, ejection = \"1ms\", max_ejected = 1, slow_start = \"0s\" }"
            ),
            Some(Outliers {
                failures: 1,
                ejection: Duration::from_millis(1),
                max_ejected: 1.0,
                slow_start: Duration::ZERO,
            })
        );
    }

    fn health_of(text: &str) -> Option<HealthCheck> {
        let mut config = accepted(&format!("{TARGETS}{text}"));
        config.upstreams.remove("u").unwrap().health
    }

    #[test]
    fn health_checks_are_taken_and_without_them_nobody_is_checked() {
        assert_eq!(health_of(""), None);
        let defaults = HealthCheck {
            probe: Probe::Http {
                path: PathAndQuery::from_static("/healthz?deep"),
                status: 200..=399,
            },
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            healthy: 2,
            unhealthy: 3,
            slow_start: Duration::from_secs(10),
        };
        assert_eq!(
            health_of("health.path = \"/healthz?deep\""),
            Some(defaults.clone())
        );
        assert_eq!(
            health_of(
                "health = { connect = true, interval = \"1s\", healthy = 1, unhealthy = 1, slow_start = \"0s\" }"
            ),
            Some(HealthCheck {
                probe: Probe::Connect,
                interval: Duration::from_secs(1),
                healthy: 1,
                unhealthy: 1,
                slow_start: Duration::ZERO,
                ..defaults
            })
        );
        let exact = health_of("health = { path = \"/\", status = 204 }").unwrap();
        assert!(matches!(exact.probe, Probe::Http { status, .. } if status == (204..=204)));
    }

    #[test]
    fn their_form_is_checked() {
        for (text, expected) in [
            (
                "health = {}",
                "3: upstreams.u.health: what a check does is missing; give a `path` such as \"/healthz\", or connect = true to see only whether the target takes connections",
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
