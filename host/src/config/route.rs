//! `[[routes]]`

use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::Scope;
use super::hostname::{self, is_host};
use super::limits;
use super::model::{Origin, Route};
use super::plugin_use;
use super::reader::{Node, Section, quoted};
use crate::route::{HostPattern, Pattern, Segment};

const HOST: &str = r#"a host without a port, such as "api.example.com" or "*.example.com""#;
pub(super) const PATH: &str = r#"a path such as "/users/{id}" or "/{*rest}""#;

/// A route, and what comparing it with the others takes.
struct Entry<'t> {
    route: Route,
    pattern: Pattern,
    place: Node<'t>,
    /// The `name` key. A route without one is called by its path, which is not unique.
    name: Option<Node<'t>>,
}

pub(super) fn read(root: &mut Section<'_>, scope: &Scope<'_>) -> Vec<Route> {
    let node = root.take("routes");
    let items = match &node {
        Some(node) => node.items(),
        None => Some(Vec::new()),
    };
    let Some(items) = items else {
        return Vec::new();
    };
    if items.is_empty() && scope.hubs.is_empty() {
        let upstream = scope.upstreams.first().copied().unwrap_or("NAME");
        let message = format!(
            "no route is defined; a minimal one is\n    [[routes]]\n    path = \"/{{*rest}}\"\n    upstream = \"{upstream}\""
        );
        match node {
            Some(node) => node.problem(message),
            None => root.problem(message),
        }
    }
    let mut entries: Vec<Entry<'_>> = Vec::new();
    for item in &items {
        let Some(entry) = read_one(item, scope) else {
            continue;
        };
        check_name(&entry, &entries);
        check_reach(&entry, &entries);
        entries.push(entry);
    }
    entries.into_iter().map(|entry| entry.route).collect()
}

fn read_one<'t>(item: &Node<'t>, scope: &Scope<'_>) -> Option<Entry<'t>> {
    let mut section =
        item.section(r#"a table such as { path = "/{*rest}", upstream = "NAME" }"#)?;
    let name_node = section.take("name");
    let host = section.read("host", host);
    let path = section.require("path", PATH).and_then(|node| path(&node));
    let methods = section.read("methods", methods).unwrap_or_default();
    let upstream = section
        .require("upstream", "the name of an upstream")
        .and_then(|node| node.name_of("upstream", &scope.upstreams));
    let plugins = section
        .read("plugins", |node| plugin_use::read_all(node, scope))
        .unwrap_or_default();
    let timeout = section
        .read("timeout", Node::duration)
        .unwrap_or(Duration::from_mins(1));
    let exchange_timeout = section.read("exchange_timeout", Node::duration);
    let concurrency = section.read("concurrency", |node| node.whole(limits::COUNT));
    let preserve_host = section
        .read("preserve_host", Node::boolean)
        .unwrap_or(false);
    section.finish();

    let (path, pattern) = path?;
    let name = name_node.as_ref().and_then(name).unwrap_or(path);
    let route = Route {
        name: Arc::from(name),
        host,
        path: path.to_owned(),
        methods,
        // Without one there is a problem already; the route is kept to be compared with the others.
        upstream: upstream.unwrap_or_default().to_owned(),
        plugins,
        timeout,
        exchange_timeout,
        concurrency,
        preserve_host,
        origin: Origin {
            path: item.path.clone(),
            line: item.line,
        },
    };
    Some(Entry {
        route,
        pattern,
        place: item.clone(),
        name: name_node,
    })
}

fn name<'t>(node: &Node<'t>) -> Option<&'t str> {
    let name = node.string()?;
    if name.is_empty() || name.chars().any(char::is_control) {
        node.unexpected("a name that is not empty and has no control characters");
        return None;
    }
    Some(name)
}

/// In lower case, as requests are compared.
pub(super) fn host(node: &Node<'_>) -> Option<String> {
    let text = node.string_like(HOST)?;
    if let Err(error) = HostPattern::parse(text) {
        node.problem(format!("found {}; {error}", quoted(text)));
        return None;
    }
    // What is well formed can still be no host of this world: too long, or half an address.
    if !is_host(text.strip_prefix("*.").unwrap_or(text)) {
        node.unexpected(hostname::EXPECTED);
        return None;
    }
    Some(text.to_ascii_lowercase())
}

