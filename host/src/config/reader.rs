//! A typed walk over the parsed file that reports instead of stopping.
//!
//! A [`Section`] hands out its keys as [`Node`]s; a node is read as a type, or the [`Report`] gets
//! a problem and the reader goes on with a default. The values that stand in for wrong ones are
//! never seen outside: a report with problems refuses the file. When a section is finished, every
//! key that nobody asked for is an unknown key.

use std::borrow::Cow;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::{DeInteger, DeTable, DeValue};

use super::quantity::{self, QuantityError};
use super::report::Report;
use super::suggest;

/// A value of the file, with its place.
#[derive(Debug, Clone)]
pub(super) struct Node<'t> {
    report: &'t Report,
    pub(super) value: &'t DeValue<'t>,
    pub(super) path: String,
    pub(super) line: usize,
}

impl<'t> Node<'t> {
    pub(super) fn problem(&self, message: impl Into<String>) {
        self.report.problem(&self.path, self.line, message);
    }

    pub(super) fn warning(&self, message: impl Into<String>) {
        self.report.warning(&self.path, self.line, message);
    }

    /// `found ...; expected ...`
    pub(super) fn unexpected(&self, expected: impl Display) {
        self.problem(format!("found {}; expected {expected}", self.found()));
    }

    /// `found ...; allowed: "a", "b"`
    pub(super) fn not_one_of<'a>(&self, allowed: impl IntoIterator<Item = &'a str>) {
        self.problem(format!(
            "found {}; allowed: {}",
            self.found(),
            list(allowed)
        ));
    }

    fn found(&self) -> String {
        match self.value {
            DeValue::String(text) => quoted(text),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.to_string(),
            DeValue::Boolean(value) => value.to_string(),
            DeValue::Datetime(value) => format!("the date {value}"),
            DeValue::Array(items) if items.is_empty() => "an empty array".to_owned(),
            DeValue::Array(_) => "an array".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        }
    }

    pub(super) fn as_str(&self) -> Option<&'t str> {
        self.value.as_str()
    }

    pub(super) fn string(&self) -> Option<&'t str> {
        self.string_like("a string")
    }

    /// A string; `expected` tells what kind of text belongs here to whoever wrote something else.
    pub(super) fn string_like(&self, expected: &str) -> Option<&'t str> {
        let text = self.as_str();
        if text.is_none() {
            self.unexpected(expected);
        }
        text
    }

    /// What a text means that may hold a password: itself, or with "env:NAME" what that environment variable has.
    pub(super) fn held_by_environment<'a>(&self, text: &'a str) -> Option<Cow<'a, str>> {
        let Some(name) = text.strip_prefix("env:") else {
            return Some(Cow::Borrowed(text));
        };
        let held = std::env::var(name).ok().map(Cow::Owned);
        if held.is_none() {
            self.problem("this environment variable is not set");
        }
        held
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        let value = self.value.as_bool();
        if value.is_none() {
            self.unexpected("true or false");
        }
        value
    }

    pub(super) fn whole<T>(&self, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i128> + PartialOrd + Display,
    {
        let number = self
            .value
            .as_integer()
            .and_then(integer)
            .and_then(|number| T::try_from(number).ok())
            .filter(|number| range.contains(number));
        if number.is_none() {
            self.unexpected(format_args!(
                "a whole number from {} to {}",
                range.start(),
                range.end()
            ));
        }
        number
    }

    /// A number with or without a fraction. What is none is not reported: the caller knows more of
    /// what belongs here.
    pub(super) fn as_number(&self) -> Option<f64> {
        match self.value {
            DeValue::Float(number) => number.as_str().parse().ok(),
            DeValue::Integer(number) => integer(number)
                .and_then(|number| i32::try_from(number).ok())
                .map(f64::from),
            _ => None,
        }
    }

    /// A share of a whole, from 0 to 1.
    pub(super) fn share(&self) -> Option<f64> {
        let share = self
            .as_number()
            .filter(|number| (0.0..=1.0).contains(number));
        if share.is_none() {
            self.unexpected("a number from 0.0 to 1.0");
        }
        share
    }

    /// A duration that is longer than zero.
    pub(super) fn duration(&self) -> Option<Duration> {
        let duration = self.duration_or_zero()?;
        if duration.is_zero() {
            self.unexpected("a duration longer than zero");
            return None;
        }
        Some(duration)
    }

    pub(super) fn duration_or_zero(&self) -> Option<Duration> {
        const EXPECTED: &str = r#"a duration such as "250ms", "2s", "1m" or "1h""#;
        match quantity::parse_duration(self.string_like(EXPECTED)?) {
            Ok(duration) => Some(duration),
            Err(QuantityError::Form) => {
                self.unexpected(EXPECTED);
                None
            }
            Err(QuantityError::TooLarge) => {
                self.unexpected(format_args!(
                    "at most \"{}\"",
                    quantity::write_duration(quantity::LONGEST)
                ));
                None
            }
        }
    }

    /// Bytes.
    pub(super) fn size(&self, range: RangeInclusive<u64>) -> Option<u64> {
        self.size_or(range, "")
    }

    /// Bytes; `otherwise` tells in messages what else could stand here, which the caller has ruled out.
    pub(super) fn size_or(&self, range: RangeInclusive<u64>, otherwise: &str) -> Option<u64> {
        const EXPECTED: &str = r#"a size such as "512B", "64KiB", "16MiB" or "1GiB""#;
        let size = match self
            .as_str()
            .map_or(Err(QuantityError::Form), quantity::parse_size)
        {
            Ok(size) => Some(size),
            Err(QuantityError::TooLarge) => None,
            Err(QuantityError::Form) => {
                self.unexpected(format_args!("{EXPECTED}{otherwise}"));
                return None;
            }
        };
        let size = size.filter(|size| range.contains(size));
        if size.is_none() {
            let (least, most) = (
                quantity::write_size(*range.start()),
                quantity::write_size(*range.end()),
            );
            self.unexpected(format_args!(
                "a size from \"{least}\" to \"{most}\"{otherwise}"
            ));
        }
        size
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let chosen = self
            .as_str()
            .and_then(|text| choices.iter().find(|(word, _)| *word == text))
            .map(|(_, choice)| *choice);
        if chosen.is_none() {
            self.not_one_of(choices.iter().map(|(word, _)| *word));
        }
        chosen
    }

    /// One of the names that another part of the file defines.
    pub(super) fn name_of<'n>(&self, what: &str, defined: &[&'n str]) -> Option<&'n str> {
        let text = self.string_like(&format!("the name of one of the {what}s"))?;
        let known = defined.iter().copied().find(|name| *name == text);
        if known.is_none() {
            let hint = match suggest::nearest(text, defined.iter().copied()) {
                Some(near) => format!("did you mean {}?", quoted(near)),
                None if defined.is_empty() => "none is defined".to_owned(),
                None => format!("defined: {}", list(defined.iter().copied())),
            };
            self.problem(format!("no {what} named {}; {hint}", quoted(text)));
        }
        known
    }

    pub(super) fn items(&self) -> Option<Vec<Node<'t>>> {
        let Some(items) = self.value.as_array() else {
            self.unexpected("an array");
            return None;
        };
        let item = |(index, item): (usize, &'t toml::Spanned<DeValue<'t>>)| Node {
            report: self.report,
            value: item.get_ref(),
            path: format!("{}[{index}]", self.path),
            line: self.report.line(item.span().start),
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// The entries of a table whose keys are nobody's here; none where it is no table.
    pub(super) fn entries(&self) -> Vec<(&'t str, Node<'t>)> {
        entries(self.report, &self.path, self.value.as_table())
    }

    /// A table; `expected` shows how one is written here.
    pub(super) fn section(&self, expected: &str) -> Option<Section<'t>> {
        let Some(table) = self.value.as_table() else {
            self.unexpected(expected);
            return None;
        };
        Some(Section {
            report: self.report,
            table: Some(table),
            path: self.path.clone(),
            line: self.line,
            asked: Vec::new(),
        })
    }
}

