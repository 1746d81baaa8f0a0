//! `[[listeners]]`

use std::net::{Ipv4Addr, SocketAddr};

use super::model::{Listener, Protocols};
use super::reader::{Node, Section};

pub(super) const ADDRESS: &str =
    r#"an address and a port, such as "127.0.0.1:8080" or "[::]:8080""#;

/// Without a listener in the file: this machine only, because what is open to the network is for the user to say.
const DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

pub(super) fn read(root: &mut Section<'_>) -> Vec<Listener> {
    let Some(node) = root.take("listeners") else {
        return vec![Listener {
            address: DEFAULT,
            protocols: Protocols::default(),
        }];
    };
    let Some(items) = node.items() else {
        return Vec::new();
    };
    if items.is_empty() {
        node.unexpected("at least one listener; without the key there is one on 127.0.0.1:8080");
    }
    let mut listeners: Vec<(Listener, usize)> = Vec::new();
    for item in &items {
        let Some((listener, place)) = listener(item) else {
            continue;
        };
        let same = |(other, _): &&(Listener, usize)| {
            other.address == listener.address && listener.address.port() != 0
        };
        if let Some((_, line)) = listeners.iter().find(same) {
            place.problem(format!(
                "{} is taken by the listener of line {line}",
                listener.address
            ));
        }
        listeners.push((listener, place.line));
    }
    listeners
        .into_iter()
        .map(|(listener, _)| listener)
        .collect()
}

fn listener<'t>(item: &Node<'t>) -> Option<(Listener, Node<'t>)> {
    let mut section = item.section(r#"a table such as { address = "127.0.0.1:8080" }"#)?;
    let address = section.require("address", ADDRESS);
    let protocols = section.read("protocols", protocols).unwrap_or_default();
    if let Some(tls) = section.take("tls") {
        tls.problem("TLS is not part of this version; end it in front of the gateway, and list that peer in server.trusted_proxies");
    }
    section.finish();
    let place = address?;
    let address = socket_address(&place)?;
    Some((Listener { address, protocols }, place))
}

pub(super) fn socket_address(node: &Node<'_>) -> Option<SocketAddr> {
    let address = node.string_like(ADDRESS)?.parse().ok();
    if address.is_none() {
        node.unexpected(ADDRESS);
    }
    address
}

fn protocols(node: &Node<'_>) -> Option<Protocols> {
    const KNOWN: [(&str, &str); 2] = [("h2", "h2"), ("http/1.1", "http/1.1")];
    let items = node.items()?;
    let named: Vec<&str> = items
        .iter()
        .filter_map(|item| item.choice(&KNOWN))
        .collect();
    if items.is_empty() {
        node.unexpected(r#"at least one of "h2", "http/1.1""#);
    }
    Some(Protocols {
        http1: named.contains(&"http/1.1"),
        http2: named.contains(&"h2"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{accepted, refused};
    use super::*;

    #[test]
    fn listeners_in_the_files_order() {
        let config = accepted(
            "[[listeners]]\naddress = \"[::]:80\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\nprotocols = [\"http/1.1\"]\n[[listeners]]\naddress = \"127.0.0.1:0\"",
        );
        let addresses: Vec<String> = config
            .listeners
            .iter()
            .map(|listener| listener.address.to_string())
            .collect();
        assert_eq!(addresses, ["[::]:80", "127.0.0.1:0", "127.0.0.1:0"]);
    }

    #[test]
    fn without_one_there_is_one_on_this_machine() {
        let config = accepted("");
        let addresses: Vec<String> = config
            .listeners
            .iter()
            .map(|listener| listener.address.to_string())
            .collect();
        assert_eq!(addresses, ["127.0.0.1:8080"]);
    }

    #[test]
    fn what_is_refused() {
        for (text, expected) in [
            (
                "listeners = []",
                "1: listeners: found an empty array; expected at least one listener; without the key there is one on 127.0.0.1:8080",
            ),
            (
                "listeners = \":80\"",
                "1: listeners: found \":80\"; expected an array",
            ),
            (
                "listeners = [\":80\"]",
                "1: listeners[0]: found \":80\"; expected a table such as { address = \"127.0.0.1:8080\" }",
            ),
            (
                "[[listeners]]",
                "1: listeners[0].address: missing; expected an address and a port, such as \"127.0.0.1:8080\" or \"[::]:8080\"",
            ),
            (
                "[[listeners]]\naddress = \"localhost:80\"",
                "2: listeners[0].address: found \"localhost:80\"; expected an address and a port, such as \"127.0.0.1:8080\" or \"[::]:8080\"",
            ),
            (
                "[[listeners]]\naddress = \"[::1]:80\"\n[[listeners]]\naddress = \"[0::1]:80\"",
                "4: listeners[1].address: [::1]:80 is taken by the listener of line 2",
            ),
            (
                "[[listeners]]\naddress = \"[::1]:80\"\ntls = {}",
                "3: listeners[0].tls: TLS is not part of this version; end it in front of the gateway, and list that peer in server.trusted_proxies",
            ),
            (
                "[[listeners]]\naddress = \"[::1]:80\"\nprotocols = [\"h3\"]",
                "3: listeners[0].protocols[0]: found \"h3\"; allowed: \"h2\", \"http/1.1\"",
            ),
            (
                "[[listeners]]\naddress = \"[::1]:80\"\nprotocols = []",
                "3: listeners[0].protocols: found an empty array; expected at least one of \"h2\", \"http/1.1\"",
            ),
            (
                "[[listeners]]\naddress = \"[::1]:80\"\nadress = 1",
                "3: listeners[0].adress: unknown key; did you mean \"address\"?",
            ),
        ] {
            assert_eq!(refused(text), [expected], "{text}");
        }
    }

    #[test]
    fn what_is_spoken() {
        for (text, http1, http2) in [
            ("", true, true),
            ("protocols = [\"h2\", \"http/1.1\"]", true, true),
            ("protocols = [\"h2\"]", false, true),
            ("protocols = [\"http/1.1\"]", true, false),
        ] {
            let config = accepted(&format!("[[listeners]]\naddress = \"[::1]:80\"\n{text}"));
            let found = config.listeners[0].protocols;
            assert_eq!(found, Protocols { http1, http2 }, "{text}");
        }
    }
}
