//! `upstreams.NAME.retries`

use super::model::Retries;
use super::reader::{Node, Section};

/// No upstream has so many targets that are worth a try for one request.
const MOST_ATTEMPTS: usize = 100;

const CONNECT_FAILURE: &str = "connect-failure";

pub(super) fn read(upstream: &mut Section<'_>) -> Retries {
    let retries = upstream.read("retries", retries);
    retries.unwrap_or(Retries {
        connect_attempts: 0,
    })
}

fn retries(node: &Node<'_>) -> Option<Retries> {
    let mut section = node.section("a table such as { attempts = 2 }")?;
    let attempts = section.require(
        "attempts",
        &format!("a whole number from 0 to {MOST_ATTEMPTS}"),
    );
    let on_connect_failure = section.read("on", on).unwrap_or(true);
    if let Some(budget) = section.take("budget")
        && budget.share().is_some()
    {
        budget.warning("accepted, but retry budgets are not part of this version: only `attempts` bounds retries");
    }
    section.finish();
    let attempts = attempts?.whole(0..=MOST_ATTEMPTS)?;
    Some(Retries {
        connect_attempts: if on_connect_failure { attempts } else { 0 },
    })
}

/// Whether a connection that could not be made is among the reasons to try again.
fn on(node: &Node<'_>) -> Option<bool> {
    let items = node.items()?;
    for item in &items {
        match item.as_str() {
            Some(CONNECT_FAILURE) => {}
            Some(text) if is_error_status(text) => item.warning(format!(
                "accepted, but retries of answered requests are not part of this version: an answer of {text} goes to the client"
            )),
            _ => item.unexpected(format_args!("\"{CONNECT_FAILURE}\", or a status from \"400\" to \"599\"")),
        }
    }
    Some(
        items
            .iter()
            .any(|item| item.as_str() == Some(CONNECT_FAILURE)),
    )
}

fn is_error_status(text: &str) -> bool {
    text.len() == 3 && text.starts_with(['4', '5']) && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{accepted, refused, warned};

    const TARGETS: &str = "[upstreams.u]\ntargets = [{ url = \"http://a\" }]\n";

    #[test]
    fn attempts_count_when_failed_connections_are_listed() {
        for (retries, expected) in [
            ("", 0),
            ("retries = { attempts = 0 }", 0),
            ("retries = { attempts = 2 }", 2),
            ("retries = { attempts = 2, on = [\"connect-failure\"] }", 2),
            ("retries = { attempts = 2, on = [] }", 0),
        ] {
            let config = accepted(&format!("{TARGETS}{retries}"));
            assert_eq!(
                config.upstreams.get("u").unwrap().retries.connect_attempts,
                expected,
                "{retries}"
            );
        }
    }

    #[test]
    fn other_reasons_and_budgets_are_warnings() {
        let (config, warnings) = warned(&format!(
            "{TARGETS}[upstreams.u.retries]\nattempts = 2\non = [\"502\"]\nbudget = 0.2"
        ));
        assert_eq!(
            config.upstreams.get("u").unwrap().retries.connect_attempts,
            0
        );
        assert_eq!(
            warnings,
            [
                "5: upstreams.u.retries.on[0]: accepted, but retries of answered requests are not part of this version: an answer of 502 goes to the client",
                "6: upstreams.u.retries.budget: accepted, but retry budgets are not part of this version: only `attempts` bounds retries",
            ]
        );
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
