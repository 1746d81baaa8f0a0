//! Where a client has put its token. Browsers can't set header fields of a handshake: they use the query or the list of
//! subprotocols.

/// A place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// `Authorization: Bearer TOKEN`
    Bearer,
    /// A pair of the query.
    Query(String),
    /// An offered subprotocol that begins so.
    Subprotocol(String),
}

/// What of a handshake may carry a token.
#[derive(Debug, Default)]
pub struct Handshake {
    /// `Authorization`
    pub authorization: Option<String>,
    /// The query.
    pub query: Option<String>,
    /// The values of `Sec-WebSocket-Protocol`.
    pub subprotocols: Vec<String>,
}

/// A token, and the subprotocol that is spoken, where that matters because the token came as another one.
#[derive(Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// The token.
    pub token: &'a str,
    /// The first offered subprotocol that is no token.
    pub subprotocol: Option<&'a str>,
}

impl std::str::FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || {
            format!(
                "{text:?} is no place for a token; there are \"bearer\", \"query:NAME\" and \"subprotocol:PREFIX\""
            )
        };
        let name = |name: &str| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            (!name.is_empty() && name.bytes().all(is_plain))
                .then(|| name.to_owned())
                .ok_or_else(unknown)
        };
        match text.split_once(':') {
            None if text == "bearer" => Ok(Self::Bearer),
            Some(("query", rest)) => Ok(Self::Query(name(rest)?)),
            Some(("subprotocol", rest)) => Ok(Self::Subprotocol(name(rest)?)),
            _ => Err(unknown()),
        }
    }
}

impl Place {
    /// The token that is there.
    pub fn find<'a>(&self, handshake: &'a Handshake) -> Option<Found<'a>> {
        let only = |token| Found {
            token,
            subprotocol: None,
        };
        match self {
            Self::Bearer => {
                let (scheme, token) = handshake.authorization.as_deref()?.split_once(' ')?;
                let token = scheme
                    .eq_ignore_ascii_case("bearer")
                    .then(|| token.trim())?;
                Some(only(token))
            }
            Self::Query(name) => {
                let mut pairs = handshake.query.as_deref()?.split('&');
                pairs
                    .find_map(|pair| pair.split_once('=').filter(|(key, _)| key == name))
                    .map(|(_, token)| only(token))
            }
            Self::Subprotocol(prefix) => {
                let mut offered = offered(handshake);
                let token = offered.find_map(|one| one.strip_prefix(prefix.as_str()))?;
                let subprotocol = self::offered(handshake)
                    .find(|one| !one.starts_with(prefix.as_str()) && !one.is_empty());
                Some(Found { token, subprotocol })
            }
        }
    }
}

fn offered(handshake: &Handshake) -> impl Iterator<Item = &str> {
    let lists = handshake.subprotocols.iter();
    lists.flat_map(|list| list.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_where_it_is_looked_for() {
        let handshake = Handshake {
            authorization: Some("bEARER  abc ".to_owned()),
            query: Some("a=1&token=def&token=x".to_owned()),
            subprotocols: vec!["bearer.ghi, chat.v1".to_owned(), "chat.v2".to_owned()],
        };
        for (place, token, subprotocol) in [
            ("bearer", "abc", None),
            ("query:token", "def", None),
            ("subprotocol:bearer.", "ghi", Some("chat.v1")),
            ("subprotocol:chat.", "v1", Some("bearer.ghi")),
        ] {
            let place: Place = place.parse().unwrap();
            assert_eq!(place.find(&handshake), Some(Found { token, subprotocol }));
        }
        for place in ["query:tok", "query:a1", "subprotocol:x."] {
            let place: Place = place.parse().unwrap();
            assert_eq!(place.find(&handshake), None, "{place:?}");
        }
        let basic = Handshake {
            authorization: Some("Basic abc".to_owned()),
            ..Handshake::default()
        };
        assert_eq!(Place::Bearer.find(&basic), None);
        assert_eq!(Place::Bearer.find(&Handshake::default()), None);
    }

    #[test]
    fn what_is_no_place() {
        for text in [
            "",
            "header",
            "query",
            "query:",
            "query:a b",
            "cookie:a",
            "subprotocol:a,b",
        ] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
