//! The configuration file: from TOML to types that hold nothing wrong.
//!
//! [`parse`] walks the file's tree, with the byte span of every key and value at hand, through one
//! reader per section, and collects **every** problem with its line and its key's path. That is why
//! no serde mirror of the file stands between the text and the types of the [model](Config): serde stops
//! at the first error. What the contract knows and this version does not do is never swallowed: it is
//! refused where it would change who sees what, and else accepted with a warning.

mod access_log;
mod admin;
mod health;
mod hostname;
mod hub;
mod json;
mod limits;
mod listener;
mod model;
mod name;
mod places;
mod plugin;
mod plugin_use;
mod problem;
mod quantity;
mod reader;
mod report;
mod resolver;
mod retries;
mod route;
mod server;
mod suggest;
mod target;
mod tls;
mod upstream;
mod via;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use toml::de::DeTable;

pub use hub::model::*;
pub use listener::model::*;
pub use model::*;
pub use places::Places;
pub use problem::{ConfigError, Loaded, Problem};
use reader::Section;
use report::Report;
pub use resolver::Resolver;
pub use target::Place;
pub use tls::model::*;
pub use via::model::*;

/// What names and relative paths of the file refer to.
struct Scope<'t> {
    /// The file's folder, absolute.
    folder: PathBuf,
    /// The names under `[plugins]`, whether what they stand for is right or not.
    plugins: Vec<&'t str>,
    /// The names under `[upstreams]`.
    upstreams: Vec<&'t str>,
    /// The names under `[hubs]`.
    hubs: Vec<&'t str>,
}

/// Reads and checks a configuration file.
///
/// Nothing but the file itself is touched: whether a plugin's component exists is not looked at.
pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
    let whole_file = |line, message| {
        ConfigError::new(
            path,
            vec![Problem {
                path: String::new(),
                line,
                message,
            }],
        )
    };
    let bytes =
        std::fs::read(path).map_err(|error| whole_file(0, format!("cannot be read: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = error
            .as_bytes()
            .iter()
            .take(error.utf8_error().valid_up_to());
        let line = good.filter(|byte| **byte == b'\n').count() + 1;
        whole_file(
            line,
            "found bytes that are not UTF-8, which TOML is written in".to_owned(),
        )
    })?;
    parse(&text, path)
}

/// Checks the text of a configuration file; `source` is what the file is called in messages, and where
/// relative paths start.
///
/// ```
/// use std::path::Path;
///
/// let loaded = sluicegate::config::parse(
///     r#"
///     [upstreams.users]
///     targets = [{ url = "http://127.0.0.1:9001" }]
///
///     [[routes]]
///     path = "/users/{id}"
///     upstream = "users"
///     "#,
///     Path::new("gateway.toml"),
/// )?;
/// assert_eq!(loaded.config.routes.len(), 1);
/// # Ok::<(), sluicegate::config::ConfigError>(())
/// ```
pub fn parse(text: &str, source: &Path) -> Result<Loaded, ConfigError> {
    let report = Report::new(text);
    let (tree, syntax_errors) = DeTable::parse_recoverable(text);
    for error in &syntax_errors {
        let line = error.span().map_or(0, |span| report.line(span.start));
        report.problem("", line, format!("not TOML: {}", error.message()));
    }
    // What a broken file means is not worth a guess.
    let config = syntax_errors
        .is_empty()
        .then(|| read(&report, tree.get_ref(), source));
    let (problems, warnings) = report.into_parts();
    match config {
        Some(config) if problems.is_empty() => Ok(Loaded { config, warnings }),
        _ => Err(ConfigError::new(source, problems)),
    }
}

/// Every section, into a configuration that is only worth something if nothing was reported.
fn read<'t>(report: &'t Report, tree: &'t DeTable<'t>, source: &Path) -> Config {
    let mut root = Section::root(report, tree);
    let absolute = std::path::absolute(source).unwrap_or_else(|_| source.to_path_buf());
    let scope = Scope {
        folder: absolute.parent().map(Path::to_path_buf).unwrap_or_default(),
        plugins: names(tree, "plugins"),
        upstreams: names(tree, "upstreams"),
        hubs: names(tree, "hubs"),
    };
    let routes = route::read(&mut root, &scope);
    let config = Config {
        source: source.to_path_buf(),
        server: server::read(&mut root, &scope),
        listeners: listener::read(&mut root, &scope),
        admin: admin::read(&mut root),
        access_log: access_log::read(&mut root, &scope),
        plugins: plugin::read(&mut root, &scope),
        upstreams: upstream::read(&mut root, &scope),
        hubs: hub::read(&mut root, &scope, &routes),
        routes,
    };
    via::check_hosts(&config, report);
    root.finish();
    config
}

/// The keys of a table of named things.
fn names<'t>(tree: &'t DeTable<'t>, key: &str) -> Vec<&'t str> {
    let table = tree.get(key).and_then(|value| value.get_ref().as_table());
    table
        .into_iter()
        .flat_map(DeTable::keys)
        .map(|name| name.get_ref().as_ref())
        .collect()
}
