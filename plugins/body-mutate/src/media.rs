//! Media types (RFC 9110 section 8.3.1): which bodies a rule is for, and how text is made safe in them.

/// Which bodies: the `types` of the configuration.
#[derive(Debug)]
pub struct Types(Vec<Wanted>);

#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Any,
    /// `text/*`, kept as `text/`.
    Family(String),
    Exactly(String),
    /// `+json`
    Suffix(String),
}

/// How text is written into a body of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `application/json` and `+json`.
    Json,
    /// HTML and XML.
    Markup,
    /// An event stream: it ends when somebody goes.
    Events,
    /// Anything else.
    Plain,
}

impl Types {
    /// Checks the list; the error names the entry that is wrong.
    pub fn parse(types: &[String]) -> Result<Self, String> {
        if types.is_empty() {
            return Err("types: at least one; leave the key out for text and JSON".to_owned());
        }
        let parsed = types.iter().enumerate().map(|(at, text)| {
            wanted(&text.to_ascii_lowercase()).ok_or_else(|| {
                format!("types[{at}]: {text:?} is no media type; write \"text/html\", \"text/*\", \"*/*\" or \"+json\"")
            })
        });
        Ok(Self(parsed.collect::<Result<_, _>>()?))
    }

    /// What kind of body a `content-type` announces, if it is one of these. It is taken by value, as the gateway gave
    /// it, to be made lower case where it stands: every message with a body comes by here.
    pub fn kind(&self, mut content_type: Vec<u8>) -> Option<Kind> {
        if let Some(parameters) = content_type.iter().position(|byte| *byte == b';') {
            content_type.truncate(parameters);
        }
        // It nearly always is lower case already, and looking is less work than writing.
        if content_type.iter().any(u8::is_ascii_uppercase) {
            content_type.make_ascii_lowercase();
        }
        let essence = content_type.trim_ascii();
        let is_wanted = |wanted: &Wanted| match wanted {
            Wanted::Any => true,
            Wanted::Family(family) => essence.starts_with(family.as_bytes()),
            Wanted::Exactly(exactly) => essence == exactly.as_bytes(),
            Wanted::Suffix(suffix) => essence.ends_with(suffix.as_bytes()),
        };
        if !self.0.iter().any(is_wanted) {
            return None;
        }
        Some(match essence {
            b"text/event-stream" => Kind::Events,
            b"text/html" | b"text/xml" | b"application/xml" => Kind::Markup,
            b"application/json" | b"text/json" => Kind::Json,
            other if other.ends_with(b"+json") => Kind::Json,
            other if other.ends_with(b"+xml") => Kind::Markup,
            _ => Kind::Plain,
        })
    }
}

fn wanted(text: &str) -> Option<Wanted> {
    let is_token = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    if text == "*/*" {
        return Some(Wanted::Any);
    }
    if let Some(suffix) = text.strip_prefix('+') {
        return is_token(suffix).then(|| Wanted::Suffix(text.to_owned()));
    }
    let (family, subtype) = text.split_once('/')?;
    if !is_token(family) {
        return None;
    }
    if subtype == "*" {
        return Some(Wanted::Family(format!("{family}/")));
    }
    is_token(subtype).then(|| Wanted::Exactly(text.to_owned()))
}

impl Kind {
    /// A variable's value as it may stand in text of this kind: a client's header in an HTML page is text, not markup.
    pub fn escape(self, value: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Plain => value,
            // A line break would begin another field of the event.
            Self::Events => value
                .into_iter()
                .map(|byte| {
                    if byte == b'\r' || byte == b'\n' {
                        b' '
                    } else {
                        byte
                    }
                })
                .collect(),
            Self::Json => {
                let quoted =
                    serde_json::to_string(&String::from_utf8_lossy(&value)).unwrap_or_default();
                let inside = quoted
                    .get(1..quoted.len().saturating_sub(1))
                    .unwrap_or_default();
                inside.as_bytes().to_vec()
            }
            Self::Markup => {
                let mut escaped = Vec::with_capacity(value.len());
                for byte in value {
                    match byte {
                        b'&' => escaped.extend_from_slice(b"&amp;"),
                        b'<' => escaped.extend_from_slice(b"&lt;"),
                        b'>' => escaped.extend_from_slice(b"&gt;"),
                        b'"' => escaped.extend_from_slice(b"&quot;"),
                        b'\'' => escaped.extend_from_slice(b"&#39;"),
                        byte => escaped.push(byte),
                    }
                }
                escaped
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(types: &[&str], content_type: &str) -> Option<Kind> {
        let types: Vec<String> = types.iter().map(|text| (*text).to_owned()).collect();
        Types::parse(&types).unwrap().kind(content_type.into())
    }

    #[test]
    fn bodies_are_chosen_by_their_type() {
        assert_eq!(
            kind(&["text/*"], "Text/HTML; charset=utf-8"),
            Some(Kind::Markup)
        );
        assert_eq!(kind(&["text/*"], "text/event-stream"), Some(Kind::Events));
        assert_eq!(kind(&["text/*"], "texture/x"), None);
        assert_eq!(
            kind(&["+json"], "application/problem+json"),
            Some(Kind::Json)
        );
        assert_eq!(kind(&["+json"], "application/json"), None);
        assert_eq!(
            kind(&["APPLICATION/json"], "application/json;charset=utf-8"),
            Some(Kind::Json)
        );
        assert_eq!(kind(&["*/*"], "image/svg+xml"), Some(Kind::Markup));
        assert_eq!(kind(&["text/css"], "text/css"), Some(Kind::Plain));
        assert_eq!(kind(&["text/html"], ""), None);
    }

    #[test]
    fn what_is_no_type_is_refused() {
        for text in [
            "",
            "html",
            "text/",
            "/html",
            "*/html",
            "text/h*",
            "+",
            "text/html; charset=utf-8",
        ] {
            let error = Types::parse(&["text/html".to_owned(), text.to_owned()]).unwrap_err();
            assert!(error.starts_with("types[1]: "), "{error}");
        }
        assert!(Types::parse(&[]).is_err());
    }

    #[test]
    fn values_are_text_where_they_stand() {
        assert_eq!(
            Kind::Markup.escape(b"<a href='x'>&\"".to_vec()),
            b"&lt;a href=&#39;x&#39;&gt;&amp;&quot;"
        );
        assert_eq!(
            Kind::Json.escape(b"a\"\n\xff".to_vec()),
            "a\\\"\\n\u{fffd}".as_bytes()
        );
        assert_eq!(Kind::Events.escape(b"a\r\nb".to_vec()), b"a  b");
        assert_eq!(Kind::Plain.escape(b"<\n".to_vec()), b"<\n");
    }
}
