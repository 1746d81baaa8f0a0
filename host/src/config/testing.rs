//! What the tests of the sections share: a file is the piece under test and a route that makes it whole.

use std::path::Path;

use super::{Config, Loaded, Problem, parse};

/// Comes after the piece under test, so that the lines of that are the file's.
const FALLBACK: &str = r#"
[upstreams.fallback]
targets = [{ url = "http://127.0.0.1:9000" }]

[[routes]]
path = "/fallback"
upstream = "fallback"
"#;

/// The piece is accepted without a warning.
pub(super) fn accepted(piece: &str) -> Config {
    let (config, warnings) = warned(piece);
    assert_eq!(warnings, Vec::<String>::new(), "{piece}");
    config
}

/// The piece is accepted; its warnings as `line: path: message`.
pub(super) fn warned(piece: &str) -> (Config, Vec<String>) {
    match parse(&format!("{piece}\n{FALLBACK}"), Path::new("gateway.toml")) {
        Ok(Loaded { config, warnings }) => (config, warnings.iter().map(line).collect()),
        Err(error) => panic!("refused: {error}\n{piece}"),
    }
}

/// The piece is refused; its problems as `line: path: message`.
pub(super) fn refused(piece: &str) -> Vec<String> {
    match parse(&format!("{piece}\n{FALLBACK}"), Path::new("gateway.toml")) {
        Ok(_) => panic!("accepted: {piece}"),
        Err(error) => error.problems.iter().map(line).collect(),
    }
}

fn line(problem: &Problem) -> String {
    format!("{}: {}: {}", problem.line, problem.path, problem.message)
}
