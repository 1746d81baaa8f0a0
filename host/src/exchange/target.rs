//! The request target: one reading of it for everybody.
//!
//! A path that the gateway and the upstream read differently is a way around the gateway's rules.
//! So a path is normalised once, before routes see it (RFC 3986, section 6.2.2): escapes of
//! unreserved characters become the characters, dot segments are resolved. All other escapes
//! (`%2F`, `%20`) are kept as they came. A query keeps its order and bytes, but `;` and a `%` that
//! escapes nothing, on which parsers disagree, are escaped.

use std::borrow::Cow;

use http::uri::PathAndQuery;

/// A path and query. What the client sent is kept as it is until something differs from it, so that
/// most requests are forwarded without being written anew.
#[derive(Debug, Clone)]
pub struct Target {
    source: PathAndQuery,
    path: Option<String>,
    query: Query,
}

#[derive(Debug, Clone)]
enum Query {
    /// The client's.
    Source,
    /// Another one, or none.
    Changed(Option<String>),
}

/// Why a request target is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// `%` without two hexadecimal digits.
    #[error("the path has a % that escapes nothing")]
    BadEscape,
    /// `%00`
    #[error("the path has an escaped NUL")]
    Nul,
    /// `/../x`
    #[error("the path climbs above its root")]
    AboveRoot,
    /// Not a path by RFC 3986.
    #[error("the path has a byte that may not stand there")]
    InvalidByte,
}

impl Default for Target {
    fn default() -> Self {
        Self {
            source: PathAndQuery::from_static("/"),
            path: None,
            query: Query::Source,
        }
    }
}

/// The owned text where it is not the borrowed original.
fn changed(text: Cow<'_, str>) -> Option<String> {
    match text {
        Cow::Borrowed(_) => None,
        Cow::Owned(text) => Some(text),
    }
}

impl Target {
    /// Normalises what a client sent.
    ///
    /// # Errors
    /// A path that can't be read in one way only.
    pub fn from_client(source: PathAndQuery) -> Result<Self, TargetError> {
        let path = changed(normalise_path(source.path())?);
        let query = match source.query().map(clean_query).and_then(changed) {
            Some(query) => Query::Changed(Some(query)),
            None => Query::Source,
        };
        Ok(Self {
            source,
            path,
            query,
        })
    }

    /// The path, with its leading slash.
    pub fn path(&self) -> &str {
        self.path.as_deref().unwrap_or_else(|| self.source.path())
    }

    /// The query without `?`.
    pub fn query(&self) -> Option<&str> {
        match &self.query {
            Query::Source => self.source.query(),
            Query::Changed(query) => query.as_deref(),
        }
    }

    /// Replaces the path, under the same rules as a client's.
    ///
    /// # Errors
    /// As for a client's; `InvalidByte` also where it does not begin with a slash.
    pub fn set_path(&mut self, path: &str) -> Result<(), TargetError> {
        if !path.starts_with('/') || !path.bytes().all(is_path_byte) {
            return Err(TargetError::InvalidByte);
        }
        self.path = Some(normalise_path(path)?.into_owned());
        Ok(())
    }

    /// Replaces the query.
    ///
    /// # Errors
    /// `InvalidByte` for a byte that may not stand in a query.
    pub fn set_query(&mut self, query: Option<&str>) -> Result<(), TargetError> {
        if let Some(query) = query
            && !query.bytes().all(is_query_byte)
        {
            return Err(TargetError::InvalidByte);
        }
        self.query = Query::Changed(query.map(|query| clean_query(query).into_owned()));
        Ok(())
    }

    /// What goes on the wire to an upstream whose URL has this base path ("" or "/base"), in pieces. `base` has no slash at
    /// its end and the path has one at its beginning: exactly one between.
    pub fn written<'a>(&'a self, base: &'a str) -> impl Iterator<Item = &'a str> {
        let query = self.query();
        [
            base,
            self.path(),
            query.map_or("", |_| "?"),
            query.unwrap_or(""),
        ]
        .into_iter()
    }
}

