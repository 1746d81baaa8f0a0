use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn edit(remove: &[&str], set: &[(&str, &str)], text: &str) -> Option<String> {
    let edits = Edits {
        remove: remove
            .iter()
            .map(|pointer| Pointer::parse(pointer).unwrap())
            .collect(),
        set: set
            .iter()
            .map(|(pointer, value)| (Pointer::parse(pointer).unwrap(), (*value).to_owned()))
            .collect(),
    };
    edits
        .apply(text.as_bytes())
        .unwrap()
        .map(|text| String::from_utf8(text).unwrap())
}

#[test]
fn members_and_elements_are_set() {
    assert_eq!(
        edit(&[], &[("/a/b", "2")], r#"{"a":{"b":1,"c":3}}"#).unwrap(),
        r#"{"a":{"b":2,"c":3}}"#
    );
    assert_eq!(
        edit(&[], &[("/x/y", "2")], "{}").unwrap(),
        r#"{"x":{"y":2}}"#
    );
    assert_eq!(
        edit(&[], &[("/l/-", "3")], r#"{"l":[1,2]}"#).unwrap(),
        r#"{"l":[1,2,3]}"#
    );
    assert_eq!(
        edit(&[], &[("/l/-/n", "3")], "{}").unwrap(),
        r#"{"l":[{"n":3}]}"#
    );
    assert_eq!(edit(&[], &[("/1", "9")], "[1,2]").unwrap(), "[1,9]");
    assert_eq!(edit(&[], &[("", "null")], "[1]").unwrap(), "null");
    assert_eq!(
        edit(&[], &[("/a~1b/~0", "1")], r#"{"a/b":{"~":0}}"#).unwrap(),
        r#"{"a/b":{"~":1}}"#
    );
    assert_eq!(edit(&[], &[("/", "1")], r#"{"":0}"#).unwrap(), r#"{"":1}"#);
}

#[test]
fn members_and_elements_are_removed() {
    assert_eq!(
        edit(&["/a", "/b/0"], &[], r#"{"a":1,"b":[1,2],"c":3}"#).unwrap(),
        r#"{"b":[2],"c":3}"#
    );
    assert_eq!(
        edit(&["/a"], &[("/a", "2")], r#"{"a":1}"#).unwrap(),
        r#"{"a":2}"#
    );
    assert_eq!(
        edit(&["/a", "/a/b"], &[], r#"{"a":1, "a":2}"#).unwrap(),
        "{}"
    );
}

#[test]
fn a_way_that_leads_nowhere_changes_nothing() {
    for text in ["1", "\"a\"", "[]", r#"{"a":1}"#, r#"{"a":[1]}"#] {
        assert_eq!(
            edit(&["/a/b", "/x", "/a/01", "/a/7", "/a/-"], &[], text),
            None,
            "{text}"
        );
    }
    for text in ["1", "\"a\"", "[]", r#"{"a":1}"#, r#"{"a":[1]}"#] {
        assert_eq!(
            edit(&[], &[("/a/7/b", "1"), ("/a/01", "1")], text),
            None,
            "{text}"
        );
    }
    assert_eq!(edit(&[], &[("/a", "1")], r#"{"a":1}"#), None);
}

#[test]
fn what_no_edit_touches_keeps_its_bytes() {
    let text = r#" {"n":18446744073709551617.10, "e":1E400,"a":1,  "s":"\u00e9\/", "o": { "x" : [ 1 , 2 ] }} "#;
    let expected =
        r#"{"n":18446744073709551617.10,"e":1E400,"a":2,"s":"\u00e9\/","o":{ "x" : [ 1 , 2 ] }}"#;
    assert_eq!(edit(&[], &[("/a", "2")], text).unwrap(), expected);
    assert_eq!(edit(&["/nothing"], &[], text), None);
}

#[test]
fn two_members_of_one_name_become_one() {
    assert_eq!(
        edit(&[], &[("/a", "2")], r#"{"a":1,"b":0,"a":3}"#).unwrap(),
        r#"{"a":2,"b":0}"#
    );
}

#[test]
fn what_is_no_json_is_an_error() {
    for text in ["", "{", "{\"a\":1}x", "nope", "{'a':1}", "\"\u{1}\""] {
        assert!(Edits::default().apply(text.as_bytes()).is_err(), "{text}");
    }
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    assert!(
        edit(&["/0/0"], &[], &deep).is_some(),
        "depth is not on the stack"
    );
}

#[test]
fn what_is_no_pointer_is_refused() {
    for text in ["a", "a/b", "/~", "/~2", "/a~"] {
        assert!(Pointer::parse(text).is_err(), "{text}");
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        "[a-c\"\\\\é]{0,3}".prop_map(Value::from)
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c/~]{0,2}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

/// All pointers into a value.
fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                pointers(
                    member,
                    &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")),
                    all,
                );
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                pointers(element, &format!("{at}/{index}"), all);
            }
        }
        _ => {}
    }
}

proptest! {
    #[test]
    fn what_is_set_is_there_and_the_rest_as_it_was(value in value(), pick in any::<prop::sample::Index>()) {
        let mut all = Vec::new();
        pointers(&value, "", &mut all);
        let pointer = pick.get(&all);
        let new = edit(&[], &[(pointer, "\"new\"")], &value.to_string()).unwrap_or_else(|| value.to_string());
        let mut expected = value.clone();
        *expected.pointer_mut(pointer).unwrap() = json!("new");
        prop_assert_eq!(serde_json::from_str::<Value>(&new).unwrap(), expected);
    }

    #[test]
    fn no_text_makes_it_fail_otherwise_than_by_an_error(text in "[\\[\\]{}\":,a0\\\\ ]{0,20}") {
        let edits = Edits {
            remove: vec![Pointer::parse("/a/0").unwrap()],
            set: vec![(Pointer::parse("/a/b").unwrap(), "1".to_owned())],
        };
        if let Ok(Some(new)) = edits.apply(text.as_bytes()) {
            prop_assert!(serde_json::from_slice::<Value>(&new).is_ok());
        }
    }
}
