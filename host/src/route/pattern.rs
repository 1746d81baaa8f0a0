//! What a route's `path` may look like.

use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_encode_byte;

/// A path pattern, such as `/users/{id}` or `/files/{*rest}`.
///
/// - Text matches itself, byte for byte, in the percent-encoded form in which it stands in a
///   request: `/a%20b` and not `/a b`. A trailing slash is text like any other, so `/users` and
///   `/users/` are two paths.
/// - `{name}` matches exactly one segment that is not empty. An encoded slash (`%2F`) does not end a
///   segment.
/// - `{*name}`, only at the end, matches all that is left, which may be nothing: `/files/{*rest}`
///   fits `/files/a/b` and `/files/`, but not `/files`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    segments: Vec<Segment>,
}

/// What stands between two slashes of a [`Pattern`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Segment {
    /// Text that matches itself. Empty only at the end, for a trailing slash.
    Literal(String),
    /// `{name}`
    Parameter(String),
    /// `{*name}`, always the last.
    Wildcard(String),
}

/// Why a text is no [`Pattern`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// `users`
    #[error("a path starts with `/`")]
    NoSlash,
    /// `/a//b`
    #[error("there is nothing between two slashes")]
    EmptySegment,
    /// `/a/../b`
    #[error("no request has `{0}` as a segment: it is resolved before routes are matched")]
    DotSegment(String),
    /// `/a{b}`, `/{a`, `/{a}{b}`
    #[error("`{0}`: a parameter is a whole segment, `{{name}}`")]
    PartOfSegment(String),
    /// `/{}`, `/{1st}`, `/{a-b}`
    #[error(
        "`{0}` is no name for a parameter: it is made of letters, digits and `_`, \
         and does not start with a digit"
    )]
    Name(String),
    /// `/{id}/x/{id}`
    #[error("there are two parameters with the name `{0}`")]
    Duplicate(String),
    /// `/{*rest}/x`
    #[error("`{{*{0}}}` matches all that is left of the path, so nothing may follow it")]
    WildcardNotLast(String),
    /// A query or fragment.
    #[error("a route matches the path alone, and {0:?} ends it")]
    EndsPath(char),
    /// A character that a request's path only has in encoded form.
    #[error("{found:?} does not occur in a request's path; write `{instead}`")]
    Unencoded {
        /// The character.
        found: char,
        /// Its percent-encoded form.
        instead: String,
    },
    /// `%`, `%2`, `%zz`
    #[error("`{0}`: two hexadecimal digits follow a `%`; for the character itself write `%25`")]
    Escape(String),
    /// `%41`
    #[error("`{found}` is decoded before routes are matched; write `{instead}`")]
    NeedlessEscape {
        /// The escape.
        found: String,
        /// The character that it stands for.
        instead: char,
    },
}

