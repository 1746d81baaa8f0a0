//! `[admin]`

use super::listener::{ADDRESS, socket_address};
use super::model::{Admin, Secret};
use super::reader::{Node, Section};

pub(super) fn read(root: &mut Section<'_>) -> Option<Admin> {
    let node = root.take("admin")?;
    let mut section = node.section("a table")?;
    let place = section.require("address", ADDRESS);
    let address = place.as_ref().and_then(socket_address);
    let token_node = section.take("token");
    let token = token_node.as_ref().and_then(secret);
    section.finish();
    let (place, address) = (place?, address?);
    if token_node.is_none() && !address.ip().is_loopback() {
        place.problem(format!(
            "{address} can be reached from other machines: give a `token`, or listen on a loopback address"
        ));
    }
    Some(Admin { address, token })
}

/// A secret, or the variable that it is in. What it says never gets into a message.
fn secret(node: &Node<'_>) -> Option<Secret> {
    let is_letter = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    let text = node.as_str().filter(|text| !text.is_empty());
    let secret = match text.map(|text| (text, text.strip_prefix("env:"))) {
        Some((_, Some(name)))
            if name.bytes().next().is_some_and(is_letter)
                && name.bytes().all(|b| is_letter(b) || b.is_ascii_digit()) =>
        {
            let value = std::env::var(name).ok().filter(|value| !value.is_empty());
            if value.is_none() {
                node.problem(format!(
                    "the environment variable {name} is not set, or empty"
                ));
                return None;
            }
            value
        }
        Some((text, None)) => Some(text.to_owned()),
        _ => None,
    };
    if secret.is_none() {
        node.problem("expected a secret: a text that is not empty, or \"env:NAME\" with the name of an environment variable");
    }
    secret.map(Secret::new)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{accepted, refused};

    #[test]
    fn without_a_token_it_is_for_this_machine_only() {
        let admin = accepted("admin = { address = \"127.0.0.1:9900\" }")
            .admin
            .unwrap();
        assert!(admin.token.is_none());
        let admin = accepted("admin = { address = \"0.0.0.0:9900\", token = \"hunter2\" }")
            .admin
            .unwrap();
        assert!(admin.token.as_ref().unwrap().is("hunter2"));
        assert!(!format!("{admin:?}").contains("hunter2"));
        assert_eq!(
            refused("admin = { address = \"0.0.0.0:9900\" }"),
            [
                "1: admin.address: 0.0.0.0:9900 can be reached from other machines: give a `token`, or listen on a loopback address"
            ]
        );
        assert!(accepted("").admin.is_none());
    }

    #[test]
    fn a_token_can_come_from_the_environment() {
        // Cargo sets this one.
        let admin = accepted("admin = { address = \"[::]:1\", token = \"env:CARGO_PKG_NAME\" }")
            .admin
            .unwrap();
        assert!(admin.token.unwrap().is("sluicegate"));
        assert_eq!(
            refused("admin = { address = \"[::1]:1\", token = \"env:SLUICEGATE_IS_NOT_SET\" }"),
            ["1: admin.token: the environment variable SLUICEGATE_IS_NOT_SET is not set, or empty"]
        );
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