/// A table of the file whose keys are known beforehand, or the place where one could stand.
#[derive(Debug)]
#[must_use = "a section that is not finished hides unknown keys"]
pub(super) struct Section<'t> {
    report: &'t Report,
    table: Option<&'t DeTable<'t>>,
    path: String,
    line: usize,
    asked: Vec<&'static str>,
}

impl<'t> Section<'t> {
    pub(super) fn root(report: &'t Report, table: &'t DeTable<'t>) -> Self {
        Self {
            report,
            table: Some(table),
            path: String::new(),
            line: 1,
            asked: Vec::new(),
        }
    }

    pub(super) fn problem(&self, message: impl Into<String>) {
        self.report.problem(&self.path, self.line, message);
    }

    pub(super) fn take(&mut self, key: &'static str) -> Option<Node<'t>> {
        self.asked.push(key);
        let (key, value) = self.table?.get_key_value(key)?;
        Some(self.node(key.get_ref(), value))
    }

    /// A key that has to be there; `expected` tells what is to be written.
    pub(super) fn require(&mut self, key: &'static str, expected: &str) -> Option<Node<'t>> {
        let node = self.take(key);
        if node.is_none() {
            self.report.problem(
                join(&self.path, key),
                self.line,
                format!("missing; expected {expected}"),
            );
        }
        node
    }

    /// The value of a key; `None` where it is absent, and where it is wrong.
    pub(super) fn read<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Node<'t>) -> Option<T>,
    ) -> Option<T> {
        self.take(key).and_then(|node| read(&node))
    }

    /// A table in the table. One that is absent, or no table, has no keys, and all defaults apply.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'t> {
        let absent = Section {
            report: self.report,
            table: None,
            path: join(&self.path, key),
            line: self.line,
            asked: Vec::new(),
        };
        self.read(key, |node| node.section("a table"))
            .unwrap_or(absent)
    }

