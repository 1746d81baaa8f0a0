//! What is wrong with a configuration file, and where.

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};

use super::model::Config;

/// A file that was accepted.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What the file says.
    pub config: Config,
    /// What the user should know about it all the same, in the file's order.
    pub warnings: Vec<Problem>,
}

/// One thing that is wrong, or odd, at one place of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key's path, such as `routes[2].upstream`; empty where the file as a whole is meant.
    pub path: String,
    /// The line, from 1; 0 where there is none, as for a file that cannot be read.
    pub line: usize,
    /// What was found and what is allowed.
    pub message: String,
}

impl Problem {
    /// The problem as one line that names the file: `gateway.toml:42: routes[2].upstream: ...`.
    pub fn in_file<'a>(&'a self, source: &'a Path) -> impl Display + 'a {
        InFile {
            source,
            problem: self,
        }
    }
}

struct InFile<'a> {
    source: &'a Path,
    problem: &'a Problem,
}

impl Display for InFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem {
            path,
            line,
            message,
        } = self.problem;
        write!(f, "{}", self.source.display())?;
        if *line > 0 {
            write!(f, ":{line}")?;
        }
        if !path.is_empty() {
            write!(f, ": {path}")?;
        }
        write!(f, ": {message}")
    }
}

/// A file that was refused, with everything that is wrong with it; displays one problem a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.lines())]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// At least one, in the file's order.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    pub(super) fn new(source: &Path, problems: Vec<Problem>) -> Self {
        Self {
            file: source.to_path_buf(),
            problems,
        }
    }

    fn lines(&self) -> String {
        let lines: Vec<String> = self
            .problems
            .iter()
            .map(|problem| problem.in_file(&self.file).to_string())
            .collect();
        lines.join("\n")
    }
}
