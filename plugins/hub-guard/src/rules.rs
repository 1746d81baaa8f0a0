//! What messages have to be like. Nothing in here knows of the gateway.

use serde_json::{Value, json};
use sluicegate_plugin::Message;
use std::collections::BTreeMap;

use crate::config::{self, Kind, OnViolation};
use crate::object::{Object, Shape};
use crate::rooms::{Access, Purpose};
use crate::words::{Found, Words};

/// The rules, checked.
#[derive(Debug, Default)]
pub struct Rules {
    max: Option<u64>,
    text_only: bool,
    types: Vec<String>,
    schema: Option<Schema>,
    words: Option<Words>,
    /// What happens to a message that breaks a rule.
    pub on_violation: OnViolation,
}

#[derive(Debug)]
struct Schema {
    required: Vec<String>,
    kinds: BTreeMap<String, Kind>,
    others: bool,
}

/// What a message breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Violation {
    TooLarge,
    Binary,
    Malformed,
    Schema,
    Word,
    Room,
}

/// A message that may go on.
#[derive(Debug, PartialEq, Eq)]
pub enum Passed {
    /// As it came.
    AsItIs,
    /// As this.
    As(String),
}

impl Violation {
    /// For programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::Binary => "binary",
            Self::Malformed => "malformed",
            Self::Schema => "schema",
            Self::Word => "word",
            Self::Room => "forbidden",
        }
    }

    /// For people.
    pub fn reason(self) -> &'static str {
        match self {
            Self::TooLarge => "the message is too large",
            Self::Binary => "only text is taken here",
            Self::Malformed => "the message is not a JSON object whose keys stand once",
            Self::Schema => "the message has not the keys that it should",
            Self::Word => "the message has a word that is not wanted here",
            Self::Room => "this room is not yours",
        }
    }

    /// The code of a close frame (RFC 6455, section 7.4.1).
    pub fn close_code(self) -> u16 {
        match self {
            Self::TooLarge => 1009,
            Self::Binary => 1003,
            _ => 1008,
        }
    }

    /// What the client is told, in the form of the hub's protocol, with the identifier that it gave to the message.
    pub fn reply(self, message: &Message) -> String {
        let mut reply = json!({ "type": "error", "code": self.code(), "message": self.reason() });
        let id = message
            .as_text()
            .and_then(|text| serde_json::from_str::<Value>(text).ok())
            .and_then(|value| value.get("id").cloned())
            .filter(|id| id.is_number() || id.as_str().is_some_and(|id| id.len() <= 128));
        if let (Some(id), Some(reply)) = (id, reply.as_object_mut()) {
            reply.insert("id".to_owned(), id);
        }
        reply.to_string()
    }
}

impl Rules {
    /// Checks what the user wrote.
    pub fn new(config: config::Message) -> Result<Self, String> {
        let schema = config.json.map(Schema::new).transpose()?;
        Ok(Self {
            max: config.max.map(sluicegate_plugin::ByteSize::bytes),
            text_only: config.text_only,
            types: config.types,
            schema,
            words: config.words.as_ref().map(Words::new).transpose()?,
            on_violation: config.on_violation,
        })
    }

    /// Whether there is nothing to check.
    pub fn is_empty(&self) -> bool {
        self.max.is_none() && !self.text_only && !self.reads_keys() && self.words.is_none()
    }

    fn reads_keys(&self) -> bool {
        self.schema.is_some() || !self.types.is_empty()
    }

