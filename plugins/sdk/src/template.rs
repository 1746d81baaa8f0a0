//! Text with variables: `"${client_ip} asked ${host}"`.
//!
//! A [`Template`] is parsed when the configuration is read, so that a misspelt variable is refused there, and costs
//! one call to the gateway per variable when it is rendered; text without variables costs none.
//!
//! | variable | is |
//! |---|---|
//! | `${client_ip}` | the client's address without port, as `trusted_proxies` lets the gateway believe it |
//! | `${client_subject}` | the subject of the client's certificate, as `CN=alice,O=Example`, or `(no subject)`; empty where it has shown none |
//! | `${host}` | host and port that the client asked for |
//! | `${scheme}` | `http` or `https`: how the client reached the gateway |
//! | `${method}` | the method |
//! | `${path}` | the path as on the wire, without the query |
//! | `${query}` | the query without its `?`; empty where there is none |
//! | `${route}` | the matched route's name |
//! | `${request_id}` | the exchange's identifier |
//! | `${param:NAME}` | a parameter of the route's path pattern, decoded; empty where there is none |
//! | `${header:NAME}` | the first value of a request header; empty where there is none |
//! | `${status}` | the response's status; only where there is a response |
//! | `$$` | one `$` |

use crate::plugin::{Request, Response};
use serde::{Deserialize, Deserializer, de::Error as _};
use std::borrow::Cow;
use std::str::FromStr;

/// What stands for something of the exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Variable {
    /// `${client_ip}`
    ClientIp,
    /// `${client_subject}`
    ClientSubject,
    /// `${host}`
    Host,
    /// `${scheme}`
    Scheme,
    /// `${method}`
    Method,
    /// `${path}`
    Path,
    /// `${query}`
    Query,
    /// `${route}`
    Route,
    /// `${request_id}`
    RequestId,
    /// `${param:NAME}`
    Param(String),
    /// `${header:NAME}`, the name in lower case.
    Header(String),
    /// `${status}`
    Status,
}

impl FromStr for Variable {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if let Some(("param", name)) = name.split_once(':')
            && !name.is_empty()
        {
            return Ok(Self::Param(name.to_owned()));
        }
        if let Some(("header", name)) = name.split_once(':')
            && !name.is_empty()
        {
            return Ok(Self::Header(name.to_ascii_lowercase()));
        }
        Ok(match name {
            "client_ip" => Self::ClientIp,
            "client_subject" => Self::ClientSubject,
            "host" => Self::Host,
            "scheme" => Self::Scheme,
            "method" => Self::Method,
            "path" => Self::Path,
            "query" => Self::Query,
            "route" => Self::Route,
            "request_id" => Self::RequestId,
            "status" => Self::Status,
            _ => {
                return Err(format!(
                    "no variable is called ${{{name}}}; there are client_ip, client_subject, host, scheme, method, path, query, route, \
                     request_id, status, param:NAME and header:NAME"
                ));
            }
        })
    }
}

/// Where the values of variables come from.
pub trait Source {
    /// The value, as the bytes that stand on the wire; empty where there is none.
    fn value(&self, variable: &Variable) -> Vec<u8>;
}

impl Source for Request {
    fn value(&self, variable: &Variable) -> Vec<u8> {
        match variable {
            Variable::ClientIp => self.client_address().into_bytes(),
            Variable::ClientSubject => self.client_subject().unwrap_or_default().into_bytes(),
            Variable::Host => self.authority().into_bytes(),
            Variable::Scheme => self.scheme().into_bytes(),
            Variable::Method => self.method().into_bytes(),
            Variable::Path => self.path().into_bytes(),
            Variable::Query => self.query().unwrap_or_default().into_bytes(),
            Variable::Route => self.route().into_bytes(),
            Variable::RequestId => self.request_id().into_bytes(),
            Variable::Param(name) => self.path_parameter(name).unwrap_or_default().into_bytes(),
            Variable::Header(name) => self.header(name).unwrap_or_default(),
            Variable::Status => Vec::new(),
        }
    }
}

/// A request and its response: the source of the response phase.
impl Source for (&Request, &Response) {
    fn value(&self, variable: &Variable) -> Vec<u8> {
        match variable {
            Variable::Status => self.1.status().to_string().into_bytes(),
            other => self.0.value(other),
        }
    }
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Stands for itself.
    Literal(String),
    /// Stands for something of the exchange.
    Variable(Variable),
}

/// Text with variables, parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    segments: Vec<Segment>,
}

