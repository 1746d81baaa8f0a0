//! The grammar of host names and addresses, as targets and routes write them.

use std::net::{Ipv4Addr, Ipv6Addr};

/// What a host has to look like, for messages.
pub(super) const EXPECTED: &str =
    "a host name (letters, digits, \"-\", \"_\" and dots) or an address, IPv6 in brackets";

/// A DNS name or an address. Underscores are no host names by RFC 1123, but container networks
/// use them; other scripts have to be in their ASCII form ("xn--...", RFC 5890), which is what
/// clients send.
pub(super) fn is_host(text: &str) -> bool {
    if let Some(address) = text.strip_prefix('[') {
        return address
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    // What ends in a number is read as an IPv4 address by resolvers, so it has to be one (WHATWG URL, 3.5).
    let ends_in_number = text
        .rsplit('.')
        .next()
        .is_some_and(|label| !label.is_empty() && label.bytes().all(|b| b.is_ascii_digit()));
    if ends_in_number {
        return text.parse::<Ipv4Addr>().is_ok();
    }
    text.len() <= 253 && text.split('.').all(is_label)
}

/// RFC 1035, 2.3.4: at most 63 octets.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for host in [
            "localhost",
            "api.example.com",
            "my_service",
            "xn--bcher-kva.example",
            "127.0.0.1",
            "[::1]",
            "a1",
            "1a.b",
        ] {
            assert!(is_host(host), "{host}");
        }
        let long = format!("{}.example", "a".repeat(64));
        for host in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "-a",
            "a-",
            "a b",
            "bücher.example",
            "127.0.0.1111",
            "1.2.3",
            "::1",
            "[::1",
            "[a]",
            "a:80",
            "*",
            "a/b",
            "a%20b",
            long.as_str(),
        ] {
            assert!(!is_host(host), "{host}");
        }
    }
}
