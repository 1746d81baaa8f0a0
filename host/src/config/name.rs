//! Names that users give to plugins and upstreams.

use super::reader::{Node, quoted};

/// They end up in logs, metrics and the `proxy-status` header, none of which should need to escape them.
pub(super) fn check(node: &Node<'_>, name: &str) {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if !(1..=64).contains(&name.len()) || !name.bytes().all(is_plain) {
        node.problem(format!(
            r#"found the name {}; expected 1 to 64 letters, digits, "-", "_" or ".""#,
            quoted(name)
        ));
    }
}