    /// Whether a message may go on; `access` is what is kept of the client's rooms, where rooms are guarded.
    pub fn check(&self, message: &Message, access: Option<&str>) -> Result<Passed, Violation> {
        let length = message.as_bytes().len();
        let is_longer = |max| u64::try_from(length).is_ok_and(|length| length > max);
        if self.max.is_some_and(is_longer) {
            return Err(Violation::TooLarge);
        }
        // What is to be read has to be text.
        let is_object = self.reads_keys() || access.is_some();
        let is_read = self.text_only || is_object;
        let Some(text) = message.as_text() else {
            return if is_read {
                Err(Violation::Binary)
            } else {
                Ok(Passed::AsItIs)
            };
        };
        if is_object {
            let object = Object::parse(text).ok_or(Violation::Malformed)?;
            let is_type = |wanted: &String| object.text("type") == Some(wanted);
            if !self.types.is_empty() && !self.types.iter().any(is_type) {
                return Err(Violation::Schema);
            }
            if self
                .schema
                .as_ref()
                .is_some_and(|schema| !schema.takes(&object))
            {
                return Err(Violation::Schema);
            }
            if access.is_some_and(|access| !may(&object, access)) {
                return Err(Violation::Room);
            }
        }
        match self.words.as_ref().map(|words| words.find(text, is_object)) {
            None | Some(Found::None) => Ok(Passed::AsItIs),
            Some(Found::Refused) => Err(Violation::Word),
            Some(Found::Masked(masked)) => Ok(Passed::As(masked)),
        }
    }
}

/// Whether the client may do this to the room that the message names. Whatever names a room, whether the hub's protocol has
/// such a command today or not, is at least to be let in there; only leaving is everybody's right.
fn may(object: &Object<'_>, access: &str) -> bool {
    let Some(room) = object.get("room") else {
        return true;
    };
    let purpose = match object.text("type") {
        Some("leave") => return true,
        Some("publish") => Purpose::Publish,
        _ => Purpose::Join,
    };
    matches!(room, Shape::String(room) if Access::text_allows(access, purpose, room))
}

impl Schema {
    fn new(config: config::Json) -> Result<Self, String> {
        if let Some(twice) = config
            .required
            .keys()
            .find(|key| config.optional.contains_key(*key))
        {
            return Err(format!(
                "message.json.optional.{twice}: it is required already"
            ));
        }
        Ok(Self {
            required: config.required.keys().cloned().collect(),
            kinds: config.required.into_iter().chain(config.optional).collect(),
            others: config.others,
        })
    }

    fn takes(&self, object: &Object<'_>) -> bool {
        let has_all = self.required.iter().all(|key| object.get(key).is_some());
        has_all
            && object.iter().all(|(key, value)| match self.kinds.get(key) {
                Some(kind) => kind.is(value),
                None => self.others,
            })
    }
}

