//! The table against the plainest way to say the same: try every rule, order those that fit.

use http::Method;
use proptest::prelude::*;

use super::{HostPattern, Lookup, Pattern, Rule, Segment, Table};

/// Everything that decides between two rules that fit, from the first criterion to the last. The
/// least wins.
type Rank = (HostRank, Vec<SegmentRank>, MethodRank, usize);

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum HostRank {
    Exact,
    Below(std::cmp::Reverse<usize>),
    Any,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum SegmentRank {
    Literal,
    Parameter,
    Wildcard,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum MethodRank {
    Listed,
    Implied,
    Any,
}

fn host_rank(rule: &Rule, host: &str) -> Option<HostRank> {
    match &rule.host {
        None => Some(HostRank::Any),
        Some(HostPattern::Exact(exact)) => (exact == host).then_some(HostRank::Exact),
        Some(HostPattern::Below(domain)) => host
            .ends_with(&format!(".{domain}"))
            .then_some(HostRank::Below(std::cmp::Reverse(domain.len()))),
    }
}

/// The ranks of the segments, and the parameters' values.
fn path_rank(pattern: &Pattern, path: &str) -> Option<(Vec<SegmentRank>, Vec<String>)> {
    let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let (mut ranks, mut values) = (Vec::new(), Vec::new());
    for (index, segment) in pattern.segments().iter().enumerate() {
        match segment {
            Segment::Literal(text) if text == parts.get(index)? => ranks.push(SegmentRank::Literal),
            Segment::Literal(_) => return None,
            Segment::Parameter(_) => {
                ranks.push(SegmentRank::Parameter);
                values.push((*parts.get(index).filter(|part| !part.is_empty())?).to_owned());
            }
            Segment::Wildcard(_) => {
                ranks.push(SegmentRank::Wildcard);
                values.push(
                    parts
                        .get(index..)
                        .filter(|parts| !parts.is_empty())?
                        .join("/"),
                );
                return Some((ranks, values));
            }
        }
    }
    (parts.len() == pattern.segments().len()).then_some((ranks, values))
}

fn method_rank(rule: &Rule, method: &Method) -> Option<MethodRank> {
    match &rule.methods {
        methods if methods.is_empty() => Some(MethodRank::Any),
        methods if methods.contains(method) => Some(MethodRank::Listed),
        methods if method == "HEAD" && methods.contains(&Method::GET) => Some(MethodRank::Implied),
        _ => None,
    }
}

enum Expected {
    Found(usize, Vec<String>),
    Allow(Vec<String>),
    NotFound,
}

fn expected(rules: &[Rule], host: &str, path: &str, method: &Method) -> Expected {
    let mut best: Option<(Rank, Vec<String>)> = None;
    let mut allow = std::collections::BTreeSet::new();
    for (index, rule) in rules.iter().enumerate() {
        let Some(host) = host_rank(rule, host) else {
            continue;
        };
        let Some((segments, values)) = path_rank(&rule.pattern, path) else {
            continue;
        };
        allow.extend(rule.methods.iter().map(ToString::to_string));
        if rule.methods.contains(&Method::GET) {
            allow.insert("HEAD".to_owned());
        }
        let Some(method) = method_rank(rule, method) else {
            continue;
        };
        let rank = (host, segments, method, index);
        if best.as_ref().is_none_or(|(best, _)| rank < *best) {
            best = Some((rank, values));
        }
    }
    match best {
        Some(((.., index), values)) => Expected::Found(index, values),
        None if allow.is_empty() => Expected::NotFound,
        None => Expected::Allow(allow.into_iter().collect()),
    }
}

/// Few different segments, hosts and methods, so that rules and requests meet often.
fn rule() -> impl Strategy<Value = Rule> {
    let host = prop::sample::select(vec![
        "", "", "a.h.t", "b.h.t", "*.t", "*.h.t", "*.a.h.t", "h.t",
    ]);
    let segment = prop::sample::select(vec!["a", "b", "c", "{}", "{}"]);
    let end = prop::sample::select(vec!["", "", "/", "/{*w}"]);
    let methods = prop::sample::subsequence(vec![Method::GET, Method::HEAD, Method::POST], 0..3);
    (host, prop::collection::vec(segment, 0..4), end, methods).prop_map(
        |(host, segments, end, methods)| {
            let mut text = String::new();
            for (segment, parameter) in segments.into_iter().zip(["{p}", "{q}", "{r}"]) {
                text.push('/');
                text.push_str(if segment == "{}" { parameter } else { segment });
            }
            text.push_str(end);
            Rule {
                host: Some(host)
                    .filter(|host| !host.is_empty())
                    .map(|host| host.parse().unwrap()),
                pattern: Pattern::parse(if text.is_empty() { "/" } else { &text }).unwrap(),
                methods,
            }
        },
    )
}

fn agree(rules: Vec<Rule>, host: &str, path: &str, method: &Method) -> Result<(), TestCaseError> {
    let expected = expected(&rules, host, path, method);
    let table = Table::new(rules);
    match (table.find(host, path, method), expected) {
        (Lookup::Found { route, params }, Expected::Found(expected, values)) => {
            prop_assert_eq!(route, expected);
            let pattern = table.pattern(route).unwrap();
            let found: Vec<_> = params.iter(pattern, path).map(|(_, value)| value).collect();
            prop_assert_eq!(found, values);
            prop_assert_eq!(params.len(), pattern.names().count());
        }
        (Lookup::MethodNotAllowed { allow }, Expected::Allow(expected)) => {
            let allow: Vec<_> = allow.iter().map(ToString::to_string).collect();
            prop_assert_eq!(allow, expected);
        }
        (Lookup::NotFound, Expected::NotFound) => {}
        (found, _) => prop_assert!(false, "found {found:?}"),
    }
    Ok(())
}

fn method() -> impl Strategy<Value = Method> {
    prop::sample::select(vec![Method::GET, Method::HEAD, Method::POST, Method::PUT])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(1_000)))]

    #[test]
    fn the_table_finds_what_the_ordering_says(
        rules in prop::collection::vec(rule(), 0..30),
        host in prop::sample::select(vec!["", "a.h.t", "b.h.t", "c.h.t", "x.a.h.t", "h.t", "t", "xh.t"]),
        path in "(/[abc]?){1,5}",
        method in method(),
    ) {
        agree(rules, host, &path, &method)?;
    }

    #[test]
    fn no_request_makes_it_panic(
        rules in prop::collection::vec(rule(), 0..10),
        host in any::<String>(),
        path in any::<String>(),
        method in method(),
    ) {
        agree(rules.clone(), &host, &path, &method)?;
        agree(rules, &host, &format!("/{path}"), &method)?;
    }
}
