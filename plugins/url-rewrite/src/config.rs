//! The plugin's table in the gateway's TOML file, as the user wrote it.

use serde::Deserialize;
use sluicegate_plugin::template::Template;
use std::collections::BTreeMap;

/// What the user writes under `[plugins.NAME.config]`. The path's keys are applied in this order.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A new path, made of the route's parameters: `/v2/{id}/{*rest}`.
    pub template: Option<String>,
    /// Cut off where the path begins with it, at a segment's border.
    pub strip_prefix: Option<String>,
    /// Applied one after the other, each on what the one before left.
    pub regex: Vec<RegexRule>,
    /// Put before the path.
    pub add_prefix: Option<String>,
    /// What becomes of the query.
    pub query: Query,
    /// Answers with a redirect instead of forwarding.
    pub redirect: Option<Redirect>,
}

/// A pattern and what takes the place of each of its matches.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegexRule {
    /// The pattern, matched on the path as it stands on the wire.
    pub r#match: String,
    /// With `$1` or `${name}` for what a group matched.
    pub replace: String,
}

/// What becomes of the query's pairs.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Query {
    /// Names that are dropped; one that ends in `*` stands for all that begin so.
    pub remove: Vec<String>,
    /// Names that get exactly this value.
    pub set: BTreeMap<String, Template>,
}

/// Where a request is redirected to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// The target: an absolute http(s) URL or a path.
    pub to: Template,
}
