//! Where the parts of a plugin's own configuration stand in the file. The plugin sees JSON and names a part by its path in that;
//! who reads its words looks for a line.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::model::Origin;
use super::reader::Node;

/// The places of a configuration's parts, by the paths that plugins name them by: `request.set.x-a`, `rules[0].to`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    places: BTreeMap<String, Origin>,
}

impl Places {
    /// What a plugin's words begin with: the place, and what it says of it. `None` where they begin with no part's path.
    ///
    /// Of a path that leads to a part that is not there (a missing key, say) the place is that of what it would be in.
    pub fn named_by<'a>(&self, words: &'a str) -> Option<(&Origin, &'a str)> {
        let (path, place) = self
            .places
            .iter()
            .filter(|(path, _)| {
                let rest = words.strip_prefix(path.as_str());
                rest.is_some_and(|rest| rest.starts_with([':', '.', '[']))
            })
            .max_by_key(|(path, _)| path.len())?;
        let what = words.strip_prefix(path.as_str())?.strip_prefix(": ");
        Some((place, what.unwrap_or(words)))
    }
}

impl Node<'_> {
    /// Where the parts of this table stand.
    pub(super) fn places(&self) -> Places {
        let mut places = BTreeMap::new();
        self.collect("", &mut places);
        Places { places }
    }

    fn collect(&self, path: &str, places: &mut BTreeMap<String, Origin>) {
        if !path.is_empty() {
            let origin = Origin {
                path: self.path.clone(),
                line: self.line,
            };
            places.insert(path.to_owned(), origin);
        }
        match self.value {
            DeValue::Table(_) => {
                for (key, node) in self.entries() {
                    let dot = if path.is_empty() { "" } else { "." };
                    node.collect(&format!("{path}{dot}{key}"), places);
                }
            }
            DeValue::Array(_) => {
                for (index, node) in self.items().into_iter().flatten().enumerate() {
                    node.collect(&format!("{path}[{index}]"), places);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::accepted;

    #[test]
    fn a_part_is_found_by_the_path_that_plugins_call_it_by() {
        let config = accepted(
            r#"[plugins.p]
component = "p.wasm"
[plugins.p.config]
user = "a"
[[plugins.p.config.rules]]
"a.b" = 1
[plugins.p.config.rules.set]
x-a = """
two lines"""
x-b = [
  1,
  { c = 2 },
]
"#,
        );
        let places = &config.plugins.get("p").unwrap().places;
        let found = |words| {
            let (place, what) = places.named_by(words)?;
            Some((&*place.path, place.line, what))
        };
        for (words, path, line, what) in [
            ("user: no such user", "user", 4, "no such user"),
            ("rules[0].a.b: bad", "rules[0].\"a.b\"", 6, "bad"),
            ("rules[0].set.x-a: bad: a", "rules[0].set.x-a", 8, "bad: a"),
            (
                "rules[0].set.x-b[1].c: bad",
                "rules[0].set.x-b[1].c",
                12,
                "bad",
            ),
            // What is missing is missed where it should be, under its own name.
            (
                "rules[0].to: missing",
                "rules[0]",
                5,
                "rules[0].to: missing",
            ),
        ] {
            let path = format!("plugins.p.config.{path}");
            assert_eq!(found(words), Some((&*path, line, what)), "{words}");
        }
        for words in [
            "no user",
            "users: none",
            "user",
            "",
            "rules are none",
            "x: y",
        ] {
            assert_eq!(found(words), None, "{words}");
        }
    }
}