    /// The entries of a table whose keys are names of the user's.
    pub(super) fn entries(&self) -> Vec<(&'t str, Node<'t>)> {
        entries(self.report, &self.path, self.table)
    }

    /// Reports the keys that nobody has asked for.
    pub(super) fn finish(self) {
        for (key, node) in self.entries() {
            if self.asked.contains(&key) {
                continue;
            }
            let hint = suggest::nearest(key, self.asked.iter().copied()).map_or_else(
                || {
                    let mut allowed = self.asked.clone();
                    allowed.sort_unstable();
                    format!("allowed here: {}", allowed.join(", "))
                },
                |near| format!("did you mean \"{near}\"?"),
            );
            node.problem(format!("unknown key; {hint}"));
        }
    }

    fn node(&self, key: &str, value: &'t toml::Spanned<DeValue<'t>>) -> Node<'t> {
        node(self.report, &self.path, key, value)
    }
}

/// The entries of the table at `path`.
fn entries<'t>(
    report: &'t Report,
    path: &str,
    table: Option<&'t DeTable<'t>>,
) -> Vec<(&'t str, Node<'t>)> {
    let entries = table.into_iter().flat_map(DeTable::iter);
    entries
        .map(|(key, value)| {
            let key = key.get_ref().as_ref();
            (key, node(report, path, key, value))
        })
        .collect()
}

/// The value of a key of the table at `path`.
fn node<'t>(
    report: &'t Report,
    path: &str,
    key: &str,
    value: &'t toml::Spanned<DeValue<'t>>,
) -> Node<'t> {
    Node {
        report,
        value: value.get_ref(),
        path: join(path, key),
        line: report.line(value.span().start),
    }
}

/// No TOML integer that anyone means is outside of this type.
pub(super) fn integer(number: &DeInteger<'_>) -> Option<i128> {
    i128::from_str_radix(number.as_str(), number.radix()).ok()
}

fn join(path: &str, key: &str) -> String {
    let bare = !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let key = if bare { key.to_owned() } else { quoted(key) };
    if path.is_empty() {
        key
    } else {
        format!("{path}.{key}")
    }
}

/// A text of the file in a message: in quotes, on one line, and not pages of it.
pub(super) fn quoted(text: &str) -> String {
    const MOST: usize = 80;
    match text.char_indices().nth(MOST) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}...", text.get(..end).unwrap_or_default()),
    }
}

fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(quoted).collect();
    words.join(", ")
}
