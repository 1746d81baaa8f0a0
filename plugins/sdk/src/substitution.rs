//! Regular expressions with captures: `regex` becomes `with`, where `$1`, `${1}` and `${name}` are what a group
//! matched, and `$$` is one `$`. (Feature `regex`.)
//!
//! The engine takes time linear in the text, whatever the pattern: no client can make a match run away. Patterns
//! work on bytes: `\w`, `\d`, `\b` and `(?i)` know ASCII only, and `.` is one byte. Unicode's tables would be most of
//! a plugin's size, and paths and most bodies that are rewritten have no need of them; a literal `ü` in a pattern
//! matches its UTF-8 bytes.

use regex::bytes::{Captures, Regex, RegexBuilder};

/// Memory that one compiled pattern, and the cache of its matching, may take: a plugin's instance has some MiB.
const SIZE_LIMIT: usize = 1 << 20;

/// A compiled pattern and what takes the place of its matches.
#[derive(Debug)]
pub struct Substitution {
    regex: Regex,
    with: Vec<Part>,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Group(usize),
}

impl Substitution {
    /// Compiles both, and checks that every group that `with` names is in the pattern.
    pub fn new(pattern: &str, with: &str) -> Result<Self, String> {
        let regex = RegexBuilder::new(pattern)
            .unicode(false)
            .size_limit(SIZE_LIMIT)
            .dfa_size_limit(SIZE_LIMIT)
            .build()
            .map_err(|error| error.to_string())?;
        let with = parts(with, &regex)?;
        Ok(Self { regex, with })
    }

    /// The literal parts of what takes a match's place.
    pub fn literals(&self) -> impl Iterator<Item = &str> {
        self.with.iter().filter_map(|part| match part {
            Part::Literal(text) => Some(text.as_str()),
            Part::Group(_) => None,
        })
    }

    /// The text with every match replaced, from left to right; `None` where nothing matches.
    pub fn replace_all(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut matches = self.regex.captures_iter(text).peekable();
        matches.peek()?;
        let mut out = Vec::with_capacity(text.len() + 64);
        let mut done = 0;
        for captures in matches {
            let Some(found) = captures.get(0) else {
                continue;
            };
            out.extend_from_slice(text.get(done..found.start()).unwrap_or_default());
            self.expand(&captures, &mut out);
            done = found.end();
        }
        out.extend_from_slice(text.get(done..).unwrap_or_default());
        Some(out)
    }

    fn expand(&self, captures: &Captures<'_>, out: &mut Vec<u8>) {
        for part in &self.with {
            match part {
                Part::Literal(text) => out.extend_from_slice(text.as_bytes()),
                Part::Group(index) => out
                    .extend_from_slice(captures.get(*index).map_or(b"", |group| group.as_bytes())),
            }
        }
    }
}

/// Parses a replacement. As in the regex crate, `$1x` is the group called `1x`: braces say where a name ends.
fn parts(with: &str, regex: &Regex) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = with;
    while let Some((before, after)) = rest.split_once('$') {
        literal.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            literal.push('$');
            rest = after;
            continue;
        }
        let (name, after) = match after.strip_prefix('{').map(|after| after.split_once('}')) {
            Some(Some(braced)) => braced,
            Some(None) => return Err(format!("no \"}}\" after \"${{\" in {with:?}")),
            None => {
                let end = after
                    .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                    .unwrap_or(after.len());
                after.split_at_checked(end).unwrap_or((after, ""))
            }
        };
        if !literal.is_empty() {
            parts.push(Part::Literal(std::mem::take(&mut literal)));
        }
        parts.push(Part::Group(group(name, with, regex)?));
        rest = after;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(parts)
}

fn group(name: &str, with: &str, regex: &Regex) -> Result<usize, String> {
    let index = match name.parse::<usize>() {
        Ok(index) => Some(index).filter(|index| *index < regex.captures_len()),
        Err(_) => regex.capture_names().position(|known| known == Some(name)),
    };
    index.ok_or_else(|| {
        if name.is_empty() {
            format!("a \"$\" begins a group such as $1; write \"$$\" for one \"$\" in {with:?}")
        } else {
            format!("the pattern has no group {name:?}, which {with:?} names; ${{1}}x is the first group and an x")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(pattern: &str, with: &str, text: &str) -> Option<String> {
        let text = Substitution::new(pattern, with)
            .unwrap()
            .replace_all(text.as_bytes());
        text.map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn groups_take_their_place() {
        assert_eq!(replaced("a(.)", "<$1>", "abacad").unwrap(), "<b><c><d>");
        assert_eq!(
            replaced("(?<first>.)(.)", "${2}x${first}$$", "ab").unwrap(),
            "bxa$"
        );
        assert_eq!(replaced("a|(b)", "[$1]", "ab").unwrap(), "[][b]");
        assert_eq!(replaced("x", "y", "abc"), None);
        assert_eq!(replaced("", "-", "ab").unwrap(), "-a-b-");
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for (pattern, with) in [
            ("(", ""),
            ("a", "$1"),
            ("(a)", "$1x"),
            ("a", "$name"),
            ("a", "$"),
            ("a", "${1"),
            (r"\pL", ""),
        ] {
            assert!(
                Substitution::new(pattern, with).is_err(),
                "{pattern} {with}"
            );
        }
        assert!(
            Substitution::new(&"a{1000}".repeat(100), "").is_err(),
            "a pattern too large"
        );
    }
}
