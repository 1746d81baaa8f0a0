//! `[[listeners]]`

pub(super) mod model;

use std::net::{Ipv4Addr, SocketAddr};

use super::Scope;
use super::reader::{Node, Section};
use super::{server, tls};
use model::{Listener, Protocols, ProxyProtocol, Redirect};

pub(super) const ADDRESS: &str =
    r#"an address and a port, such as "127.0.0.1:8080" or "[::]:8080""#;

/// Without a listener in the file: this machine only, because what is open to the network is for the user to say.
const DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

pub(super) fn read(root: &mut Section<'_>, scope: &Scope<'_>) -> Vec<Listener> {
    let Some(node) = root.take("listeners") else {
        return vec![Listener::plain(DEFAULT)];
    };
    let Some(items) = node.items() else {
        return Vec::new();
    };
    if items.is_empty() {
        node.unexpected("at least one listener; without the key there is one on 127.0.0.1:8080");
    }
    let mut listeners: Vec<(Listener, usize)> = Vec::new();
    for item in &items {
        let Some((listener, place)) = listener(item, scope) else {
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

fn listener<'t>(item: &Node<'t>, scope: &Scope<'_>) -> Option<(Listener, Node<'t>)> {
    let mut section = item.section(r#"a table such as { address = "127.0.0.1:8080" }"#)?;
    let address = section.require("address", ADDRESS);
    let protocols = section.read("protocols", protocols);
    let tls_node = section.take("tls");
    let redirect_node = section.take("redirect");
    let proxy_protocol = section.read("proxy_protocol", proxy_protocol);
    section.finish();
    let tls = tls_node.as_ref().map(|node| tls::listener(node, scope));
    let redirect = redirect_node.as_ref().and_then(redirect);
    if let (Some(_), Some(node)) = (&tls, redirect_node) {
        node.problem("a listener with TLS has nowhere to redirect to");
    }
    let place = address?;
    let address = socket_address(&place)?;
    let listener = Listener {
        address,
        protocols: protocols.unwrap_or_default(),
        tls: match tls {
            None => None,
            Some(tls) => Some(tls?),
        },
        redirect,
        proxy_protocol,
    };
    Some((listener, place))
}

/// `"https"`, or `"https:8443"` where it is not on its usual port.
fn redirect(node: &Node<'_>) -> Option<Redirect> {
    const EXPECTED: &str = r#""https", or "https:8443" for another port than 443"#;
    let text = node.string_like(EXPECTED)?;
    let port = match text.strip_prefix("https") {
        Some("") => Some(443),
        // `parse` alone would take "+443".
        Some(port) => port
            .strip_prefix(':')
            .filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|port| port.parse().ok())
            .filter(|port| *port > 0),
        None => None,
    };
    if port.is_none() {
        node.unexpected(EXPECTED);
    }
    port.map(|port| Redirect { port })
}

/// `true`, or those who may send one.
fn proxy_protocol(node: &Node<'_>) -> Option<ProxyProtocol> {
    if node.value.as_array().is_some() {
        return server::networks(node).map(ProxyProtocol::From);
    }
    match node.value.as_bool() {
        Some(true) => Some(ProxyProtocol::FromAll),
        Some(false) => None,
        None => {
            node.unexpected(
                r#"true, false, or the addresses that connect, such as ["10.0.0.0/8"]"#,
            );
            None
        }
    }
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
                "[[listeners]]\naddress = \"[::1]:80\"\ntls = true",
                "3: listeners[0].tls: found true; expected a table such as { certificates = [{ cert = \"site.pem\", key = \"site.key\" }] }",
            ),
            (
                "[[listeners]]\naddress = \"[::1]:80\"\nredirect = \"https\"\ntls = { certificates = [{ cert = \"a\", key = \"b\" }] }",
                "3: listeners[0].redirect: a listener with TLS has nowhere to redirect to",
            ),
            (
                "[[listeners]]\naddress = \"[::1]:80\"\nredirect = \"https:+1\"",
                "3: listeners[0].redirect: found \"https:+1\"; expected \"https\", or \"https:8443\" for another port than 443",
            ),
            (
                "[[listeners]]\naddress = \"[::1]:80\"\nredirect = \"http\"",
                "3: listeners[0].redirect: found \"http\"; expected \"https\", or \"https:8443\" for another port than 443",
            ),
            (
                "[[listeners]]\naddress = \"[::1]:80\"\nproxy_protocol = \"v2\"",
                "3: listeners[0].proxy_protocol: found \"v2\"; expected true, false, or the addresses that connect, such as [\"10.0.0.0/8\"]",
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
    fn redirects_and_proxy_protocol() {
        let listener = |line: &str| {
            let text = format!("[[listeners]]\naddress = \"[::1]:80\"\n{line}");
            accepted(&text).listeners.remove(0)
        };
        for (text, port) in [("https", 443), ("https:443", 443), ("https:8443", 8443)] {
            let redirect = listener(&format!("redirect = \"{text}\"")).redirect;
            assert_eq!(redirect.map(|redirect| redirect.port), Some(port));
        }
        for (text, expected) in [
            ("true", Some(ProxyProtocol::FromAll)),
            ("false", None),
            (
                "[\"10.0.0.0/8\"]",
                Some(ProxyProtocol::From(vec!["10.0.0.0/8".parse().unwrap()])),
            ),
        ] {
            let listener = listener(&format!("proxy_protocol = {text}"));
            assert_eq!(listener.proxy_protocol, expected, "{text}");
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
