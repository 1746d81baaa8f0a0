//! Which rooms a client may join and publish to: what everybody may, and what its token says.

use serde_json::Value;
use sluicegate_plugin::hub::is_name;

use crate::config;
use crate::token::Claims;

/// What stands for the client's own name.
const ID: &str = "{id}";
/// Names of one client; a token that lists more is of no use to it.
const MOST: usize = 200;

/// The rules, checked.
#[derive(Debug)]
pub struct Rooms {
    enter: Vec<String>,
    join: Vec<Pattern>,
    publish: Vec<Pattern>,
    claim: Option<String>,
}

/// A room, or all rooms that begin so.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Exactly(String),
    Prefix(String),
}

/// What one client may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    join: Vec<Pattern>,
    publish: Vec<Pattern>,
}

/// What a client wants of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To be in it, or to know what happens there.
    Join,
    /// To say something there.
    Publish,
}

impl Pattern {
    fn new(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some(prefix) => Self::Prefix(prefix.to_owned()),
            None => Self::Exactly(text.to_owned()),
        }
    }

    fn matches(&self, room: &str) -> bool {
        match self {
            Self::Exactly(name) => room == name,
            Self::Prefix(prefix) => room.starts_with(prefix.as_str()),
        }
    }

    /// With the client's name in it. The kind stays as it was: a client whose name ends in a star owns one room, not many.
    fn of(&self, id: Option<&str>) -> Option<Self> {
        Some(match self {
            Self::Exactly(name) => Self::Exactly(filled(name, id)?),
            Self::Prefix(prefix) => Self::Prefix(filled(prefix, id)?),
        })
    }
}

/// A name with the client's in it; nothing for a client that has none.
fn filled(name: &str, id: Option<&str>) -> Option<String> {
    if !name.contains(ID) {
        return Some(name.to_owned());
    }
    Some(name.replace(ID, id?))
}

impl Rooms {
    /// Checks what the user wrote.
    pub fn new(config: config::Rooms) -> Result<Self, String> {
        for (key, names) in [
            ("enter", &config.enter),
            ("join", &config.join),
            ("publish", &config.publish),
        ] {
            for (number, name) in names.iter().enumerate() {
                let is_wrong = !is_name(name) || (key == "enter" && name.ends_with('*'));
                if is_wrong {
                    return Err(format!(
                        "rooms.{key}[{number}]: {name:?} is no name of a room"
                    ));
                }
            }
        }
        let patterns = |names: Vec<String>| names.iter().map(|name| Pattern::new(name)).collect();
        Ok(Self {
            enter: config.enter,
            join: patterns(config.join),
            publish: patterns(config.publish),
            claim: config.claim,
        })
    }

    /// The rooms that a client is in from the beginning.
    pub fn entered(&self, id: Option<&str>) -> Vec<String> {
        let filled = self.enter.iter().filter_map(|name| filled(name, id));
        filled.filter(|name| is_name(name)).collect()
    }

    /// What a client may that is called so and has these claims.
    pub fn access(&self, id: Option<&str>, claims: &Claims) -> Access {
        let of = |patterns: &[Pattern]| {
            let filled = patterns.iter().filter_map(|pattern| pattern.of(id));
            filled.collect::<Vec<_>>()
        };
        let mut access = Access {
            join: of(&self.join),
            publish: of(&self.publish),
        };
        match self.claim.as_ref().and_then(|claim| claims.get(claim)) {
            Some(Value::Object(both)) => {
                access.join.extend(listed(both.get("join")));
                access.publish.extend(listed(both.get("publish")));
            }
            list => {
                access.join.extend(listed(list));
                access.publish.extend(listed(list));
            }
        }
        access
    }
}

fn listed(claim: Option<&Value>) -> impl Iterator<Item = Pattern> {
    let names = claim.and_then(Value::as_array).into_iter().flatten();
    names.filter_map(Value::as_str).map(Pattern::new).take(MOST)
}

impl Access {
    /// Whether a client may.
    pub fn allows(&self, purpose: Purpose, room: &str) -> bool {
        let patterns = match purpose {
            Purpose::Join => &self.join,
            Purpose::Publish => &self.publish,
        };
        patterns.iter().any(|pattern| pattern.matches(room))
    }

