//! What becomes of the path.

use crate::config::Config;
use crate::escape::{decoded, has_whole_escapes, is_path_text, may_stand_in_path};
use crate::pattern::Pattern;
use sluicegate_plugin::substitution::Substitution;
use std::fmt;

/// The path's rules, in the order in which they are applied.
#[derive(Debug, Default)]
pub struct PathRules {
    template: Option<Pattern>,
    /// The prefix's segments, decoded.
    strip: Vec<Vec<u8>>,
    regex: Vec<Substitution>,
    /// Without a slash at its end.
    add: Option<String>,
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
            None => Vec::new(),
            Some(prefix) => {
                let prefix =
                    checked_prefix(prefix).map_err(|error| format!("strip_prefix: {error}"))?;
                prefix
                    .split('/')
                    .skip(1)
                    .map(|segment| decoded(segment).into_owned())
                    .collect()
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
            && self.strip.is_empty()
            && self.regex.is_empty()
            && self.add.is_none()
    }

    /// The rewritten path; `None` where no rule changes it. It begins with exactly one slash, and what no rule
    /// touched keeps its escapes.
    pub fn rewrite(
        &self,
        path: &str,
        parameter: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<String>, RewriteError> {
        let mut new = match &self.template {
            Some(template) => Some(template.fill(path, parameter)?),
            None => self
                .stripped(path)
                .map(|rest| format!("/{}", rest.trim_start_matches('/'))),
        };
        for rule in &self.regex {
            if let Some(replaced) = rule.replace_all(new.as_deref().unwrap_or(path).as_bytes()) {
                new = Some(String::from_utf8(replaced).map_err(|_| RewriteError::NoPath)?);
            }
        }
        if let Some(prefix) = &self.add {
            new = Some(format!(
                "{prefix}/{}",
                new.as_deref().unwrap_or(path).trim_start_matches('/')
            ));
        }
        let Some(new) = new else { return Ok(None) };
        let new = format!("/{}", new.trim_start_matches('/'));
        if new == path {
            return Ok(None);
        }
        if !may_stand_in_path(&new) || (has_whole_escapes(path) && !has_whole_escapes(&new)) {
            return Err(RewriteError::NoPath);
        }
        if new
            .split('/')
            .any(|segment| matches!(&*decoded(segment), b"." | b".."))
        {
            return Err(RewriteError::DotSegment);
        }
        Ok(Some(new))
    }

    /// What stands after the prefix: nothing, or a slash and more. Segments are compared decoded, so that `/%61pi`
    /// does not get around the prefix `/api`.
    fn stripped<'a>(&self, path: &'a str) -> Option<&'a str> {
        if self.strip.is_empty() {
            return None;
        }
        let mut rest = path;
        for expected in &self.strip {
            rest = rest.strip_prefix('/')?;
            let (segment, after) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            if *decoded(segment) != **expected {
                return None;
            }
            rest = after;
        }
        Some(rest)
    }
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
