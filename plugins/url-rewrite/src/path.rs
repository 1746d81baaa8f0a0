//! What becomes of the path.

use crate::config::Config;
use crate::escape::{decoded, has_whole_escapes, is_path_text, may_stand_in_path};
use crate::pattern::Pattern;
use sluicegate_plugin::substitution::Substitution;
use std::borrow::Cow;
use std::fmt;

/// The path's rules, in the order in which they are applied.
#[derive(Debug, Default)]
pub struct PathRules {
    template: Option<Pattern>,
    strip: Option<Prefix>,
    regex: Vec<Substitution>,
    /// Without a slash at its end.
    add: Option<String>,
}

/// A prefix to strip.
#[derive(Debug)]
struct Prefix {
    /// Its segments, decoded.
    segments: Vec<Vec<u8>>,
    /// As it was written, where it has no escapes: most paths can be compared with that.
    plain: Option<String>,
}

/// Why a path cannot be rewritten.
#[derive(Debug, PartialEq, Eq)]
pub enum RewriteError {
    /// The template names a parameter that the route does not have.
    NoParameter(String),
    /// What came out has bytes that may not stand in a path: a pattern had cut an escape in two, say.
    NoPath,
    /// What came out has a segment `.` or `..`, plain or escaped: it would lead to another path than the rules say.
    DotSegment,
}

impl fmt::Display for RewriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoParameter(name) => write!(f, "template: the route has no parameter {{{name}}}"),
            Self::NoPath => {
                f.write_str("the rewritten path has characters that cannot stand there")
            }
            Self::DotSegment => f.write_str("the rewritten path has a dot segment"),
        }
    }
}

impl std::error::Error for RewriteError {}

impl PathRules {
    /// Checks and compiles; the error begins with the key that is wrong.
    pub fn new(config: &Config) -> Result<Self, String> {
        if config.template.is_some() && config.strip_prefix.is_some() {
            return Err(
                "strip_prefix: template replaces the whole path, so there is nothing to strip"
                    .to_owned(),
            );
        }
        let template = config
            .template
            .as_deref()
            .map(Pattern::parse)
            .transpose()
            .map_err(|e| format!("template: {e}"))?;
        let strip = match &config.strip_prefix {
            None => None,
            Some(prefix) => {
                let prefix =
                    checked_prefix(prefix).map_err(|error| format!("strip_prefix: {error}"))?;
                Some(Prefix::new(prefix))
            }
        };
        let mut regex = Vec::new();
        for (at, rule) in config.regex.iter().enumerate() {
            let compiled = Substitution::new(&rule.r#match, &rule.replace);
            let compiled = compiled.map_err(|error| format!("regex[{at}]: {error}"))?;
            if !compiled.literals().all(is_path_text) {
                let hint = if rule.replace.contains('?') {
                    "; the query is set by query.set"
                } else {
                    ""
                };
                return Err(format!(
                    "regex[{at}].replace: it has characters that cannot stand in a path{hint}"
                ));
            }
            regex.push(compiled);
        }
        let add = config.add_prefix.as_deref().map(checked_prefix).transpose();
        let add = add
            .map_err(|error| format!("add_prefix: {error}"))?
            .map(str::to_owned);
        Ok(Self {
            template,
            strip,
            regex,
            add,
        })
    }

    /// Whether there is no rule at all.
    pub fn is_empty(&self) -> bool {
        self.template.is_none()
            && self.strip.is_none()
            && self.regex.is_empty()
            && self.add.is_none()
    }

    /// The rewritten path; `None` where no rule changes it. It begins with exactly one slash, and what no rule
    /// touched keeps its escapes.
    pub fn rewrite<'a>(
        &self,
        path: &'a str,
        parameter: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Cow<'a, str>>, RewriteError> {
        let mut new: Option<Cow<'a, str>> = match &self.template {
            Some(template) => Some(template.fill(path, parameter)?.into()),
            None => match &self.strip {
                Some(prefix) => prefix.strip(path).map(with_one_slash),
                None => None,
            },
        };
        for rule in &self.regex {
            if let Some(replaced) = rule.replace_all(new.as_deref().unwrap_or(path).as_bytes()) {
                let replaced = String::from_utf8(replaced).map_err(|_| RewriteError::NoPath)?;
                new = Some(replaced.into());
            }
        }
        if let Some(prefix) = &self.add {
            let rest = with_one_slash(new.as_deref().unwrap_or(path));
            new = Some([prefix, &*rest].concat().into());
        }
        let Some(new) = new else { return Ok(None) };
        let new = if new.starts_with('/') && !new.starts_with("//") {
            new
        } else {
            Cow::Owned(with_one_slash(&new).into_owned())
        };
        if *new == *path {
            return Ok(None);
        }
        if !may_stand_in_path(&new) || (!has_whole_escapes(&new) && has_whole_escapes(path)) {
            return Err(RewriteError::NoPath);
        }
        if new
            .as_bytes()
            .split(|byte| *byte == b'/')
            .any(is_dot_segment)
        {
            return Err(RewriteError::DotSegment);
        }
        Ok(Some(new))
    }
}

impl Prefix {
    fn new(text: &str) -> Self {
        let segments = text.split('/').skip(1);
        Self {
            segments: segments
                .map(|segment| decoded(segment.as_bytes()).into_owned())
                .collect(),
            plain: (!text.contains('%')).then(|| text.to_owned()),
        }
    }

    /// What stands after the prefix: nothing, or a slash and more. Segments are compared decoded, so that `/%61pi`
    /// does not get around the prefix `/api`.
    fn strip<'a>(&self, path: &'a str) -> Option<&'a str> {
        if let Some(plain) = &self.plain {
            let rest = path.strip_prefix(plain.as_str());
            let rest = rest.filter(|rest| rest.is_empty() || rest.starts_with('/'));
            if rest.is_some() || !path.contains('%') {
                return rest;
            }
        }
        let mut rest = path;
        for expected in &self.segments {
            rest = rest.strip_prefix('/')?;
            let (segment, after) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            if *decoded(segment.as_bytes()) != **expected {
                return None;
            }
            rest = after;
        }
        Some(rest)
    }
}

/// The text with exactly one slash at its beginning.
fn with_one_slash(text: &str) -> Cow<'_, str> {
    let slashes = text.bytes().take_while(|byte| *byte == b'/').count();
    match slashes.checked_sub(1).and_then(|more| text.get(more..)) {
        Some(text) => Cow::Borrowed(text),
        None if text.is_empty() => Cow::Borrowed("/"),
        None => Cow::Owned(["/", text].concat()),
    }
}

/// Whether a segment is `.` or `..`, plain or escaped.
fn is_dot_segment(segment: &[u8]) -> bool {
    matches!(segment.first(), Some(b'.' | b'%')) && matches!(&*decoded(segment), b"." | b"..")
}

/// A prefix without the slash at its end.
fn checked_prefix(prefix: &str) -> Result<&str, String> {
    let trimmed = prefix.trim_end_matches('/');
    if !prefix.starts_with('/') || trimmed.is_empty() || trimmed.starts_with("//") {
        return Err(format!(
            "a prefix is \"/\" and at least one segment, not so {prefix:?}"
        ));
    }
    if !is_path_text(trimmed) {
        return Err(format!(
            "{prefix:?} has characters that cannot stand in a path; percent-encode them"
        ));
    }
    Ok(trimmed)
}

#[cfg(test)]
mod tests;