/// Bytes that may stand in a path: RFC 3986's, the bytes of UTF-8, and the few others that clients
/// send unescaped and hyper's URI type takes.
pub const fn is_path_byte(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e | 0x80..=0xff) && !matches!(byte, b'#' | b'?' | b'<' | b'>' | b'`')
}

/// Bytes that may stand in a query, likewise.
pub const fn is_query_byte(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e | 0x80..=0xff) && !matches!(byte, b'#' | b'"' | b'<' | b'>')
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// The byte that `%xy` at the start of `rest` stands for.
fn escape(rest: &[u8]) -> Option<u8> {
    match rest {
        [b'%', high, low, ..] => Some(hex(*high)? << 4 | hex(*low)?),
        _ => None,
    }
}

/// Resolves what RFC 3986 lets everybody resolve, and refuses what can be read in two ways.
///
/// # Errors
/// See [`TargetError`].
pub fn normalise_path(path: &str) -> Result<Cow<'_, str>, TargetError> {
    let decoded = decode_unreserved(path)?;
    if !has_dot_segment(&decoded) {
        return Ok(decoded);
    }
    resolve_dots(&decoded).map(Cow::Owned)
}

fn decode_unreserved(path: &str) -> Result<Cow<'_, str>, TargetError> {
    if !path.as_bytes().contains(&b'%') {
        return Ok(Cow::Borrowed(path));
    }
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(position) = rest.find('%') {
        let (before, from) = rest.split_at(position);
        decoded.push_str(before);
        let byte = escape(from.as_bytes()).ok_or(TargetError::BadEscape)?;
        let (text, after) = from.split_at_checked(3).ok_or(TargetError::BadEscape)?;
        match byte {
            0 => return Err(TargetError::Nul),
            byte if is_unreserved(byte) => decoded.push(char::from(byte)),
            _ => decoded.push_str(text),
        }
        rest = after;
    }
    decoded.push_str(rest);
    Ok(Cow::Owned(decoded))
}

fn has_dot_segment(path: &str) -> bool {
    path.contains("/.") && path.split('/').any(|segment| matches!(segment, "." | ".."))
}

/// RFC 3986, section 5.2.4; but a path that climbs above its root is refused, not clamped.
fn resolve_dots(path: &str) -> Result<String, TargetError> {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => {
                kept.pop().ok_or(TargetError::AboveRoot)?;
            }
            segment => {
                kept.push(segment);
                continue;
            }
        }
        // "/a/." and "/a/b/.." name a folder: the slash at the end stays.
        if last {
            kept.push("");
        }
    }
    let mut resolved = String::with_capacity(path.len());
    for segment in kept {
        resolved.push('/');
        resolved.push_str(segment);
    }
    if resolved.is_empty() {
        resolved.push('/');
    }
    Ok(resolved)
}

