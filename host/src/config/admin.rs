//! `[admin]`, which is checked and has no effect yet.

use super::listener::{ADDRESS, socket_address};
use super::reader::{Node, Section};

pub(super) fn read(root: &mut Section<'_>) {
    let Some(node) = root.take("admin") else {
        return;
    };
    let Some(mut section) = node.section("a table") else {
        return;
    };
    if let Some(address) = section.require("address", ADDRESS) {
        socket_address(&address);
    }
    section.read("token", secret);
    section.finish();
    node.warning(
        "accepted, but the admin listener is not part of this version: nothing listens there",
    );
}

/// The form of a secret. What it says never gets into a message.
fn secret(node: &Node<'_>) -> Option<()> {
    let is_letter = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    let well_formed = node
        .as_str()
        .is_some_and(|text| match text.strip_prefix("env:") {
            Some(name) => {
                name.bytes().next().is_some_and(is_letter)
                    && name.bytes().all(|b| is_letter(b) || b.is_ascii_digit())
            }
            None => !text.is_empty(),
        });
    if !well_formed {
        node.problem("expected a secret: a text that is not empty, or \"env:NAME\" with the name of an environment variable");
    }
    well_formed.then_some(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{refused, warned};

    #[test]
    fn it_is_accepted_with_a_warning() {
        for token in [
            "",
            "token = \"env:SLUICEGATE_ADMIN_TOKEN\"",
            "token = \"hunter2\"",
        ] {
            let (_, warnings) =
                warned(&format!("\n[admin]\naddress = \"127.0.0.1:9900\"\n{token}"));
            assert_eq!(
                warnings,
                [
                    "2: admin: accepted, but the admin listener is not part of this version: nothing listens there"
                ]
            );
        }
    }

    #[test]
    fn its_form_is_checked_and_secrets_are_not_repeated() {
        const TOKEN: &str = "1: admin.token: expected a secret: a text that is not empty, or \"env:NAME\" with the name of an environment variable";
        for (text, expected) in [
            (
                "admin = {}",
                "1: admin.address: missing; expected an address and a port, such as \"127.0.0.1:8080\" or \"[::]:8080\"",
            ),
            (
                "admin = { address = \"[::1]:1\", token = \"env:my secret\" }",
                TOKEN,
            ),
            ("admin = { address = \"[::1]:1\", token = \"env:\" }", TOKEN),
            ("admin = { address = \"[::1]:1\", token = \"\" }", TOKEN),
            ("admin = { address = \"[::1]:1\", token = 12345 }", TOKEN),
            (
                "admin = { address = \"[::1]:1\", port = 1 }",
                "1: admin.port: unknown key; allowed here: address, token",
            ),
        ] {
            assert_eq!(refused(text), [expected], "{text}");
        }
    }
}
