//! The plugin's table in the gateway's TOML file, as the user wrote it.

use serde::Deserialize;
use serde_json::Value;
use sluicegate_plugin::ByteSize;
use sluicegate_plugin::template::Template;
use std::collections::BTreeMap;

/// What the user writes under `[plugins.NAME.config]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What is done to requests' bodies.
    pub request: Direction,
    /// What is done to responses' bodies.
    pub response: Direction,
}

/// One direction's rules. JSON edits come first, then replacements, then what stands around the body.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Direction {
    /// Which bodies: `text/html`, `text/*`, `*/*`, or `+json` for all types with that suffix.
    pub types: Vec<String>,
    /// Applied in this order; literals side by side in one pass.
    pub replace: Vec<Replace>,
    /// Edits of JSON bodies.
    pub json: Json,
    /// Put before the body.
    pub prepend: Option<Template>,
    /// Put after the body.
    pub append: Option<Template>,
    /// How much of a body, decoded, is held at a time.
    pub limit: ByteSize,
    /// What becomes of compressed bodies.
    pub encodings: Encodings,
}

impl Default for Direction {
    fn default() -> Self {
        Self {
            types: ["text/*", "application/json", "+json"]
                .map(str::to_owned)
                .to_vec(),
            replace: Vec::new(),
            json: Json::default(),
            prepend: None,
            append: None,
            limit: ByteSize::new(1 << 20),
            encodings: Encodings::Decode,
        }
    }
}

/// What is searched for, one of two ways, and what takes its place.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replace {
    /// Text that stands for itself.
    pub find: Option<String>,
    /// A pattern.
    pub regex: Option<String>,
    /// The replacement; for a pattern with `$1` or `${name}` for what a group matched.
    pub with: String,
}

/// Edits by JSON pointer (RFC 6901). Removals come first.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Json {
    /// Members and elements to drop.
    pub remove: Vec<String>,
    /// Members and elements that get exactly this value; `-` appends to an array.
    pub set: BTreeMap<String, Value>,
}

/// What becomes of compressed bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encodings {
    /// gzip, deflate and br are taken off, and a changed body goes on as it is; others pass untouched.
    Decode,
    /// They pass untouched.
    Skip,
}
