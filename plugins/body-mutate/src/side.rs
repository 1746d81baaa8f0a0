//! One direction's rules, checked and compiled.

use crate::coding::{Announced, Coding, DecodeError, announced, decode};
use crate::config::{Direction, Encodings, Replace};
use crate::json::{Edits, Pointer};
use crate::literal::Literals;
use crate::media::{Kind, Types};
use sluicegate_plugin::substitution::Substitution;
use sluicegate_plugin::template::{Source, Template};
use sluicegate_plugin::{BodyKind, Headers, Interest};
use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

/// One direction's rules.
#[derive(Debug)]
pub struct Side {
    types: Types,
    /// The same as it is written.
    type_names: Vec<String>,
    json: Edits,
    steps: Vec<Step>,
    prepend: Option<Template>,
    append: Option<Template>,
    limit: usize,
    encodings: Encodings,
}

/// One pass over the text.
#[derive(Debug)]
enum Step {
    Literals(Rc<Literals>),
    Pattern(Substitution),
}

/// What is wanted of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Intent {
    /// Nothing.
    Pass,
    /// The whole of it, up to that many bytes.
    Collect(u64),
    /// Piece by piece, and the coding that comes off first.
    Stream {
        /// What the text is, for what is put around it.
        kind: Kind,
        /// The coding that it has.
        coding: Option<Coding>,
    },
}

/// What came of a whole body.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No rule found anything.
    Unchanged,
    /// This is in its place.
    Changed {
        /// The new body, without a coding.
        body: Vec<u8>,
        /// Whether the old one had a coding.
        decoded: bool,
    },
}

/// Why a body is not changed.
#[derive(Debug)]
pub enum Failure {
    /// Its coding could not be taken off.
    Decode(DecodeError),
    /// It is to be edited as JSON and is none.
    NoJson(serde_json::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decode(error) => error.fmt(f),
            Self::NoJson(error) => write!(f, "it is no JSON: {error}"),
        }
    }
}

impl std::error::Error for Failure {}

/// What stands around a body.
#[derive(Debug, Default)]
pub struct Around {
    /// Before it.
    pub before: Vec<u8>,
    /// After it.
    pub after: Vec<u8>,
}

impl Side {
    /// The rules of requests; the error begins with the key that is wrong.
    pub fn for_request(config: Direction) -> Result<Self, String> {
        for (key, template) in [("prepend", &config.prepend), ("append", &config.append)] {
            template
                .iter()
                .try_for_each(Template::without_response)
                .map_err(|error| format!("{key}: {error}"))?;
        }
        Self::for_response(config)
    }

    /// The rules of responses; the error begins with the key that is wrong.
    pub fn for_response(config: Direction) -> Result<Self, String> {
        let limit = usize::try_from(config.limit.bytes())
            .ok()
            .filter(|limit| *limit > 0);
        let mut json = Edits::default();
        for (at, pointer) in config.json.remove.iter().enumerate() {
            let pointer =
                Pointer::parse(pointer).map_err(|error| format!("json.remove[{at}]: {error}"))?;
            if pointer.is_root() {
                return Err(format!(
                    "json.remove[{at}]: the whole text cannot be removed"
                ));
            }
            json.remove.push(pointer);
        }
        for (pointer, value) in config.json.set {
            let pointer = Pointer::parse(&pointer).map_err(|error| format!("json.set: {error}"))?;
            json.set.push((pointer, value.to_string()));
        }
        Ok(Self {
            types: Types::parse(&config.types)?,
            type_names: config.types,
            json,
            steps: steps(config.replace)?,
            prepend: config.prepend,
            append: config.append,
            limit: limit
                .ok_or_else(|| "limit: it is larger than 0 and smaller than 4GiB".to_owned())?,
            encodings: config.encodings,
        })
    }

    /// Whether there is no rule at all.
    pub fn is_empty(&self) -> bool {
        self.json.is_empty() && !self.changes_text()
    }

    fn has_pattern(&self) -> bool {
        self.steps
            .iter()
            .any(|step| matches!(step, Step::Pattern(_)))
    }

    /// Whether there is a body that cannot stream.
    fn may_need_whole(&self) -> bool {
        !self.json.is_empty() || self.has_pattern()
    }

    fn changes_text(&self) -> bool {
        !self.steps.is_empty() || self.prepend.is_some() || self.append.is_some()
    }

    /// The largest decoded body that is held at a time.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The literals, where they are all that is replaced.
    pub fn literals(&self) -> Option<Rc<Literals>> {
        match self.steps.as_slice() {
            [Step::Literals(literals)] => Some(Rc::clone(literals)),
            _ => None,
        }
    }

    /// The bodies about which nothing has to be asked. Edits of JSON alone are for fewer types than are configured.
    pub fn interest(&self) -> Option<Interest> {
        self.changes_text().then(|| Interest {
            types: self.type_names.clone(),
            limit: self.limit as u64,
        })
    }