impl Pattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let rest = text.strip_prefix('/').ok_or(PatternError::NoSlash)?;
        let mut pattern = Self {
            segments: Vec::new(),
        };
        let mut parts = rest.split('/').peekable();
        while let Some(part) = parts.next() {
            if let Some(Segment::Wildcard(name)) = pattern.segments.last() {
                return Err(PatternError::WildcardNotLast(name.clone()));
            }
            if part.is_empty() && parts.peek().is_some() {
                return Err(PatternError::EmptySegment);
            }
            let segment = Segment::parse(part)?;
            if let Some(name) = segment.name()
                && pattern.names().any(|other| other == name)
            {
                return Err(PatternError::Duplicate(name.to_owned()));
            }
            pattern.segments.push(segment);
        }
        Ok(pattern)
    }

    /// The segments in their order. There is at least one: that of `/` is an empty literal.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The names of parameters and wildcard, from the left.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(Segment::name)
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, PatternError> {
        let braced = text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'));
        let Some(name) = braced.filter(|name| !name.contains(['{', '}'])) else {
            if text.contains(['{', '}']) {
                return Err(PatternError::PartOfSegment(text.to_owned()));
            }
            check_literal(text)?;
            return Ok(Self::Literal(text.to_owned()));
        };
        let (name, make): (_, fn(String) -> Self) = match name.strip_prefix('*') {
            Some(name) => (name, Self::Wildcard),
            None => (name, Self::Parameter),
        };
        if is_name(name) {
            Ok(make(name.to_owned()))
        } else {
            Err(PatternError::Name(name.to_owned()))
        }
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Parameter(name) | Self::Wildcard(name) => Some(name),
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Refuses what no request's path can contain, so that a route that could never match is found
/// when the configuration is read.
fn check_literal(text: &str) -> Result<(), PatternError> {
    if matches!(text, "." | "..") {
        return Err(PatternError::DotSegment(text.to_owned()));
    }
    let mut rest = text.chars();
    while let Some(found) = rest.next() {
        match found {
            '?' | '#' => return Err(PatternError::EndsPath(found)),
            '%' => {
                let digits: String = rest.by_ref().take(2).collect();
                check_escape(&digits)?;
            }
            _ if is_path_character(found) => {}
            _ => {
                let mut bytes = [0; 4];
                let bytes = found.encode_utf8(&mut bytes).bytes();
                let instead = bytes.map(percent_encode_byte).collect();
                return Err(PatternError::Unencoded { found, instead });
            }
        }
    }
    Ok(())
}

/// RFC 3986, section 3.3: `pchar` but for the escapes.
fn is_path_character(c: char) -> bool {
    is_unreserved(c) || "!$&'()*+,;=:@".contains(c)
}

/// RFC 3986, section 2.3.
fn is_unreserved(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~".contains(c)
}

fn check_escape(digits: &str) -> Result<(), PatternError> {
    let found = format!("%{digits}");
    let valid = digits.len() == 2 && digits.chars().all(|digit| digit.is_ascii_hexdigit());
    match u8::from_str_radix(digits, 16) {
        Ok(byte) if valid && is_unreserved(byte.into()) => Err(PatternError::NeedlessEscape {
            found,
            instead: byte.into(),
        }),
        Ok(_) if valid => Ok(()),
        _ => Err(PatternError::Escape(found)),
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::parse(text)
    }
}

/// As it was written.
impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.segments.iter().try_for_each(|segment| match segment {
            Segment::Literal(text) => write!(formatter, "/{text}"),
            Segment::Parameter(name) => write!(formatter, "/{{{name}}}"),
            Segment::Wildcard(name) => write!(formatter, "/{{*{name}}}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_are_read() {
        let literal = |text: &str| Segment::Literal(text.to_owned());
        let parameter = |name: &str| Segment::Parameter(name.to_owned());
        let wildcard = |name: &str| Segment::Wildcard(name.to_owned());
        let read = |text| Pattern::parse(text).unwrap().segments;
        assert_eq!(read("/"), [literal("")]);
        assert_eq!(read("/users"), [literal("users")]);
        assert_eq!(read("/users/"), [literal("users"), literal("")]);
        assert_eq!(read("/users/{id}"), [literal("users"), parameter("id")]);
        assert_eq!(
            read("/{_a}/{B2}/"),
            [parameter("_a"), parameter("B2"), literal("")]
        );
        assert_eq!(read("/{*rest}"), [wildcard("rest")]);
        assert_eq!(
            read("/f/{a}/{*r}"),
            [literal("f"), parameter("a"), wildcard("r")]
        );
        assert_eq!(
            read("/a%20b/c%2Fd/..."),
            [literal("a%20b"), literal("c%2Fd"), literal("...")]
        );
        assert_eq!(read("/a:b@c,d=(e)*"), [literal("a:b@c,d=(e)*")]);
    }

    #[test]
    fn names_come_from_the_left() {
        let pattern = Pattern::parse("/{b}/x/{a}/{*c}").unwrap();
        assert_eq!(pattern.names().collect::<Vec<_>>(), ["b", "a", "c"]);
    }

    #[test]
    fn what_could_never_match_is_refused() {
        use PatternError as E;
        let refused = |text: &str| Pattern::parse(text).unwrap_err();
        assert_eq!(refused(""), E::NoSlash);
        assert_eq!(refused("users"), E::NoSlash);
        assert_eq!(refused("*"), E::NoSlash);
        assert_eq!(refused("//"), E::EmptySegment);
        assert_eq!(refused("/a//b"), E::EmptySegment);
        assert_eq!(refused("/a/../b"), E::DotSegment("..".into()));
        assert_eq!(refused("/a/."), E::DotSegment(".".into()));
        for part in ["a{b}", "{a}b", "{a", "a}", "{a}{b}", "{{a}}", "}{"] {
            assert_eq!(
                refused(&format!("/x/{part}")),
                E::PartOfSegment(part.into())
            );
        }
        for name in ["", "1st", "a-b", "a b", "é", "*a"] {
            assert_eq!(refused(&format!("/{{*{name}}}")), E::Name(name.into()));
        }
        assert_eq!(refused("/{}"), E::Name(String::new()));
        assert_eq!(refused("/{id}/x/{id}"), E::Duplicate("id".into()));
        assert_eq!(refused("/{id}/{*id}"), E::Duplicate("id".into()));
        assert_eq!(refused("/{*a}/b"), E::WildcardNotLast("a".into()));
        assert_eq!(refused("/{*a}/"), E::WildcardNotLast("a".into()));
        assert_eq!(refused("/{*a}/{*b}"), E::WildcardNotLast("a".into()));
        assert_eq!(refused("/a?b=c"), E::EndsPath('?'));
        assert_eq!(refused("/a#b"), E::EndsPath('#'));
        let unencoded = |found, instead: &str| E::Unencoded {
            found,
            instead: instead.into(),
        };
        assert_eq!(refused("/a b"), unencoded(' ', "%20"));
        assert_eq!(refused("/ü"), unencoded('ü', "%C3%BC"));
        assert_eq!(refused("/a\0"), unencoded('\0', "%00"));
        assert_eq!(refused("/50%"), E::Escape("%".into()));
        assert_eq!(refused("/50%2"), E::Escape("%2".into()));
        assert_eq!(refused("/50%+5"), E::Escape("%+5".into()));
        assert_eq!(refused("/50%é"), E::Escape("%é".into()));
        assert_eq!(
            refused("/%41"),
            E::NeedlessEscape {
                found: "%41".into(),
                instead: 'A'
            }
        );
    }

    #[test]
    fn errors_name_the_place() {
        let message = |text| Pattern::parse(text).unwrap_err().to_string();
        assert_eq!(
            message("/{*rest}/x"),
            "`{*rest}` matches all that is left of the path, so nothing may follow it",
        );
        assert_eq!(
            message("/v{n}"),
            "`v{n}`: a parameter is a whole segment, `{name}`"
        );
        assert_eq!(
            message("/a b"),
            "' ' does not occur in a request's path; write `%20`"
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>(), near in "/[/{}*a%2é.?]{0,12}") {
            let _ = Pattern::parse(&text);
            let _ = Pattern::parse(&near);
        }

        #[test]
        fn what_is_accepted_is_shown_as_it_was_written(text in "(/([a-z.%]{0,3}|2F|\\{\\*?[a-c_]\\})){1,5}") {
            if let Ok(pattern) = Pattern::parse(&text) {
                prop_assert_eq!(pattern.to_string(), text);
            }
        }
    }
}
