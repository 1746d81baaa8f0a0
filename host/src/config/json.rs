//! Values of the file as JSON, which plugins are configured with.

use serde_json::{Map, Number, Value};
use toml::de::DeValue;

use super::reader::{Node, integer};

impl Node<'_> {
    /// The value as JSON. Dates become text; what JSON cannot
    /// say (`inf`, `nan`) is a problem.
    pub(super) fn json(&self) -> Option<Value> {
        match self.value {
            DeValue::String(text) => Some(Value::String(text.to_string())),
            DeValue::Boolean(value) => Some(Value::Bool(*value)),
            DeValue::Datetime(value) => Some(Value::String(value.to_string())),
            DeValue::Integer(number) => {
                let number = integer(number).and_then(|number| i64::try_from(number).ok());
                if number.is_none() {
                    self.unexpected(format_args!(
                        "a whole number from {} to {}",
                        i64::MIN,
                        i64::MAX
                    ));
                }
                number.map(Value::from)
            }
            DeValue::Float(number) => {
                let number = number.as_str().parse().ok().and_then(Number::from_f64);
                if number.is_none() {
                    self.unexpected("a finite number, which is all that JSON has");
                }
                number.map(Value::Number)
            }
            // Everything is read before anything is given up, so that every problem is reported.
            DeValue::Array(_) => {
                let items: Vec<_> = self.items()?.iter().map(Node::json).collect();
                items.into_iter().collect::<Option<_>>().map(Value::Array)
            }
            DeValue::Table(_) => self.json_object().map(Value::Object),
        }
    }

    /// A table as a JSON object.
    pub(super) fn json_object(&self) -> Option<Map<String, Value>> {
        let entries = self.section("a table")?.entries();
        let members: Vec<_> = entries
            .into_iter()
            .map(|(key, node)| node.json().map(|value| (key.to_owned(), value)))
            .collect();
        members.into_iter().collect()
    }
}