    /// Decides from the head of a message that has a body.
    ///
    /// Patterns and JSON edits need the whole body. Literals do not: there a short body is collected all the same,
    /// as that keeps its length known and is fewer calls, and a long, endless or compressed one streams.
    pub fn intent(&self, head: &impl Headers, body: BodyKind) -> Intent {
        let Some(kind) = head
            .header("content-type")
            .and_then(|value| self.types.kind(value))
        else {
            return Intent::Pass;
        };
        let edits_json = kind == Kind::Json && !self.json.is_empty();
        if !edits_json && !self.changes_text() {
            return Intent::Pass;
        }
        let coding = match (announced(head), self.encodings) {
            (Announced::Identity, _) => None,
            (Announced::Known(coding), Encodings::Decode) => Some(coding),
            (Announced::Known(_), Encodings::Skip) | (Announced::Unknown, _) => {
                return Intent::Pass;
            }
        };
        let collect = Intent::Collect(self.limit as u64);
        if edits_json || self.has_pattern() {
            // An event stream would never come to its end.
            return if kind == Kind::Events {
                Intent::Pass
            } else {
                collect
            };
        }
        if coding.is_none() && body == BodyKind::KnownLength {
            let length = head.header("content-length");
            let length = length.and_then(|value| number(&value));
            if length.is_some_and(|length| length <= self.limit) {
                return collect;
            }
        }
        Intent::Stream { kind, coding }
    }

    /// Whether the body of this head would be decoded.
    pub fn would_decode(&self, head: &impl Headers) -> bool {
        self.coding(head).is_some()
    }

    fn coding(&self, head: &impl Headers) -> Option<Coding> {
        if self.encodings == Encodings::Skip {
            return None;
        }
        match announced(head) {
            Announced::Known(coding) => Some(coding),
            Announced::Identity | Announced::Unknown => None,
        }
    }

    /// What stands around a body of this kind.
    pub fn around(&self, kind: Kind, source: &impl Source) -> Around {
        let render = |template: &Option<Template>| {
            let template = template.as_ref();
            template
                .map(|text| {
                    text.render_with(source, |value| kind.escape(value))
                        .into_owned()
                })
                .unwrap_or_default()
        };
        Around {
            before: render(&self.prepend),
            after: render(&self.append),
        }
    }

    /// Changes a whole body that [`intent`](Self::intent) had asked for.
    pub fn change(
        &self,
        body: &[u8],
        head: &impl Headers,
        source: &impl Source,
    ) -> Result<Outcome, Failure> {
        // Where literals are all there is, a body with a coding streams: the head need not be asked.
        let coding = if self.may_need_whole() {
            self.coding(head)
        } else {
            None
        };
        let mut text = match coding {
            None => Cow::Borrowed(body),
            Some(coding) => Cow::Owned(decode(coding, body, self.limit).map_err(Failure::Decode)?),
        };
        let mut changed = false;
        let puts_around = self.prepend.is_some() || self.append.is_some();
        let kind = if puts_around || !self.json.is_empty() {
            head.header("content-type")
                .and_then(|value| self.types.kind(value))
                .unwrap_or(Kind::Plain)
        } else {
            Kind::Plain
        };
        if kind == Kind::Json
            && !self.json.is_empty()
            && let Some(edited) = self.json.apply(&text).map_err(Failure::NoJson)?
        {
            text = Cow::Owned(edited);
            changed = true;
        }
        for step in &self.steps {
            let replaced = match step {
                Step::Literals(literals) => literals.replace_all(&text),
                Step::Pattern(pattern) => pattern.replace_all(&text),
            };
            if let Some(replaced) = replaced {
                text = Cow::Owned(replaced);
                changed = true;
            }
        }
        if puts_around {
            let mut around = self.around(kind, source);
            let mut whole = around.before;
            whole.extend_from_slice(&text);
            whole.append(&mut around.after);
            text = Cow::Owned(whole);
            changed = true;
        }
        Ok(if changed {
            Outcome::Changed {
                body: text.into_owned(),
                decoded: coding.is_some(),
            }
        } else {
            Outcome::Unchanged
        })
    }
}

/// A content-length (RFC 9110 section 8.6): digits, and nothing that would have to be checked as text first.
fn number(digits: &[u8]) -> Option<usize> {
    let (first, rest) = digits.split_first()?;
    let digit = |byte: &u8| {
        let digit = byte.wrapping_sub(b'0');
        (digit <= 9).then_some(usize::from(digit))
    };
    rest.iter().try_fold(digit(first)?, |number, byte| {
        number.checked_mul(10)?.checked_add(digit(byte)?)
    })
}

/// Literals side by side become one pass; each pattern is one of its own.
fn steps(rules: Vec<Replace>) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut literals = Vec::new();
    let flush = |literals: &mut Vec<_>, steps: &mut Vec<Step>| -> Result<(), String> {
        if !literals.is_empty() {
            steps.push(Step::Literals(Rc::new(Literals::new(std::mem::take(
                literals,
            ))?)));
        }
        Ok(())
    };
    for (at, rule) in rules.into_iter().enumerate() {
        match (rule.find, rule.regex) {
            (Some(find), None) if find.is_empty() => {
                return Err(format!("replace[{at}].find: a text to find is needed"));
            }
            (Some(find), None) => literals.push((find.into_bytes(), rule.with.into_bytes())),
            (None, Some(pattern)) => {
                flush(&mut literals, &mut steps)?;
                let pattern = Substitution::new(&pattern, &rule.with);
                steps.push(Step::Pattern(
                    pattern.map_err(|error| format!("replace[{at}]: {error}"))?,
                ));
            }
            _ => return Err(format!("replace[{at}]: either find or regex is needed")),
        }
    }
    flush(&mut literals, &mut steps)?;
    Ok(steps)
}

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
