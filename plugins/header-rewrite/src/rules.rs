//! One side's rules, checked and in the order in which they are applied.
//!
//! Each call to the gateway costs, so neighbouring rules without variables make one together, whatever they are, and
//! nothing is put together for it at request time. A rule with a variable makes one of its own, and one more for each
//! time that a variable stands in its value.

use crate::config::Side;
use crate::name::checked;
use sluicegate_plugin::template::{Source, Template};
use sluicegate_plugin::{EditError, HeaderEdit, Headers};
use std::collections::BTreeSet;

/// What a rule does to one field.
#[derive(Debug)]
enum Rule {
    /// Rules that say beforehand what they do, a rename excepted.
    Constant(Vec<HeaderEdit>),
    Rename {
        from: String,
        to: String,
    },
    Remove {
        name: String,
    },
    Set {
        name: String,
        value: Template,
    },
    Default {
        name: String,
        value: Template,
    },
    Append {
        name: String,
        value: Template,
    },
}

/// One side's rules in the order of [`Side`]'s keys.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    /// `set.host` of the request's side: the authority is not a field like the others.
    host: Option<Template>,
}

impl Rules {
    /// The rules of the request's side; the error begins with the key that is wrong.
    pub fn for_request(mut side: Side) -> Result<Self, String> {
        let key = side
            .set
            .keys()
            .find(|name| name.eq_ignore_ascii_case("host"))
            .cloned();
        let host = key.and_then(|key| side.set.remove(&key));
        if let Some(host) = &host {
            check_value(host)
                .and_then(|()| host.without_response())
                .map_err(|e| format!("request.set.host: {e}"))?;
        }
        let templates = side.set.iter().map(|(name, value)| ("set", name, value));
        let templates = templates.chain(
            side.default
                .iter()
                .map(|(name, value)| ("default", name, value)),
        );
        let appended = side
            .append
            .iter()
            .flat_map(|(name, list)| list.0.iter().map(move |v| ("append", name, v)));
        for (key, name, value) in templates.chain(appended) {
            value
                .without_response()
                .map_err(|error| format!("request.{key}.{name}: {error}"))?;
        }
        let rules = compile(side, "request")?;
        if let Some(rule) = rules.iter().find(|rule| rule.names().contains(&"host")) {
            return Err(format!(
                "request.{}: of host there is only request.set.host",
                rule.key()
            ));
        }
        Ok(Self {
            rules: joined(rules),
            host,
        })
    }

    /// The rules of the response's side; the error begins with the key that is wrong.
    pub fn for_response(side: Side) -> Result<Self, String> {
        Ok(Self {
            rules: joined(compile(side, "response")?),
            host: None,
        })
    }

    /// Whether there is no rule at all.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.host.is_none()
    }

    /// The Host that the upstream is to be sent, if a rule says one.
    pub fn host(&self, source: &impl Source) -> Option<String> {
        let host = self.host.as_ref()?.render_header(source);
        Some(String::from_utf8_lossy(&host).into_owned())
    }

    /// Applies the rules in order. Values see the head as the rules before have left it.
    pub fn apply(&self, head: &impl Headers, source: &impl Source) -> Result<(), EditError> {
        for rule in &self.rules {
            match rule {
                Rule::Constant(edits) => head.edit_headers(edits)?,
                Rule::Rename { from, to } => rename(head, from, to)?,
                Rule::Remove { name } => head.remove_header(name),
                Rule::Set { name, value } => head.set_header(name, &value.render_header(source))?,
                Rule::Default { name, value } => {
                    if head.header(name).is_none() {
                        head.set_header(name, &value.render_header(source))?;
                    }
                }
                Rule::Append { name, value } => {
                    head.append_header(name, &value.render_header(source))?;
                }
            }
        }
        Ok(())
    }
}

impl Rule {
    /// The edit that it always makes, if it is one.
    fn constant(&self) -> Option<HeaderEdit> {
        let field = |name: &String, value: &Template| {
            Some((name.clone(), value.constant()?.to_owned().into_bytes()))
        };
        match self {
            Self::Remove { name } => Some(HeaderEdit::Remove(name.clone())),
            Self::Set { name, value } => field(name, value).map(HeaderEdit::Set),
            Self::Default { name, value } => field(name, value).map(HeaderEdit::Default),
            Self::Append { name, value } => field(name, value).map(HeaderEdit::Append),
            Self::Rename { .. } | Self::Constant(_) => None,
        }
    }