impl Kind {
    fn is(self, value: &Shape<'_>) -> bool {
        match self {
            Self::String => matches!(value, Shape::String(_)),
            Self::Number => matches!(value, Shape::Integer | Shape::Fraction),
            Self::Integer => *value == Shape::Integer,
            Self::Boolean => *value == Shape::Boolean,
            Self::Object => *value == Shape::Object,
            Self::Array => *value == Shape::Array,
            Self::Null => *value == Shape::Null,
            Self::Any => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(config: Value) -> Rules {
        Rules::new(serde_json::from_value(config).unwrap()).unwrap()
    }

    fn check(config: Value, message: impl Into<Message>) -> Result<Passed, Violation> {
        rules(config).check(&message.into(), None)
    }

    #[test]
    fn sizes_and_kinds_of_messages() {
        assert_eq!(check(json!({ "max": 3 }), "abc"), Ok(Passed::AsItIs));
        assert_eq!(check(json!({ "max": 3 }), "abcd"), Err(Violation::TooLarge));
        assert_eq!(
            check(json!({ "max": 3 }), vec![0; 4]),
            Err(Violation::TooLarge)
        );
        assert_eq!(check(json!({}), vec![0xff]), Ok(Passed::AsItIs));
        assert_eq!(
            check(json!({ "text_only": true }), vec![0xff]),
            Err(Violation::Binary)
        );
        assert_eq!(
            check(json!({ "json": {} }), vec![b'{', b'}']),
            Err(Violation::Binary)
        );
    }

    #[test]
    fn the_keys_of_messages() {
        let config = json!({ "json": {
            "required": { "type": "string", "n": "integer" }, "optional": { "b": "boolean" }, "others": false,
        }});
        for (text, expected) in [
            (r#"{"type":"a","n":1}"#, Ok(Passed::AsItIs)),
            (r#"{"type":"a","n":1,"b":true}"#, Ok(Passed::AsItIs)),
            (r#"{"type":"a","n":1.5}"#, Err(Violation::Schema)),
            (r#"{"type":1,"n":1}"#, Err(Violation::Schema)),
            (r#"{"type":"a"}"#, Err(Violation::Schema)),
            (r#"{"type":"a","n":1,"b":null}"#, Err(Violation::Schema)),
            (r#"{"type":"a","n":1,"x":1}"#, Err(Violation::Schema)),
            (r#"{"type":"a","n":1,"n":1}"#, Err(Violation::Malformed)),
            ("[]", Err(Violation::Malformed)),
            ("hello", Err(Violation::Malformed)),
        ] {
            assert_eq!(check(config.clone(), text), expected, "{text}");
        }
    }

    #[test]
    fn the_types_of_messages() {
        let config = json!({ "types": ["join", "publish"] });
        for (text, expected) in [
            (r#"{"type":"join","room":"a"}"#, Ok(Passed::AsItIs)),
            (r#"{"type":"p\u0075blish"}"#, Ok(Passed::AsItIs)),
            (r#"{"type":"direct","to":"ann"}"#, Err(Violation::Schema)),
            (r#"{"type":["join"]}"#, Err(Violation::Schema)),
            ("{}", Err(Violation::Schema)),
            ("join", Err(Violation::Malformed)),
        ] {
            assert_eq!(check(config.clone(), text), expected, "{text}");
        }
        assert_eq!(check(config, vec![1]), Err(Violation::Binary));
    }

    #[test]
    fn rooms_that_messages_name() {
        let access = "j=hall\nj^news/\np=hall\n";
        let rules = Rules::default();
        for (text, expected) in [
            (r#"{"type":"join","room":"hall"}"#, Ok(Passed::AsItIs)),
            (
                r#"{"type":"publish","room":"hall","data":1}"#,
                Ok(Passed::AsItIs),
            ),
            (r#"{"type":"join","room":"news/a"}"#, Ok(Passed::AsItIs)),
            (
                r#"{"type":"publish","room":"news/a"}"#,
                Err(Violation::Room),
            ),
            (r#"{"type":"join","room":"cellar"}"#, Err(Violation::Room)),
            (
                r#"{"type":"history","room":"cellar"}"#,
                Err(Violation::Room),
            ),
            (
                r#"{"type":"new-command","room":"cellar"}"#,
                Err(Violation::Room),
            ),
            (r#"{"room":"cellar"}"#, Err(Violation::Room)),
            (r#"{"type":"join","room":["hall"]}"#, Err(Violation::Room)),
            (r#"{"type":"leave","room":"cellar"}"#, Ok(Passed::AsItIs)),
            (r#"{"type":"ping"}"#, Ok(Passed::AsItIs)),
            (
                r#"{"type":"join","room":"hall","room":"cellar"}"#,
                Err(Violation::Malformed),
            ),
            ("join cellar", Err(Violation::Malformed)),
        ] {
            assert_eq!(rules.check(&text.into(), Some(access)), expected, "{text}");
        }
    }

    #[test]
    fn words_are_refused_or_masked() {
        let words = |then: &str| json!({ "words": { "deny": ["darn"], "then": then } });
        assert_eq!(check(words("refuse"), "oh darn"), Err(Violation::Word));
        assert_eq!(
            check(words("mask"), "oh darn"),
            Ok(Passed::As("oh ****".to_owned()))
        );
        assert_eq!(check(words("mask"), "oh"), Ok(Passed::AsItIs));
    }

    #[test]
    fn a_refusal_carries_the_clients_own_identifier() {
        let reply = |text: &str| Violation::Room.reply(&text.into());
        for (text, id) in [
            (r#"{"id":7}"#, json!(7)),
            (r#"{"id":"a"}"#, json!("a")),
            (r#"{"id":{"a":1}}"#, Value::Null),
            ("no json", Value::Null),
        ] {
            let reply: Value = serde_json::from_str(&reply(text)).unwrap();
            assert_eq!(
                (&reply["code"], &reply["id"]),
                (&json!("forbidden"), &id),
                "{text}"
            );
        }
    }

    #[test]
    fn a_key_is_required_or_optional() {
        let config = json!({ "json": { "required": { "a": "any" }, "optional": { "a": "any" } } });
        let error = Rules::new(serde_json::from_value(config).unwrap()).unwrap_err();
        assert!(error.starts_with("message.json.optional.a"), "{error}");
    }
}
