//! Where a redirect leads, made so that no client can turn it elsewhere.

use crate::config;
use crate::escape::{component, in_url};
use sluicegate_plugin::template::{Segment, Source, Template, Variable};

/// A checked redirect.
#[derive(Debug)]
pub struct Redirect {
    status: u16,
    to: Template,
}

impl Redirect {
    /// Checks; the error begins with the key that is wrong.
    pub fn new(config: config::Redirect) -> Result<Self, String> {
        if !matches!(config.status, 301 | 302 | 303 | 307 | 308) {
            return Err(format!(
                "redirect.status: 301, 302, 303, 307 or 308, not {}",
                config.status
            ));
        }
        check(&config.to).map_err(|error| format!("redirect.to: {error}"))?;
        Ok(Self {
            status: config.status,
            to: config.to,
        })
    }

    /// The status of the answer.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The target with the rewritten path and query in it; `None` where the client's Host is not one.
    ///
    /// Of the client's bytes only the path and the query stand in it as they came, without what may not stand in a
    /// URL; everything else is percent-encoded, so neither a line break nor another host can come of it. A path
    /// begins with one slash: `//evil.example` would be a host.
    pub fn location(
        &self,
        path: &str,
        query: Option<&str>,
        source: &impl Source,
    ) -> Option<String> {
        let path = format!(
            "/{}",
            in_url(path.trim_start_matches(['/', '\\'])).replace('?', "%3F")
        );
        let query = query.filter(|query| !query.is_empty());
        let mut location = String::with_capacity(path.len() + 64);
        // A separator that has lost its query must not stay: "/x?${query}&a=1" is then "/x?a=1".
        let mut drop_separator = false;
        for segment in self.to.segments() {
            match segment {
                Segment::Literal(text) => {
                    let text = if drop_separator {
                        text.strip_prefix('&').unwrap_or(text)
                    } else {
                        text
                    };
                    location.push_str(text);
                    drop_separator = false;
                }
                Segment::Variable(Variable::Path) => location.push_str(&path),
                Segment::Variable(Variable::Query) => match query {
                    Some(query) => location.push_str(&in_url(query)),
                    None => drop_separator = location.ends_with('?'),
                },
                Segment::Variable(Variable::Host) => {
                    let host = String::from_utf8(source.value(&Variable::Host)).ok()?;
                    if host.is_empty() || !is_host(&host) {
                        return None;
                    }
                    location.push_str(&host);
                }
                Segment::Variable(other) => location.push_str(&component(&source.value(other))),
            }
        }
        if query.is_none() {
            location.truncate(location.trim_end_matches(['?', '&']).len());
        }
        if location.starts_with('/') {
            location = format!("/{}", location.trim_start_matches('/'));
        }
        Some(location)
    }
}

/// Whether a client that asked for this would be sent to where it is: the request is forwarded then, so that
/// `https://${host}${path}` for plain HTTP, or a path that is right already, makes no loop.
pub fn is_where_it_is(
    location: &str,
    path: &str,
    query: Option<&str>,
    source: &impl Source,
) -> bool {
    let mut here = String::new();
    if !location.starts_with('/') {
        here.push_str(&String::from_utf8_lossy(&source.value(&Variable::Scheme)));
        here.push_str("://");
        here.push_str(&String::from_utf8_lossy(&source.value(&Variable::Host)));
    }
    here.push_str(path);
    if let Some(query) = query.filter(|query| !query.is_empty()) {
        here.push('?');
        here.push_str(query);
    }
    here == location
}

/// RFC 3986 section 3.2.2 and a port: no user information, which would hide the real host.
fn is_host(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b".-_~:[]".contains(&byte))
}

/// A target is `http://…`, `https://…`, `${scheme}://…`, or a path; and its host is the configuration's or the one
/// that the client asked for.
fn check(to: &Template) -> Result<(), String> {
    to.without_response()?;
    if to.literals().any(|text| {
        text.bytes()
            .any(|byte| !byte.is_ascii_graphic() || b"\"<>\\^`{|}".contains(&byte))
    }) {
        return Err("it has characters that cannot stand in a URL; percent-encode them".to_owned());
    }
    let mut segments = to.segments().iter();
    let after_scheme = match segments.next() {
        Some(Segment::Variable(Variable::Path)) => return Ok(()),
        Some(Segment::Literal(text)) if text.starts_with('/') && !text.starts_with("//") => {
            return Ok(());
        }
        Some(Segment::Literal(text)) => text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://")),
        Some(Segment::Variable(Variable::Scheme)) => match segments.next() {
            Some(Segment::Literal(text)) => text.strip_prefix("://"),
            _ => None,
        },
        _ => None,
    };
    let Some(first) = after_scheme else {
        return Err(
            "it begins with \"https://\", \"http://\", \"${scheme}://\", \"${path}\" or one \"/\""
                .to_owned(),
        );
    };
    let mut has_host = false;
    let first = Segment::Literal(first.to_owned());
    for segment in std::iter::once(&first).chain(segments) {
        match segment {
            Segment::Literal(text) => {
                let end = text.find(['/', '?', '#']);
                let host = text.get(..end.unwrap_or(text.len())).unwrap_or_default();
                if !is_host(host) {
                    return Err(format!("{host:?} is not a host"));
                }
                has_host |= !host.is_empty();
                if end.is_some() {
                    break;
                }
            }
            Segment::Variable(Variable::Host) => has_host = true,
            Segment::Variable(Variable::Path) => break,
            Segment::Variable(_) => {
                return Err(
                    "in its host there may be text and ${host} only: a client must not choose it"
                        .to_owned(),
                );
            }
        }
    }
    if has_host {
        Ok(())
    } else {
        Err("a host is needed after \"://\"".to_owned())
    }
}

#[cfg(test)]
mod tests;
