//! The plugin's table in the gateway's TOML file, as the user wrote it.

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use sluicegate_plugin::template::Template;
use std::collections::BTreeMap;
use std::fmt;

/// What the user writes under `[plugins.NAME.config]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What is done to the request on its way in.
    pub request: Side,
    /// What is done to the response on its way out.
    pub response: Side,
}

/// One side's rules. They are applied in this order, whatever the order in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Side {
    /// Old name to new name: all values move, and replace those that the new name had.
    pub rename: BTreeMap<String, String>,
    /// Fields to drop.
    pub remove: Vec<String>,
    /// Fields that get exactly this value.
    pub set: BTreeMap<String, Template>,
    /// Fields that get this value if they are absent.
    pub default: BTreeMap<String, Template>,
    /// Values that are added after those that are there.
    pub append: BTreeMap<String, Values>,
}

/// One value, or a list of them.
#[derive(Debug)]
pub struct Values(pub Vec<Template>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Values;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or a list of values")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Values, E> {
                Ok(Values(vec![text.parse().map_err(E::custom)?]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Values, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = list.next_element()? {
                    values.push(value);
                }
                Ok(Values(values))
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}