impl Template {
    /// Its parts in order; two literals never stand side by side, and none is empty.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The text, if there is no variable in it.
    pub fn constant(&self) -> Option<&str> {
        match self.segments.as_slice() {
            [] => Some(""),
            [Segment::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// The literal parts, for what can be checked of them when the configuration is read.
    pub fn literals(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Literal(text) => Some(text.as_str()),
            Segment::Variable(_) => None,
        })
    }

    /// The variables in it.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Variable(variable) => Some(variable),
            Segment::Literal(_) => None,
        })
    }

    /// An error if the template needs a response: for those that are rendered before there is one.
    pub fn without_response(&self) -> Result<(), String> {
        if self
            .variables()
            .any(|variable| *variable == Variable::Status)
        {
            return Err("${status} is known on the response's side only".to_owned());
        }
        Ok(())
    }

    /// The text with every variable's value in its place, each as `escape` makes it.
    pub fn render_with(
        &self,
        source: &impl Source,
        escape: impl Fn(Vec<u8>) -> Vec<u8>,
    ) -> Cow<'_, [u8]> {
        match self.segments.as_slice() {
            [] => Cow::Borrowed(&[]),
            [Segment::Literal(text)] => Cow::Borrowed(text.as_bytes()),
            [Segment::Variable(variable)] => Cow::Owned(escape(source.value(variable))),
            segments => {
                let mut text = Vec::with_capacity(64);
                for segment in segments {
                    match segment {
                        Segment::Literal(literal) => text.extend_from_slice(literal.as_bytes()),
                        Segment::Variable(variable) => {
                            text.append(&mut escape(source.value(variable)));
                        }
                    }
                }
                Cow::Owned(text)
            }
        }
    }

    /// The text with every variable's value in its place as it is: whoever uses it must know that bytes of the
    /// client stand in it. [`render_header`](Self::render_header) is for header values.
    pub fn render(&self, source: &impl Source) -> Cow<'_, [u8]> {
        self.render_with(source, std::convert::identity)
    }

    /// As [`render`](Self::render), for a header's value: control characters of a variable (a decoded path
    /// parameter may have them) are percent-encoded, so that no client can make the edit fail or add a line.
    pub fn render_header(&self, source: &impl Source) -> Cow<'_, [u8]> {
        self.render_with(source, encode_controls)
    }
}

/// CR, LF, NUL and the other controls as `%0D`; a tab may stand in a header's value.
fn encode_controls(value: Vec<u8>) -> Vec<u8> {
    let is_control = |byte: u8| byte.is_ascii_control() && byte != b'\t';
    if !value.iter().copied().any(is_control) {
        return value;
    }
    let mut encoded = Vec::with_capacity(value.len() + 8);
    for byte in value {
        if is_control(byte) {
            encoded.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            encoded.push(byte);
        }
    }
    encoded
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut segments = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            literal.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                literal.push('$');
                rest = after;
            } else if let Some((name, after)) = after
                .strip_prefix('{')
                .and_then(|after| after.split_once('}'))
            {
                let variable = name.parse()?;
                if !literal.is_empty() {
                    segments.push(Segment::Literal(std::mem::take(&mut literal)));
                }
                segments.push(Segment::Variable(variable));
                rest = after;
            } else {
                return Err(format!(
                    "a \"$\" begins a variable such as ${{host}}; write \"$$\" for one \"$\" in {text:?}"
                ));
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            segments.push(Segment::Literal(literal));
        }
        Ok(Self { segments })
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake;
    impl Source for Fake {
        fn value(&self, variable: &Variable) -> Vec<u8> {
            match variable {
                Variable::Host => b"example.com".to_vec(),
                Variable::Param(name) if name == "id" => b"a\r\nb\tc\0".to_vec(),
                Variable::Header(name) if name == "x-user" => b"ann\xe9".to_vec(),
                _ => Vec::new(),
            }
        }
    }

    fn template(text: &str) -> Template {
        text.parse().unwrap()
    }

    #[test]
    fn variables_take_their_values() {
        let rendered = template("<${host}|${header:X-User}|${header:none}> $$5")
            .render(&Fake)
            .into_owned();
        assert_eq!(rendered, b"<example.com|ann\xe9|> $5");
    }

    #[test]
    fn constants_are_known_beforehand() {
        assert_eq!(template("").constant(), Some(""));
        assert_eq!(template("a $$ b").constant(), Some("a $ b"));
        assert_eq!(template("${host}").constant(), None);
    }

    #[test]
    fn controls_cannot_get_into_a_header() {
        assert_eq!(
            template("${param:id}").render_header(&Fake),
            b"a%0D%0Ab\tc%00".as_slice()
        );
    }

    #[test]
    fn what_is_no_variable_is_refused() {
        for text in [
            "$",
            "$host",
            "${host",
            "${nope}",
            "${param:}",
            "${header:}",
            "a$",
        ] {
            assert!(text.parse::<Template>().is_err(), "{text}");
        }
        assert!(template("${status}").without_response().is_err());
        assert!(template("${host}").without_response().is_ok());
    }
}