/// Escapes what query parsers disagree about: `;`, which some take for `&`, and a `%` that
/// escapes nothing. Nothing is lost, and everybody reads the same pairs.
pub fn clean_query(query: &str) -> Cow<'_, str> {
    let bytes = query.as_bytes();
    let is_ambiguous = |position: usize, byte: u8| match byte {
        b';' => true,
        b'%' => bytes.get(position..).and_then(escape).is_none(),
        _ => false,
    };
    if !bytes
        .iter()
        .enumerate()
        .any(|(position, byte)| is_ambiguous(position, *byte))
    {
        return Cow::Borrowed(query);
    }
    let mut cleaned = String::with_capacity(query.len() + 8);
    for (position, character) in query.char_indices() {
        match character {
            ';' => cleaned.push_str("%3B"),
            '%' if is_ambiguous(position, b'%') => cleaned.push_str("%25"),
            character => cleaned.push(character),
        }
    }
    Cow::Owned(cleaned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn join(base: &str, target: &str) -> String {
        Target::from_client(target.parse().unwrap())
            .unwrap()
            .written(base)
            .collect()
    }

    #[test]
    fn joins_with_exactly_one_slash_and_keeps_escapes() {
        for (base, target, joined) in [
            ("", "/", "/"),
            ("", "/a%2Fb%20c", "/a%2Fb%20c"),
            ("/base", "/", "/base/"),
            ("/base", "/a/?x=1", "/base/a/?x=1"),
            ("/base", "//a", "/base//a"),
            ("", "/a?", "/a?"),
            ("", "/a?x=%2f&y", "/a?x=%2f&y"),
        ] {
            assert_eq!(join(base, target), joined, "{base} + {target}");
        }
    }

    #[test]
    fn resolves_dot_segments_however_they_are_written() {
        for (path, normal) in [
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/.%2e", "/"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/a/.../b", "/a/.../b"),
            ("/.well-known/x", "/.well-known/x"),
            ("/%7Euser/%61", "/~user/a"),
            ("/a%2F..%2Fb", "/a%2F..%2Fb"),
            ("/a//../b", "/a/b"),
        ] {
            assert_eq!(normalise_path(path).as_deref(), Ok(normal), "{path}");
        }
    }

    #[test]
    fn refuses_what_can_be_read_in_two_ways() {
        for (path, error) in [
            ("/..", TargetError::AboveRoot),
            ("/a/../../b", TargetError::AboveRoot),
            ("/%2e%2e/b", TargetError::AboveRoot),
            ("/a%", TargetError::BadEscape),
            ("/a%2", TargetError::BadEscape),
            ("/a%zz", TargetError::BadEscape),
            ("/a%00", TargetError::Nul),
        ] {
            assert_eq!(normalise_path(path), Err(error), "{path}");
        }
    }

    #[test]
    fn cleans_ambiguous_queries_without_losing_a_byte() {
        for (query, clean) in [
            ("a=1&b=2", "a=1&b=2"),
            ("a=1;b=2", "a=1%3Bb=2"),
            ("a=%zz&b=100%", "a=%25zz&b=100%25"),
            ("a=%2", "a=%252"),
            ("a=%41", "a=%41"),
        ] {
            assert_eq!(clean_query(query), clean);
        }
    }

    #[test]
    fn a_plugin_cannot_write_a_second_request_into_the_target() {
        let mut target = Target::from_client("/".parse().unwrap()).unwrap();
        for path in ["", "a", "/a b", "/a\r\nx: y", "/a?b", "/a#b", "/\0"] {
            assert_eq!(
                target.set_path(path),
                Err(TargetError::InvalidByte),
                "{path:?}"
            );
        }
        assert_eq!(target.set_query(Some("a b")), Err(TargetError::InvalidByte));
        assert_eq!(target.set_query(Some("a#b")), Err(TargetError::InvalidByte));
        assert_eq!(target.path(), "/");
    }

    proptest! {
        #[test]
        fn normalising_is_idempotent_and_leaves_no_dot_segment(path in "/[a-z./%2eE5fF]{0,24}") {
            if let Ok(once) = normalise_path(&path) {
                prop_assert!(once.starts_with('/'));
                prop_assert!(!has_dot_segment(&once));
                // A decoded "%25" is no unreserved character, so nothing can be decoded twice.
                let twice = normalise_path(&once);
                prop_assert_eq!(twice.as_deref(), Ok(&*once));
            }
        }

        #[test]
        fn a_clean_query_stays_as_it_is(query in "[ -~]{0,32}") {
            let once = clean_query(&query).into_owned();
            prop_assert!(!once.contains(';'));
            let twice = clean_query(&once);
            prop_assert_eq!(&*twice, once.as_str());
        }

        #[test]
        fn what_a_plugin_may_set_can_be_sent(path in "/\\PC{0,24}", query in proptest::option::of("\\PC{0,24}")) {
            let mut target = Target::from_client("/".parse().unwrap()).unwrap();
            if target.set_path(&path).is_ok() && target.set_query(query.as_deref()).is_ok() {
                let written: String = target.written("/base").collect();
                prop_assert!(written.parse::<PathAndQuery>().is_ok());
            }
        }
    }
}