    /// As it is kept with the connection: a line for each name, with what it is for before it.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (purpose, patterns) in [('j', &self.join), ('p', &self.publish)] {
            for pattern in patterns {
                let (kind, name) = match pattern {
                    Pattern::Exactly(name) => ('=', name),
                    Pattern::Prefix(name) => ('^', name),
                };
                // A name with a line break is none, and would be another line here.
                if !name.contains('\n') {
                    text.extend([purpose, kind]);
                    text.push_str(name);
                    text.push('\n');
                }
            }
        }
        text
    }

    /// Whether a client may, by what was kept. Nothing is taken apart for it: this runs for each message.
    pub fn text_allows(text: &str, purpose: Purpose, room: &str) -> bool {
        let wanted = match purpose {
            Purpose::Join => 'j',
            Purpose::Publish => 'p',
        };
        text.split('\n').any(|line| {
            let Some(pattern) = line.strip_prefix(wanted) else {
                return false;
            };
            match (pattern.strip_prefix('='), pattern.strip_prefix('^')) {
                (Some(name), _) => name == room,
                (_, Some(prefix)) => room.starts_with(prefix),
                _ => false,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Purpose::{Join, Publish};
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn rooms(config: Value) -> Result<Rooms, String> {
        Rooms::new(serde_json::from_value(config).unwrap())
    }

    fn claims(value: Value) -> Claims {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_everybody_may_and_what_a_token_says() {
        let rooms = rooms(json!({
            "enter": ["hall", "user:{id}"], "join": ["hall", "user:{id}", "news/*"], "publish": ["hall"], "claim": "rooms",
        }))
        .unwrap();
        let both = rooms.access(
            Some("ann"),
            &claims(json!({ "rooms": ["team-1", "team-2/*"] })),
        );
        let each = rooms.access(
            Some("bob"),
            &claims(json!({ "rooms": { "join": ["a"], "publish": ["b"], "other": 1 } })),
        );
        let nobody = rooms.access(None, &Claims::new());
        for (access, purpose, room, allowed) in [
            (&both, Join, "hall", true),
            (&both, Join, "user:ann", true),
            (&both, Join, "user:bob", false),
            (&both, Publish, "user:ann", false),
            (&both, Join, "news/today", true),
            (&both, Join, "news", false),
            (&both, Publish, "team-1", true),
            (&both, Join, "team-2/x", true),
            (&both, Join, "team-1x", false),
            (&each, Join, "a", true),
            (&each, Publish, "a", false),
            (&each, Publish, "b", true),
            (&nobody, Join, "hall", true),
            (&nobody, Join, "user:", false),
            (&nobody, Join, "user:{id}", false),
        ] {
            assert_eq!(access.allows(purpose, room), allowed, "{purpose:?} {room}");
        }
        assert_eq!(rooms.entered(Some("ann")), ["hall", "user:ann"]);
        assert_eq!(rooms.entered(None), ["hall"]);
    }

    #[test]
    fn a_client_that_is_called_a_star_owns_one_room() {
        let rooms = rooms(json!({ "join": ["user:{id}"] })).unwrap();
        let access = rooms.access(Some("*"), &Claims::new());
        assert!(access.allows(Purpose::Join, "user:*"));
        let text = access.to_text();
        for room in ["user:ann", "user:"] {
            assert!(!access.allows(Purpose::Join, room));
            assert!(!Access::text_allows(&text, Purpose::Join, room));
        }
    }

    #[test]
    fn what_is_refused() {
        for (config, expected) in [
            (json!({ "enter": ["a*"] }), "rooms.enter[0]"),
            (json!({ "join": ["a", ""] }), "rooms.join[1]"),
            (json!({ "publish": ["a\nb"] }), "rooms.publish[0]"),
        ] {
            let error = rooms(config).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_kept_allows_what_the_access_allows(names in prop::collection::vec("[ab*\n=^jp]{0,3}", 0..5), room in "[ab*=^jp]{1,3}") {
            let list: Vec<Pattern> = names.iter().map(|name| Pattern::new(name)).collect();
            let access = Access { join: list.clone(), publish: Vec::new() };
            let text = access.to_text();
            for purpose in [Purpose::Join, Purpose::Publish] {
                prop_assert_eq!(Access::text_allows(&text, purpose, &room), access.allows(purpose, &room));
            }
        }
    }
}
