//! What of permessage-deflate is agreed on (RFC 7692, section 7.1).

use std::fmt::Write as _;

use http::HeaderValue;

use super::deflate::Window;

const NAME: &str = "permessage-deflate";

/// What has been agreed on with a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreement {
    /// What the client keeps to inflate our messages.
    pub window: Window,
    /// Its own words for it, where it has asked for a smaller one.
    bits: Option<u8>,
}

impl Agreement {
    /// The value of `Sec-WebSocket-Extensions` in the answer. Neither side keeps a context; that may be answered to a client
    /// that has not offered it (section 7.1.1.2).
    pub fn answer(self) -> String {
        let mut answer = format!("{NAME}; server_no_context_takeover; client_no_context_takeover");
        if let Some(bits) = self.bits {
            // Writing to memory does not fail.
            let _ = write!(answer, "; server_max_window_bits={bits}");
        }
        answer
    }
}

/// The first offer that can be taken. Extensions are a courtesy: what can't be read is as if it were not there.
pub fn negotiate<'a>(values: impl IntoIterator<Item = &'a HeaderValue>) -> Option<Agreement> {
    values
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| split(value, ','))
        .find_map(offer)
}

fn offer(text: &str) -> Option<Agreement> {
    let mut parts = split(text, ';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case(NAME) {
        return None;
    }
    let mut seen: Vec<&str> = Vec::new();
    let mut bits = None;
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim(), Some(unquoted(value.trim()))),
            None => (part, None),
        };
        if seen.contains(&name) {
            return None;
        }
        seen.push(name);
        match (name, value) {
            (
                "server_no_context_takeover"
                | "client_no_context_takeover"
                | "client_max_window_bits",
                None,
            ) => {}
            ("client_max_window_bits", Some(value)) => {
                window_bits(value)?;
            }
            ("server_max_window_bits", Some(value)) => bits = Some(window_bits(value)?),
            _ => return None,
        }
    }
    let window = match bits {
        None | Some(15) => Window::Full,
        Some(_) => Window::Small,
    };
    Some(Agreement { window, bits })
}

/// Without leading zeros (section 7.1.2.1).
fn window_bits(text: &str) -> Option<u8> {
    let bits = text.parse().ok()?;
    ((8..=15).contains(&bits) && !text.starts_with(['0', '+'])).then_some(bits)
}

fn unquoted(value: &str) -> &str {
    value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .unwrap_or(value)
}

/// The parts between separators that are not in quotes.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    text.split(move |character| {
        is_quoted ^= character == '"';
        character == separator && !is_quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(offers: &[&'static str]) -> Option<String> {
        let values: Vec<HeaderValue> = offers
            .iter()
            .map(|offer| HeaderValue::from_static(offer))
            .collect();
        negotiate(&values).map(Agreement::answer)
    }

    #[test]
    fn offers_that_are_taken() {
        let plain = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        for offer in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; client_max_window_bits=\"10\"",
            "x-other, Permessage-Deflate ; server_no_context_takeover",
            "permessage-deflate; unknown, permessage-deflate",
            "x; a=\",permessage-deflate; no\", permessage-deflate",
        ] {
            assert_eq!(answer(&[offer]).as_deref(), Some(plain), "{offer}");
        }
        assert_eq!(answer(&["x", "permessage-deflate"]).as_deref(), Some(plain));
        let small = negotiate(&[HeaderValue::from_static(
            "permessage-deflate; server_max_window_bits=9",
        )])
        .unwrap();
        assert_eq!(small.window, Window::Small);
        assert_eq!(small.answer(), format!("{plain}; server_max_window_bits=9"));
    }

    #[test]
    fn offers_that_are_not() {
        for offer in [
            "",
            "x-webkit-deflate-frame",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=09",
            "permessage-deflate; client_max_window_bits=x",
            "permessage-deflate; client_no_context_takeover=1",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=9",
        ] {
            assert_eq!(answer(&[offer]), None, "{offer}");
        }
    }
}