pub(super) fn path<'t>(node: &Node<'t>) -> Option<(&'t str, Pattern)> {
    let text = node.string_like(PATH)?;
    match Pattern::parse(text) {
        Ok(pattern) => Some((text, pattern)),
        Err(error) => {
            node.problem(format!("found {}; {error}", quoted(text)));
            None
        }
    }
}

fn methods(node: &Node<'_>) -> Option<Vec<Method>> {
    let items = node.items()?;
    if items.is_empty() {
        node.unexpected("at least one method; without the key all are allowed");
    }
    let mut methods = Vec::new();
    for item in &items {
        let Some(method) = method(item) else { continue };
        if methods.contains(&method) {
            item.problem(format!("{method} is listed twice"));
        }
        methods.push(method);
    }
    Some(methods)
}

/// Any token is a method (RFC 9110, 9.1), and its case counts: "get" would never match what clients send.
fn method(node: &Node<'_>) -> Option<Method> {
    const EXPECTED: &str = r#"a method such as "GET""#;
    const STANDARD: [Method; 9] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::CONNECT,
        Method::OPTIONS,
        Method::TRACE,
        Method::PATCH,
    ];
    let text = node.string_like(EXPECTED)?;
    let Ok(method) = Method::from_bytes(text.as_bytes()) else {
        node.unexpected(EXPECTED);
        return None;
    };
    let meant = STANDARD
        .iter()
        .find(|standard| standard.as_str().eq_ignore_ascii_case(text) && **standard != method);
    if let Some(meant) = meant {
        node.problem(format!(
            "found {}; did you mean \"{meant}\"? Methods are compared with their case",
            quoted(text)
        ));
        return None;
    }
    Some(method)
}

fn check_name(entry: &Entry<'_>, before: &[Entry<'_>]) {
    let same = before.iter().find(|other| {
        other.route.name == entry.route.name && (other.name.is_some() || entry.name.is_some())
    });
    if let Some(other) = same {
        let place = entry.name.as_ref().unwrap_or(&entry.place);
        let name = quoted(&entry.route.name);
        place.problem(format!(
            "the name {name} is taken by {} of line {}",
            other.place.path, other.place.line
        ));
    }
}

/// A route that the ones before it leave nothing to is a mistake; one that shares some methods with
/// another may be meant, for the first in the file wins.
fn check_reach(entry: &Entry<'_>, before: &[Entry<'_>]) {
    let route = &entry.route;
    let same_place = |other: &&Entry<'_>| {
        other.route.host == route.host
            && same_paths(&other.pattern, &entry.pattern)
            && other.route.methods.is_empty() == route.methods.is_empty()
    };
    let rivals: Vec<&Entry<'_>> = before.iter().filter(same_place).collect();
    let taken_by = |method: &Method| {
        rivals
            .iter()
            .find(|other| other.route.methods.contains(method))
    };
    if route.methods.is_empty() {
        if let Some(other) = rivals.first() {
            entry.place.problem(format!(
                "never reached: {} of line {} matches the same host, path and methods",
                other.place.path, other.place.line
            ));
        }
        return;
    }
    let taken: Vec<_> = route
        .methods
        .iter()
        .filter_map(|method| taken_by(method).map(|by| (method, by)))
        .collect();
    for (method, by) in &taken {
        let by = format!(
            "{} of line {}, which matches the same host and path",
            by.place.path, by.place.line
        );
        if taken.len() == route.methods.len() {
            entry
                .place
                .problem(format!("never reached: {method} goes to {by}"));
        } else {
            entry.place.warning(format!("{method} goes to {by}"));
        }
    }
}

/// Whether two patterns match the same paths: the names of their parameters do not matter to that.
pub(super) fn same_paths(one: &Pattern, other: &Pattern) -> bool {
    let same = |(one, other): (&Segment, &Segment)| match (one, other) {
        (Segment::Literal(one), Segment::Literal(other)) => one == other,
        (Segment::Parameter(_), Segment::Parameter(_))
        | (Segment::Wildcard(_), Segment::Wildcard(_)) => true,
        _ => false,
    };
    one.segments().len() == other.segments().len()
        && one.segments().iter().zip(other.segments()).all(same)
}

#[cfg(test)]
mod tests;
