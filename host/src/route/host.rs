//! The criterion `host`.

use std::str::FromStr;

/// The hosts that a route is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// `api.example.com`, in lower case.
    Exact(String),
    /// `*.example.com`, kept as `example.com`: every host below it, at any depth as in nginx
    /// (`a.example.com`, `a.b.example.com`), but not `example.com` itself.
    Below(String),
}

/// Why a text is no [`HostPattern`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Nothing there.
    #[error("the host is empty; leave the key out to match every host")]
    Empty,
    /// A star anywhere but in front, or alone.
    #[error(
        "`*` may only stand for everything in front of a domain: \"*.example.com\"; \
         leave the key out to match every host"
    )]
    Star,
    /// `example.com:8080`
    #[error("a host is matched without its port; write it without \":{0}\"")]
    Port(u16),
    /// Something that is in no host.
    #[error("the character {0:?} cannot be part of a host")]
    Character(char),
    /// `a..b`, `.a`, `a.`
    #[error("a host has something before, between and after its dots")]
    EmptyLabel,
}

impl HostPattern {
    /// Reads `api.example.com`, `*.example.com`, `127.0.0.1` or `[::1]`, in upper or lower case.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let host = text.to_ascii_lowercase();
        if host.is_empty() {
            return Err(HostError::Empty);
        }
        if let Some(domain) = host.strip_prefix("*.") {
            check_name(domain)?;
            return Ok(Self::Below(domain.to_owned()));
        }
        if let Some((address, port)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']'))
        {
            let is_address = |c: char| c.is_ascii_hexdigit() || c == ':' || c == '.';
            check_characters(address, is_address)?;
            check_port(port)?;
        } else {
            check_name(&host)?;
        }
        Ok(Self::Exact(host))
    }
}

impl FromStr for HostPattern {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        Self::parse(text)
    }
}

fn check_name(name: &str) -> Result<(), HostError> {
    if name.contains('*') {
        return Err(HostError::Star);
    }
    if let Some(colon) = name.find(':') {
        check_port(name.get(colon..).unwrap_or(name))?;
    }
    // The underscore is in no host name of RFC 1123, and in many in use.
    check_characters(name, |c| {
        c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
    })?;
    if name.split('.').any(str::is_empty) {
        return Err(HostError::EmptyLabel);
    }
    Ok(())
}

fn check_port(text: &str) -> Result<(), HostError> {
    match text.strip_prefix(':').map(str::parse) {
        Some(Ok(port)) => Err(HostError::Port(port)),
        _ => check_characters(text, |_| false),
    }
}

fn check_characters(text: &str, allowed: impl Fn(char) -> bool) -> Result<(), HostError> {
    text.chars()
        .find(|c| !allowed(*c))
        .map_or(Ok(()), |c| Err(HostError::Character(c)))
}

/// A host's parent domains, the longest first: `b.c` and `c` of `a.b.c`.
pub(super) fn parents(host: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(host), |host| {
        host.split_once('.').map(|(_, parent)| parent)
    })
    .skip(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_are_read() {
        let exact = |host: &str| Ok(HostPattern::Exact(host.to_owned()));
        assert_eq!(
            HostPattern::parse("API.example.com"),
            exact("api.example.com")
        );
        assert_eq!(HostPattern::parse("localhost"), exact("localhost"));
        assert_eq!(HostPattern::parse("my_service"), exact("my_service"));
        assert_eq!(HostPattern::parse("127.0.0.1"), exact("127.0.0.1"));
        assert_eq!(
            HostPattern::parse("[::FFFF:1.2.3.4]"),
            exact("[::ffff:1.2.3.4]")
        );
        let below = |host: &str| Ok(HostPattern::Below(host.to_owned()));
        assert_eq!(HostPattern::parse("*.Example.com"), below("example.com"));
        assert_eq!(HostPattern::parse("*.test"), below("test"));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let refused = |text| HostPattern::parse(text).unwrap_err();
        assert_eq!(refused(""), HostError::Empty);
        assert_eq!(refused("*"), HostError::Star);
        assert_eq!(refused("a.*.com"), HostError::Star);
        assert_eq!(refused("*.*.com"), HostError::Star);
        assert_eq!(refused("*a.com"), HostError::Star);
        assert_eq!(refused("example.com:8080"), HostError::Port(8080));
        assert_eq!(refused("[::1]:80"), HostError::Port(80));
        assert_eq!(refused("::1"), HostError::Character(':'));
        assert_eq!(refused("[abc"), HostError::Character('['));
        assert_eq!(refused("[::1]x"), HostError::Character('x'));
        assert_eq!(refused("http://a"), HostError::Character(':'));
        assert_eq!(refused("a/b"), HostError::Character('/'));
        assert_eq!(refused("bücher.de"), HostError::Character('ü'));
        assert_eq!(refused("a..b"), HostError::EmptyLabel);
        assert_eq!(refused("*."), HostError::EmptyLabel);
        assert_eq!(refused("example.com."), HostError::EmptyLabel);
    }

    #[test]
    fn parents_come_longest_first() {
        assert_eq!(parents("a.b.c").collect::<Vec<_>>(), ["b.c", "c"]);
        assert_eq!(parents("localhost").count(), 0);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>(), near in "[*\\[\\]:.a1é]{0,8}") {
            let _ = HostPattern::parse(&text);
            let _ = HostPattern::parse(&near);
        }
    }
}
