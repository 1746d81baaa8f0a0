//! The members of a JSON object as they stand in its text.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// Values within values. Readers have a limit (128 is usual), and what one client sends must not be what others fail at.
const DEEPEST: usize = 100;

/// Names, and the texts of their values, in the order of the text. `None` for what is not one JSON object.
pub fn split(text: &str) -> Option<Vec<(Cow<'_, str>, &str)>> {
    // Whether it is JSON is for serde to say; what follows only has to find where things end.
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut rest = text
        .trim_matches(is_space)
        .strip_prefix('{')?
        .trim_start_matches(is_space);
    let mut fields = Vec::with_capacity(4);
    while !rest.starts_with('}') {
        let (name, after) = value(rest)?;
        let after = after.trim_start_matches(is_space).strip_prefix(':')?;
        let (value, after) = value(after.trim_start_matches(is_space))?;
        fields.push((string(name)?, value));
        let after = after.trim_start_matches(is_space);
        rest = after
            .strip_prefix(',')
            .unwrap_or(after)
            .trim_start_matches(is_space);
    }
    Some(fields)
}

/// The text of a JSON string.
pub fn string(text: &str) -> Option<Cow<'_, str>> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(text).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// RFC 8259, section 2.
fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
}

/// The value that a text begins with, and the rest.
fn value(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    let mut within_string = false;
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        if within_string {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => {
                    within_string = false;
                    if depth == 0 {
                        return text.split_at_checked(at + 1);
                    }
                }
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => within_string = true,
            b'{' | b'[' if depth == DEEPEST => return None,
            b'{' | b'[' => depth += 1,
            // What encloses a number or a literal ends it, as white space and a comma do.
            b'}' | b']' | b',' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => {
                return text.split_at_checked(at);
            }
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return text.split_at_checked(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn values_are_as_they_stand() {
        let text = r#" { "a" : 1.50 ,"b":"x\"}" , "c" : [ {"d": "]"} , 2 ], "\u0065":null} "#;
        let fields: Vec<(String, &str)> = split(text)
            .unwrap()
            .into_iter()
            .map(|(name, value)| (name.into_owned(), value))
            .collect();
        assert_eq!(
            fields,
            [
                ("a".to_owned(), "1.50"),
                ("b".to_owned(), r#""x\"}""#),
                ("c".to_owned(), r#"[ {"d": "]"} , 2 ]"#),
                ("e".to_owned(), "null"),
            ]
        );
        assert_eq!(split("{}"), Some(Vec::new()));
    }

    #[test]
    fn what_is_no_object() {
        for text in [
            "",
            "1",
            "[]",
            "\"{}\"",
            "{",
            "{}x",
            "{\"a\":}",
            "{\"a\" 1}",
            "{\"a\":1,}",
        ] {
            assert_eq!(split(text), None, "{text}");
        }
        let nested = |depth| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(split(&nested(DEEPEST)).is_some());
        assert!(split(&nested(DEEPEST + 1)).is_none());
        assert!(split(&nested(100_000)).is_none());
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[a\"\\\\{}\\[\\],: \u{e9}\n]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::hash_map("[a\"\\\\{},:]{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_serde_writes_is_split_as_serde_reads_it(
            map in proptest::collection::hash_map("[a-c\"\\\\{},: ]{0,4}", any_value(), 0..5),
            pretty: bool,
        ) {
            let value = Value::Object(map.into_iter().collect());
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            let fields = split(&text).unwrap();
            let read: serde_json::Map<String, Value> = fields
                .into_iter()
                .map(|(name, value)| (name.into_owned(), serde_json::from_str(value).unwrap()))
                .collect();
            // Compared as texts: two readings of a float may differ in the last bit.
            prop_assert_eq!(Value::Object(read).to_string(), serde_json::from_str::<Value>(&text).unwrap().to_string());
        }

        #[test]
        fn random_text_does_not_panic(text in "[{}\\[\\]\":,a1 \\\\]{0,30}") {
            split(&text);
        }
    }
}
