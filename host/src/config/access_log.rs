//! `[access_log]`

use super::Scope;
use super::model::{AccessLog, AccessLogFormat, AccessLogPath};
use super::reader::{Node, Section};

/// `None` without the section: nothing is logged per request that nobody asked for.
pub(super) fn read(root: &mut Section<'_>, scope: &Scope<'_>) -> Option<AccessLog> {
    let mut section = root.read("access_log", |node| node.section("a table"))?;
    let log = AccessLog {
        format: section
            .read("format", |node| {
                node.choice(&[
                    ("json", AccessLogFormat::Json),
                    ("text", AccessLogFormat::Text),
                ])
            })
            .unwrap_or(AccessLogFormat::Json),
        path: section
            .read("path", |node| path(node, scope))
            .unwrap_or(AccessLogPath::Stdout),
    };
    section.finish();
    Some(log)
}

fn path(node: &Node<'_>, scope: &Scope<'_>) -> Option<AccessLogPath> {
    const EXPECTED: &str = r#"a file's path, or "-" for standard output"#;
    match node.string_like(EXPECTED)? {
        "" => {
            node.unexpected(EXPECTED);
            None
        }
        "-" => Some(AccessLogPath::Stdout),
        path => Some(AccessLogPath::File(scope.folder.join(path))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{accepted, refused};
    use super::*;

    #[test]
    fn absent_means_none_and_empty_means_json_on_standard_output() {
        assert!(accepted("").access_log.is_none());
        let log = accepted("[access_log]").access_log.unwrap();
        assert_eq!(
            (log.format, log.path),
            (AccessLogFormat::Json, AccessLogPath::Stdout)
        );
    }

    #[test]
    fn a_relative_path_starts_at_the_files_folder() {
        let log = accepted("access_log = { format = \"text\", path = \"logs/access.log\" }")
            .access_log
            .unwrap();
        let expected = std::env::current_dir().unwrap().join("logs/access.log");
        assert_eq!(
            (log.format, log.path),
            (AccessLogFormat::Text, AccessLogPath::File(expected))
        );
    }

    #[test]
    fn what_is_refused() {
        for (text, expected) in [
            (
                "access_log = true",
                "1: access_log: found true; expected a table",
            ),
            (
                "access_log.format = \"xml\"",
                "1: access_log.format: found \"xml\"; allowed: \"json\", \"text\"",
            ),
            (
                "access_log.path = \"\"",
                "1: access_log.path: found \"\"; expected a file's path, or \"-\" for standard output",
            ),
            (
                "access_log.paths = \"-\"",
                "1: access_log.paths: unknown key; did you mean \"path\"?",
            ),
        ] {
            assert_eq!(refused(text), [expected], "{text}");
        }
    }
}
