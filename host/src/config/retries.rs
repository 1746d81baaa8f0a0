//! `upstreams.NAME.retries`

use http::StatusCode;

use super::model::Retries;
use super::reader::{Node, Section};

/// No upstream has so many targets that are worth a try for one request.
const MOST_ATTEMPTS: usize = 100;

const CONNECT_FAILURE: &str = "connect-failure";

pub(super) fn read(upstream: &mut Section<'_>) -> Retries {
    let retries = upstream.read("retries", retries);
    retries.unwrap_or(Retries {
        attempts: 0,
        on_connect_failure: true,
        on: Vec::new(),
        budget: BUDGET,
    })
}

/// As Finagle's and Linkerd's budgets.
const BUDGET: f64 = 0.2;

fn retries(node: &Node<'_>) -> Option<Retries> {
    let mut section = node.section("a table such as { attempts = 2 }")?;
    let attempts = section.require(
        "attempts",
        &format!("a whole number from 0 to {MOST_ATTEMPTS}"),
    );
    let (on_connect_failure, statuses) = section.read("on", on).unwrap_or((true, Vec::new()));
    let budget = section.read("budget", Node::share).unwrap_or(BUDGET);
    section.finish();
    Some(Retries {
        attempts: attempts?.whole(0..=MOST_ATTEMPTS)?,
        on_connect_failure,
        on: statuses,
        budget,
    })
}

/// Whether a connection that could not be made is among the reasons to try again, and the answers that
/// are.
fn on(node: &Node<'_>) -> Option<(bool, Vec<StatusCode>)> {
    let mut on_connect_failure = false;
    let mut statuses = Vec::new();
    for item in &node.items()? {
        match (item.as_str(), item.as_str().and_then(error_status)) {
            (Some(CONNECT_FAILURE), _) => on_connect_failure = true,
            (_, Some(status)) => statuses.push(status),
            _ => item.unexpected(format_args!(
                "\"{CONNECT_FAILURE}\", or a status from \"400\" to \"599\""
            )),
        }
    }
    Some((on_connect_failure, statuses))
}

fn error_status(text: &str) -> Option<StatusCode> {
    let status = text.parse::<StatusCode>().ok()?;
    (status.is_client_error() || status.is_server_error()).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{accepted, refused};
    use super::*;

    const TARGETS: &str = "[upstreams.u]\ntargets = [{ url = \"http://a\" }]\n";

    #[test]
    fn defaults_and_values() {
        for (text, attempts, on_connect_failure, on, budget) in [
            ("", 0, true, &[] as &[u16], 0.2),
            ("retries = { attempts = 2 }", 2, true, &[], 0.2),
            ("retries = { attempts = 0, budget = 0 }", 0, true, &[], 0.0),
            (
                "retries = { attempts = 2, on = [\"connect-failure\"], budget = 0.5 }",
                2,
                true,
                &[],
                0.5,
            ),
            ("retries = { attempts = 2, on = [] }", 2, false, &[], 0.2),
            (
                "retries = { attempts = 1, on = [\"502\", \"429\"], budget = 1 }",
                1,
                false,
                &[502, 429],
                1.0,
            ),
        ] {
            let mut config = accepted(&format!("{TARGETS}{text}"));
            let retries = config.upstreams.remove("u").unwrap().retries;
            let expected = Retries {
                attempts,
                on_connect_failure,
                on: on
                    .iter()
                    .map(|status| StatusCode::from_u16(*status).unwrap())
                    .collect(),
                budget,
            };
            assert_eq!(retries, expected, "{text}");
        }
    }

    #[test]
    fn what_is_refused() {
        for (retries, expected) in [
            (
                "retries = 2",
                "3: upstreams.u.retries: found 2; expected a table such as { attempts = 2 }",
            ),
            (
                "retries = {}",
                "3: upstreams.u.retries.attempts: missing; expected a whole number from 0 to 100",
            ),
            (
                "retries.attempts = 101",
                "3: upstreams.u.retries.attempts: found 101; expected a whole number from 0 to 100",
            ),
            (
                "retries = { attempts = 1, on = [\"200\"] }",
                "3: upstreams.u.retries.on[0]: found \"200\"; expected \"connect-failure\", or a status from \"400\" to \"599\"",
            ),
            (
                "retries = { attempts = 1, on = [502] }",
                "3: upstreams.u.retries.on[0]: found 502; expected \"connect-failure\", or a status from \"400\" to \"599\"",
            ),
            (
                "retries = { attempts = 1, budget = 1.5 }",
                "3: upstreams.u.retries.budget: found 1.5; expected a number from 0.0 to 1.0",
            ),
            (
                "retries = { attempts = 1, budget = nan }",
                "3: upstreams.u.retries.budget: found nan; expected a number from 0.0 to 1.0",
            ),
            (
                "retries = { attempts = 1, backoff = 1 }",
                "3: upstreams.u.retries.backoff: unknown key; allowed here: attempts, budget, on",
            ),
        ] {
            assert_eq!(
                refused(&format!("{TARGETS}{retries}")),
                [expected],
                "{retries}"
            );
        }
    }
}
