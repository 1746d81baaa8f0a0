//! A path made of the route's parameters: `/v2/{id}/x/{*rest}`.

use crate::escape::{decoded, is_path_text, segments};
use crate::path::RewriteError;

/// A parsed pattern.
#[derive(Debug, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// `{id}`: one segment, or a piece of one.
    Segment(String),
    /// `{*rest}`: its slashes stay.
    Rest(String),
}

impl Pattern {
    /// Parses and checks a pattern.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') {
            return Err(format!("a path begins with \"/\", not so {text:?}"));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('{') {
            let (name, after) = after
                .split_once('}')
                .ok_or_else(|| format!("no \"}}\" after \"{{\" in {text:?}"))?;
            parts.push(Part::Literal(literal.to_owned()));
            let (bare, of) = match name.strip_prefix('*') {
                Some(bare) => (bare, Part::Rest as fn(String) -> Part),
                None => (name, Part::Segment as fn(String) -> Part),
            };
            if bare.is_empty()
                || !bare
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
            {
                return Err(format!(
                    "{{{name}}} is not a parameter; write one as {{id}} or {{*rest}}"
                ));
            }
            parts.push(of(bare.to_owned()));
            rest = after;
        }
        parts.push(Part::Literal(rest.to_owned()));
        parts.retain(|part| *part != Part::Literal(String::new()));
        for part in &parts {
            if let Part::Literal(literal) = part
                && !is_path_text(literal)
            {
                return Err(format!(
                    "{literal:?} has characters that cannot stand in a path; percent-encode them"
                ));
            }
        }
        Ok(Self { parts })
    }

    /// The path with the parameters in their places. `path` is the one that the route had matched: a parameter that
    /// is found in it keeps the escapes that it has there, another is encoded anew.
    pub fn fill(
        &self,
        path: &str,
        parameter: impl Fn(&str) -> Option<String>,
    ) -> Result<String, RewriteError> {
        let value =
            |name: &str| parameter(name).ok_or_else(|| RewriteError::NoParameter(name.to_owned()));
        let mut filled = String::with_capacity(path.len() + 32);
        for part in &self.parts {
            match part {
                Part::Literal(text) => filled.push_str(text),
                Part::Segment(name) => {
                    let value = value(name)?;
                    let raw = path
                        .split('/')
                        .find(|raw| *decoded(raw.as_bytes()) == *value.as_bytes());
                    filled.push_str(raw.unwrap_or(&crate::escape::component(value.as_bytes())));
                }
                Part::Rest(name) => {
                    let value = value(name)?;
                    let mut tails = path
                        .match_indices('/')
                        .filter_map(|(at, _)| path.get(at + 1..));
                    let raw = tails.find(|raw| *decoded(raw.as_bytes()) == *value.as_bytes());
                    filled.push_str(raw.unwrap_or(&segments(&value)));
                }
            }
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(pattern: &str, path: &str) -> Result<String, RewriteError> {
        Pattern::parse(pattern)
            .unwrap()
            .fill(path, |name| match name {
                "id" => Some("a/b c;ü".to_owned()),
                "rest" => Some("x/y z".to_owned()),
                "empty" => Some(String::new()),
                _ => None,
            })
    }

    #[test]
    fn parameters_are_encoded_for_their_place() {
        assert_eq!(
            fill("/v2/{id}/x/{*rest}", "/").unwrap(),
            "/v2/a%2Fb%20c%3B%C3%BC/x/x/y%20z"
        );
        assert_eq!(fill("/{rest}", "/").unwrap(), "/x%2Fy%20z");
        assert_eq!(fill("/a/{*empty}", "/").unwrap(), "/a/");
        assert_eq!(
            fill("/user-{id}.json", "/").unwrap(),
            "/user-a%2Fb%20c%3B%C3%BC.json"
        );
    }

    #[test]
    fn escapes_of_the_request_are_kept() {
        let path = "/users/%61%2fb%20c;%c3%bc/x%2Fy%20z";
        assert_eq!(
            fill("/v2/{id}/{*rest}", path).unwrap(),
            "/v2/%61%2fb%20c;%c3%bc/x%2Fy%20z"
        );
    }

    #[test]
    fn a_parameter_that_the_route_has_not_is_an_error() {
        assert_eq!(
            fill("/{none}", "/"),
            Err(RewriteError::NoParameter("none".to_owned()))
        );
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in [
            "", "v2", "/{", "/{}", "/{*}", "/{a b}", "/a b", "/x?y=1", "/%zz", "/a}",
        ] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }
}
