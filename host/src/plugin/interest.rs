//! Which bodies a body hook is for, as the plugin said it while it was configured: the contract's
//! `subscription.collect`. What is known of a plugin beforehand costs no calls.

use http::header::{CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

/// The interests of both body hooks; `None` where the plugin is to be asked.
#[derive(Debug, Default)]
pub struct Interests {
    /// Of `request-body`.
    pub request: Option<Interest>,
    /// Of `response-body`.
    pub response: Option<Interest>,
}

/// Which bodies a hook is for.
#[derive(Debug)]
pub struct Interest {
    types: Vec<Wanted>,
    limit: u64,
}

/// What is done with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// The plugin never sees it.
    Never,
    /// It is collected, up to so many bytes, and handed to `receive`.
    Whole(u64),
    /// `open` is asked.
    Ask,
}

#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Any,
    /// `text/*`, kept as `text/`.
    Family(String),
    Exactly(String),
    /// `+json`
    Suffix(String),
}

impl Interest {
    /// Reads a list of media types.
    ///
    /// # Errors
    /// Says which entry is none.
    pub fn new(types: &[String], limit: u64) -> Result<Self, String> {
        let types = types
            .iter()
            .map(|text| Wanted::parse(text).ok_or_else(|| format!("{text:?} is no media type")))
            .collect::<Result<_, _>>()?;
        Ok(Self { types, limit })
    }

    /// Decides about a body: its head, its length where that is known, and whether it is the body
    /// of a 206.
    pub fn decide(&self, headers: &HeaderMap, length: Option<u64>, is_partial: bool) -> Shown {
        let is_wanted = headers.get(CONTENT_TYPE).is_some_and(|value| {
            let essence = essence(value);
            self.types.iter().any(|wanted| wanted.matches(essence))
        });
        if !is_wanted {
            return Shown::Never;
        }
        match length {
            Some(length)
                if length <= self.limit
                    && !is_partial
                    && !headers.contains_key(CONTENT_ENCODING)
                    && !headers.contains_key(CONTENT_RANGE) =>
            {
                Shown::Whole(self.limit)
            }
            _ => Shown::Ask,
        }
    }
}

/// A media type without its parameters (RFC 9110, section 8.3.1).
fn essence(value: &HeaderValue) -> &[u8] {
    let bytes = value.as_bytes();
    let end = memchr::memchr(b';', bytes).unwrap_or(bytes.len());
    bytes.get(..end).unwrap_or(bytes).trim_ascii()
}

impl Wanted {
    fn parse(text: &str) -> Option<Self> {
        let is_token = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
        };
        if text == "*/*" {
            return Some(Self::Any);
        }
        if let Some(suffix) = text.strip_prefix('+') {
            return is_token(suffix).then(|| Self::Suffix(text.to_owned()));
        }
        let (family, subtype) = text.split_once('/')?;
        if !is_token(family) {
            None
        } else if subtype == "*" {
            Some(Self::Family(format!("{family}/")))
        } else {
            is_token(subtype).then(|| Self::Exactly(text.to_owned()))
        }
    }

    fn matches(&self, essence: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Family(family) => essence
                .get(..family.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(family.as_bytes())),
            Self::Exactly(exactly) => essence.eq_ignore_ascii_case(exactly.as_bytes()),
            Self::Suffix(suffix) => essence
                .len()
                .checked_sub(suffix.len())
                .and_then(|start| essence.get(start..))
                .is_some_and(|end| end.eq_ignore_ascii_case(suffix.as_bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    fn shown(types: &[&str], head: &[(&'static str, &str)], length: Option<u64>) -> Shown {
        let types: Vec<String> = types.iter().map(|text| (*text).to_owned()).collect();
        let headers = head
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect();
        Interest::new(&types, 100)
            .unwrap()
            .decide(&headers, length, false)
    }

    #[test]
    fn types_are_compared_without_case_and_parameters() {
        for (wanted, found) in [
            ("text/html", "Text/HTML ; charset=utf-8"),
            ("text/*", "TEXT/x-anything"),
            ("+json", "application/problem+JSON"),
            ("*/*", "image/png"),
            ("Text/Html", "text/html"),
        ] {
            let shown = shown(&[wanted], &[("content-type", found)], Some(1));
            assert_eq!(shown, Shown::Whole(100), "{wanted} {found}");
        }
        for (wanted, found) in [
            ("text/html", "text/htmlx"),
            ("text/*", "tex"),
            ("text/*", "textile/x"),
            ("+json", "son"),
            ("+json", "application/json"),
        ] {
            let shown = shown(&[wanted], &[("content-type", found)], Some(1));
            assert_eq!(shown, Shown::Never, "{wanted} {found}");
        }
        assert_eq!(shown(&["*/*"], &[], Some(1)), Shown::Never);
    }

    #[test]
    fn only_a_short_whole_plain_body_is_collected_without_asking() {
        let html = ("content-type", "text/html");
        assert_eq!(shown(&["text/*"], &[html], Some(100)), Shown::Whole(100));
        assert_eq!(shown(&["text/*"], &[html], Some(101)), Shown::Ask);
        assert_eq!(shown(&["text/*"], &[html], None), Shown::Ask);
        for other in [
            ("content-encoding", "gzip"),
            ("content-range", "bytes 0-1/9"),
        ] {
            assert_eq!(shown(&["text/*"], &[html, other], Some(1)), Shown::Ask);
        }
        let headers = [(CONTENT_TYPE, HeaderValue::from_static("text/html"))]
            .into_iter()
            .collect();
        let interest = Interest::new(&["text/*".to_owned()], 100).unwrap();
        assert_eq!(interest.decide(&headers, Some(1), true), Shown::Ask);
    }

    #[test]
    fn what_is_no_media_type_is_refused() {
        for text in [
            "",
            "html",
            "/",
            "text/",
            "/html",
            "text/html; a=b",
            "+",
            "*/html",
            "te xt/x",
        ] {
            assert!(Interest::new(&[text.to_owned()], 1).is_err(), "{text:?}");
        }
    }
}
