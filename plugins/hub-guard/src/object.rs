//! A message as a JSON object, read so that nobody reads it differently: a key that stands in it twice, of which one reader takes
//! the first value and another the last, makes it none.
//!
//! Only the top level is kept, as borrowed pieces of the message: this runs for each message.

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Few enough to look through one after the other: an object with more keys is no message of a person.
const MOST: usize = 64;

/// The top level of a message.
#[derive(Debug, Default, PartialEq)]
pub struct Object<'m>(Vec<(Cow<'m, str>, Shape<'m>)>);

/// What a value is; of texts also what they say.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Shape<'m> {
    Null,
    Boolean,
    Integer,
    Fraction,
    String(Cow<'m, str>),
    Array,
    Object,
}

impl<'m> Object<'m> {
    /// Reads a message.
    pub fn parse(text: &'m str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Shape<'m>> {
        self.0
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    }

    /// The text of a key.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key) {
            Some(Shape::String(text)) => Some(text),
            _ => None,
        }
    }

    /// All keys and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Shape<'m>)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value))
    }
}

/// A text that is borrowed where it has no escapes.
struct Text<'m>(Cow<'m, str>);

impl<'de: 'm, 'm> Deserialize<'de> for Text<'m> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Shape::deserialize(deserializer)? {
            Shape::String(text) => Ok(Self(text)),
            _ => Err(D::Error::custom("a key is a text")),
        }
    }
}

impl<'de: 'm, 'm> Deserialize<'de> for Object<'m> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut object = Object(Vec::with_capacity(8));
                while let Some((Text(key), value)) = map.next_entry()? {
                    if object.get(&key).is_some() || object.0.len() >= MOST {
                        return Err(A::Error::custom(
                            "a key stands twice, or there are too many",
                        ));
                    }
                    object.0.push((key, value));
                }
                Ok(object)
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

impl<'de: 'm, 'm> Deserialize<'de> for Shape<'m> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Shape<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_unit<E>(self) -> Result<Shape<'de>, E> {
                Ok(Shape::Null)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Shape<'de>, E> {
                Ok(Shape::Boolean)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Shape<'de>, E> {
                Ok(Shape::Integer)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Shape<'de>, E> {
                Ok(Shape::Integer)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Shape<'de>, E> {
                Ok(Shape::Fraction)
            }
            fn visit_str<E>(self, text: &str) -> Result<Shape<'de>, E> {
                Ok(Shape::String(Cow::Owned(text.to_owned())))
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Shape<'de>, E> {
                Ok(Shape::String(Cow::Borrowed(text)))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shape<'de>, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Shape::Array)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape<'de>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Shape::Object)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_and_nothing_else() {
        let text =
            r#" { "a": 1, "b": {"a": 2}, "c\n": "x", "d": "\u0061", "e": [1.5], "f": null } "#;
        let object = Object::parse(text).unwrap();
        assert_eq!(object.get("a"), Some(&Shape::Integer));
        assert_eq!(object.get("b"), Some(&Shape::Object));
        assert_eq!(
            (object.text("c\n"), object.text("d")),
            (Some("x"), Some("a"))
        );
        assert_eq!(object.get("e"), Some(&Shape::Array));
        assert_eq!(object.get("f"), Some(&Shape::Null));
        assert_eq!((object.get("g"), object.iter().count()), (None, 6));
        let many: Vec<String> = (0..65).map(|key| format!("\"{key}\":1")).collect();
        for text in [
            "",
            "[]",
            "\"a\"",
            "{",
            "{} {}",
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"a":[1,}"#,
            &format!("{{{}}}", many.join(",")),
        ] {
            assert_eq!(Object::parse(text), None, "{text}");
        }
    }
}
