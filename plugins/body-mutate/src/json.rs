//! Edits of a JSON text by pointer (RFC 6901).
//!
//! Only the objects and arrays that a pointer goes through are taken apart; everything else keeps its bytes: numbers
//! their digits (a value of 2^63 is not rounded to a float), members their order and their spacing.

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// A parsed pointer: the names and indexes on the way.
#[derive(Debug, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// Parses a pointer: empty for the whole text, or `/` and a token, as often as needed.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let Some(tokens) = text.strip_prefix('/') else {
            return Err(format!("{text:?} is no JSON pointer: it begins with \"/\""));
        };
        let unescape = |token: &str| {
            if token
                .split('~')
                .skip(1)
                .any(|after| !after.starts_with(['0', '1']))
            {
                return Err(format!(
                    "{text:?} is no JSON pointer: \"~\" is written \"~0\", and \"/\" in a name \"~1\""
                ));
            }
            Ok(token.replace("~1", "/").replace("~0", "~"))
        };
        Ok(Self(
            tokens.split('/').map(unescape).collect::<Result<_, _>>()?,
        ))
    }

    /// Whether it points at the whole text.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }
}

/// What is done to a JSON text: removals in their order, then what is set.
#[derive(Debug, Default)]
pub struct Edits {
    /// What goes. A pointer that leads nowhere is no error.
    pub remove: Vec<Pointer>,
    /// What gets a value, as JSON text. Objects that are missing on the way are made; a way that leads through
    /// something else (a text, an index that is not there) is left alone.
    pub set: Vec<(Pointer, String)>,
}

impl Edits {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty()
    }

    /// The edited text; `None` where no edit changes anything, an error where it is no JSON.
    pub fn apply(&self, text: &[u8]) -> Result<Option<Vec<u8>>, serde_json::Error> {
        let raw: &RawValue = serde_json::from_slice(text)?;
        let mut root = Node::Raw(raw.get());
        let mut changed = false;
        for pointer in &self.remove {
            changed |= root.remove(&pointer.0)?;
        }
        for (pointer, value) in &self.set {
            changed |= root.set(&pointer.0, value)?;
        }
        Ok(changed.then(|| {
            let mut out = String::with_capacity(text.len() + 64);
            root.write(&mut out);
            out.into_bytes()
        }))
    }
}

/// A value: as text, or taken apart because an edit goes through it.
enum Node<'a> {
    Raw(&'a str),
    Object(Vec<(String, Node<'a>)>),
    Array(Vec<Node<'a>>),
}

impl<'a> Node<'a> {
    /// Takes an object or an array apart; other values stay.
    fn open(&mut self) -> Result<(), serde_json::Error> {
        if let Self::Raw(text) = self {
            match text.as_bytes().first() {
                Some(b'{') => {
                    let mut json = serde_json::Deserializer::from_str(text);
                    *self = Self::Object(json.deserialize_map(Members)?);
                }
                Some(b'[') => {
                    let mut json = serde_json::Deserializer::from_str(text);
                    *self = Self::Array(json.deserialize_seq(Elements)?);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn set(&mut self, pointer: &[String], value: &'a str) -> Result<bool, serde_json::Error> {
        let Some((token, rest)) = pointer.split_first() else {
            let changed = !matches!(self, Self::Raw(text) if *text == value);
            *self = Self::Raw(value);
            return Ok(changed);
        };
        self.open()?;
        match self {
            Self::Raw(_) => Ok(false),
            Self::Object(members) => {
                let mut named = members.iter_mut().filter(|(name, _)| name == token);
                let Some((_, first)) = named.next() else {
                    members.push((token.clone(), Self::made(rest, value)));
                    return Ok(true);
                };
                let more = named.next().is_some();
                let changed = first.set(rest, value)?;
                // Parsers differ in which of two members of one name they believe: one is left.
                if more {
                    let mut seen = false;
                    members
                        .retain(|(name, _)| name != token || !std::mem::replace(&mut seen, true));
                }
                Ok(changed || more)
            }
            Self::Array(elements) => {
                if token == "-" {
                    elements.push(Self::made(rest, value));
                    return Ok(true);
                }
                index(token)
                    .and_then(|at| elements.get_mut(at))
                    .map_or(Ok(false), |element| element.set(rest, value))
            }
        }
    }

    /// A value with the objects around it that a pointer names; `-` names an array.
    fn made(pointer: &[String], value: &'a str) -> Self {
        match pointer.split_first() {
            None => Self::Raw(value),
            Some((token, rest)) if token == "-" => Self::Array(vec![Self::made(rest, value)]),
            Some((token, rest)) => Self::Object(vec![(token.clone(), Self::made(rest, value))]),
        }
    }

    fn remove(&mut self, pointer: &[String]) -> Result<bool, serde_json::Error> {
        let Some((token, rest)) = pointer.split_first() else {
            return Ok(false);
        };
        self.open()?;
        match self {
            Self::Raw(_) => Ok(false),
            Self::Object(members) if rest.is_empty() => {
                let before = members.len();
                members.retain(|(name, _)| name != token);
                Ok(members.len() != before)
            }
            Self::Object(members) => {
                let mut changed = false;
                for (_, member) in members.iter_mut().filter(|(name, _)| name == token) {
                    changed |= member.remove(rest)?;
                }
                Ok(changed)
            }
            Self::Array(elements) => match index(token).filter(|at| *at < elements.len()) {
                None => Ok(false),
                Some(at) if rest.is_empty() => {
                    elements.remove(at);
                    Ok(true)
                }
                Some(at) => elements
                    .get_mut(at)
                    .map_or(Ok(false), |element| element.remove(rest)),
            },
        }
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Raw(text) => out.push_str(text),
            Self::Object(members) => {
                out.push('{');
                for (at, (name, member)) in members.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    out.push_str(&serde_json::Value::from(name.as_str()).to_string());
                    out.push(':');
                    member.write(out);
                }
                out.push('}');
            }
            Self::Array(elements) => {
                out.push('[');
                for (at, element) in elements.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    element.write(out);
                }
                out.push(']');
            }
        }
    }
}

/// An index as RFC 6901 writes it: no sign and no leading zero.
fn index(token: &str) -> Option<usize> {
    let is_index = token == "0"
        || (!token.starts_with('0') && token.bytes().all(|byte| byte.is_ascii_digit()));
    token.parse().ok().filter(|_| is_index)
}

struct Members;
impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, Node<'de>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((name, member)) = map.next_entry::<String, &'de RawValue>()? {
            members.push((name, Node::Raw(member.get())));
        }
        Ok(members)
    }
}

struct Elements;
impl<'de> Visitor<'de> for Elements {
    type Value = Vec<Node<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = sequence.next_element::<&'de RawValue>()? {
            elements.push(Node::Raw(element.get()));
        }
        Ok(elements)
    }
}

#[cfg(test)]
mod tests;
