//! What becomes of the query. Pairs that no rule names stay byte for byte.

use crate::config::Query;
use crate::escape::{component, decoded_name};
use sluicegate_plugin::template::{Source, Template};

/// The query's rules: removals first, then what is set.
#[derive(Debug, Default)]
pub struct QueryRules {
    remove: Vec<Removal>,
    set: Vec<(Vec<u8>, Template)>,
}

#[derive(Debug)]
enum Removal {
    Name(Vec<u8>),
    Prefix(Vec<u8>),
}

impl Removal {
    fn covers(&self, name: &[u8]) -> bool {
        match self {
            Self::Name(removed) => removed == name,
            Self::Prefix(prefix) => name.starts_with(prefix),
        }
    }
}

impl QueryRules {
    /// Checks; the error begins with the key that is wrong.
    pub fn new(config: Query) -> Result<Self, String> {
        let mut remove = Vec::new();
        for (at, name) in config.remove.iter().enumerate() {
            if name.is_empty() {
                return Err(format!("query.remove[{at}]: a name is needed"));
            }
            remove.push(match name.strip_suffix('*') {
                Some(prefix) => Removal::Prefix(prefix.as_bytes().to_vec()),
                None => Removal::Name(name.as_bytes().to_vec()),
            });
        }
        let mut set = Vec::new();
        for (name, value) in config.set {
            if name.is_empty() {
                return Err("query.set: a name is needed".to_owned());
            }
            value
                .without_response()
                .map_err(|error| format!("query.set.{name}: {error}"))?;
            set.push((name.into_bytes(), value));
        }
        Ok(Self { remove, set })
    }

    /// Whether there is no rule at all.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty()
    }

    /// The rewritten query; `None` where no rule changes it, `Some(None)` where nothing is left of it.
    ///
    /// A name that is set takes the place of its first pair, and its other pairs go; one that is not there comes at
    /// the end.
    pub fn rewrite(&self, query: Option<&str>, source: &impl Source) -> Option<Option<String>> {
        let mut to_set: Vec<_> = self
            .set
            .iter()
            .map(|(name, value)| (name, Some(value)))
            .collect();
        let mut pairs: Vec<String> = Vec::new();
        for pair in query.into_iter().flat_map(|query| query.split('&')) {
            let name = decoded_name(pair.split_once('=').map_or(pair, |(name, _)| name));
            if let Some((name, value)) = to_set.iter_mut().find(|(set, _)| **set == name) {
                if let Some(value) = value.take() {
                    pairs.push(encoded(name, value, source));
                }
            } else if pair.is_empty() || !self.remove.iter().any(|removal| removal.covers(&name)) {
                pairs.push(pair.to_owned());
            }
        }
        // An empty query ("/path?") is one empty pair: nothing is appended to that.
        if query == Some("") && to_set.iter().any(|(_, value)| value.is_some()) {
            pairs.clear();
        }
        pairs.extend(
            to_set
                .into_iter()
                .filter_map(|(name, value)| Some(encoded(name, value?, source))),
        );
        let new = if pairs.is_empty() {
            None
        } else {
            Some(pairs.join("&"))
        };
        (new.as_deref() != query).then_some(new)
    }
}

fn encoded(name: &[u8], value: &Template, source: &impl Source) -> String {
    format!("{}={}", component(name), component(&value.render(source)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sluicegate_plugin::template::Variable;

    struct Fake;
    impl Source for Fake {
        fn value(&self, _: &Variable) -> Vec<u8> {
            b"a b&c=\r\n\xff".to_vec()
        }
    }

    fn rules(json: &str) -> QueryRules {
        QueryRules::new(sluicegate_plugin::config::parse(json).unwrap()).unwrap()
    }

    fn becomes(json: &str, query: Option<&str>) -> String {
        match rules(json).rewrite(query, &Fake) {
            None => "unchanged".to_owned(),
            Some(None) => "none".to_owned(),
            Some(Some(query)) => query,
        }
    }

    #[test]
    fn pairs_that_no_rule_names_stay_as_they_are() {
        let json = r#"{"remove":["a","utm_*"],"set":{"t":"1"}}"#;
        assert_eq!(
            becomes(json, Some("x=%7e+&a=1&&y&utm_source=z&%61=2&t=0&z=&t=9")),
            "x=%7e+&&y&t=1&z="
        );
        assert_eq!(becomes(json, Some("x=1")), "x=1&t=1");
        assert_eq!(becomes(json, None), "t=1");
        assert_eq!(becomes(json, Some("")), "t=1");
        assert_eq!(becomes(json, Some("t=1")), "unchanged");
        assert_eq!(becomes(r#"{"remove":["a"]}"#, Some("a=1")), "none");
        assert_eq!(
            becomes(r#"{"remove":["a b"]}"#, Some("a+b=1&a%20b")),
            "none"
        );
        assert_eq!(becomes(r#"{"remove":["a"]}"#, Some("")), "unchanged");
        assert_eq!(becomes(r#"{"remove":["a"]}"#, None), "unchanged");
    }

    #[test]
    fn what_is_set_is_encoded() {
        assert_eq!(
            becomes(r#"{"set":{"a b":"${host}"}}"#, None),
            "a%20b=a%20b%26c%3D%0D%0A%FF"
        );
    }

    #[test]
    fn a_wrong_configuration_names_its_key() {
        let error =
            |json| QueryRules::new(sluicegate_plugin::config::parse(json).unwrap()).unwrap_err();
        assert_eq!(
            error(r#"{"remove":["a",""]}"#),
            "query.remove[1]: a name is needed"
        );
        assert!(
            error(r#"{"set":{"s":"${status}"}}"#).starts_with("query.set.s: ${status} is known")
        );
    }

    proptest! {
        #[test]
        fn only_named_pairs_change(query in "[abc=&%2+]{0,24}") {
            let kept = |query: &str| -> Vec<String> {
                query.split('&').filter(|pair| !pair.is_empty())
                    .filter(|pair| !matches!(decoded_name(pair.split('=').next().unwrap()).as_slice(), b"a" | b"b"))
                    .map(str::to_owned).collect()
            };
            let new = rules(r#"{"remove":["a"],"set":{"b":"1"}}"#).rewrite(Some(&query), &Fake);
            let new = new.unwrap_or(Some(query.clone())).unwrap();
            prop_assert_eq!(kept(&new), kept(&query));
            prop_assert_eq!(new.split('&').filter(|pair| *pair == "b=1").count(), 1);
        }
    }
}
