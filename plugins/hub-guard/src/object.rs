//! A message as a JSON object, read so that nobody reads it differently: a key that stands in it twice, of which one reader takes
//! the first value and another the last, makes it none.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use std::fmt;

/// The top level of a message.
#[derive(Debug, Default, PartialEq)]
pub struct Object(Vec<(String, Value)>);

impl Object {
    /// Reads a message.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    }

    /// All keys and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut object = Object::default();
                while let Some((key, value)) = map.next_entry::<String, Value>()? {
                    if object.get(&key).is_some() {
                        return Err(serde::de::Error::custom("a key stands twice"));
                    }
                    // Few enough to look through: an object with many keys is no message of a person.
                    if object.0.len() >= 64 {
                        return Err(serde::de::Error::custom("too many keys"));
                    }
                    object.0.push((key, value));
                }
                Ok(object)
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_and_nothing_else() {
        let object = Object::parse(r#" { "a": 1, "b": {"a": 2} } "#).unwrap();
        assert_eq!(object.get("a"), Some(&Value::from(1)));
        assert_eq!(object.iter().count(), 2);
        let many: Vec<String> = (0..65).map(|key| format!("\"{key}\":1")).collect();
        for text in [
            "",
            "[]",
            "\"a\"",
            "{",
            "{} {}",
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            &format!("{{{}}}", many.join(",")),
        ] {
            assert_eq!(Object::parse(text), None, "{text}");
        }
    }
}
