//! Field names that a rule may touch.

/// What the gateway keeps for itself: hop-by-hop fields and framing (RFC 9110 section 7.6.1, RFC 9112 section 6).
const OF_THE_GATEWAY: [&str; 8] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The name in lower case, if it is one (a token by RFC 9110 section 5.6.2) and not the gateway's own.
pub(crate) fn checked(name: &str) -> Result<String, String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("{name:?} is not a header name"));
    }
    let name = name.to_ascii_lowercase();
    if OF_THE_GATEWAY.contains(&name.as_str()) {
        return Err(format!(
            "{name} belongs to the gateway, which frames the message and keeps the connection"
        ));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_tokens_in_lower_case() {
        assert_eq!(checked("X-User").unwrap(), "x-user");
        for name in [
            "",
            "x user",
            "x:y",
            "ü",
            "x\r\ny",
            "Content-Length",
            "transfer-encoding",
        ] {
            assert!(checked(name).is_err(), "{name:?}");
        }
    }
}