    fn key(&self) -> &'static str {
        match self {
            Self::Constant(_) => "",
            Self::Rename { .. } => "rename",
            Self::Remove { .. } => "remove",
            Self::Set { .. } => "set",
            Self::Default { .. } => "default",
            Self::Append { .. } => "append",
        }
    }

    fn names(&self) -> Vec<&str> {
        match self {
            Self::Constant(_) => Vec::new(),
            Self::Rename { from, to } => vec![from, to],
            Self::Remove { name }
            | Self::Set { name, .. }
            | Self::Default { name, .. }
            | Self::Append { name, .. } => {
                vec![name]
            }
        }
    }
}

/// Puts neighbours without variables together.
fn joined(rules: Vec<Rule>) -> Vec<Rule> {
    let mut joined: Vec<Rule> = Vec::with_capacity(rules.len());
    for rule in rules {
        match (rule.constant(), joined.last_mut()) {
            (Some(edit), Some(Rule::Constant(edits))) => edits.push(edit),
            (Some(edit), _) => joined.push(Rule::Constant(vec![edit])),
            (None, _) => joined.push(rule),
        }
    }
    joined
}

fn rename(head: &impl Headers, from: &str, to: &str) -> Result<(), EditError> {
    let values = head.header_values(from);
    let mut values = values.iter();
    if let Some(first) = values.next() {
        head.set_header(to, first)?;
        for value in values {
            head.append_header(to, value)?;
        }
        head.remove_header(from);
    }
    Ok(())
}

/// Checks every name and constant, and puts the rules in their order.
fn compile(side: Side, at: &str) -> Result<Vec<Rule>, String> {
    let mut rules = Vec::new();
    let mut seen = BTreeSet::new();
    // "X-User" and "x-user" are one field: of two rules for it one would be lost without a word.
    let mut once = |key: &'static str, name: &str| -> Result<String, String> {
        let name = checked(name).map_err(|error| format!("{at}.{key}.{name}: {error}"))?;
        if !seen.insert((key, name.clone())) {
            return Err(format!("{at}.{key}.{name}: the field is named twice"));
        }
        Ok(name)
    };
    for (from, to) in side.rename {
        let name = once("rename", &from)?;
        let to = checked(&to).map_err(|error| format!("{at}.rename.{from}: {error}"))?;
        if name == to {
            return Err(format!("{at}.rename.{from}: the new name is the old one"));
        }
        rules.push(Rule::Rename { from: name, to });
    }
    for name in side.remove {
        rules.push(Rule::Remove {
            name: once("remove", &name)?,
        });
    }
    for (name, value) in side.set {
        check_value(&value).map_err(|error| format!("{at}.set.{name}: {error}"))?;
        rules.push(Rule::Set {
            name: once("set", &name)?,
            value,
        });
    }
    for (name, value) in side.default {
        check_value(&value).map_err(|error| format!("{at}.default.{name}: {error}"))?;
        rules.push(Rule::Default {
            name: once("default", &name)?,
            value,
        });
    }
    for (name, values) in side.append {
        let checked = once("append", &name)?;
        for value in values.0 {
            check_value(&value).map_err(|error| format!("{at}.append.{name}: {error}"))?;
            rules.push(Rule::Append {
                name: checked.clone(),
                value,
            });
        }
    }
    Ok(rules)
}

/// RFC 9110 section 5.5: no controls except the tab; what stands at the ends would be trimmed on the way.
fn check_value(value: &Template) -> Result<(), String> {
    if value
        .literals()
        .any(|text| text.chars().any(|c| c.is_ascii_control() && c != '\t'))
    {
        return Err("a header value has no line breaks and no other control characters".to_owned());
    }
    if value
        .constant()
        .is_some_and(|text| text.trim_matches([' ', '\t']).len() != text.len())
    {
        return Err("a header value does not begin or end with white space".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
