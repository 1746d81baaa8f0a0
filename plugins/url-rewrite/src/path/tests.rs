use super::*;
use proptest::prelude::*;

fn rules(json: &str) -> Result<PathRules, String> {
    PathRules::new(&sluicegate_plugin::config::parse(json)?)
}

fn rewrite(json: &str, path: &str) -> Result<Option<String>, RewriteError> {
    let new = rules(json)
        .unwrap()
        .rewrite(path, |name| (name == "id").then(|| "..".to_owned()))?;
    Ok(new.map(Cow::into_owned))
}

fn becomes(json: &str, path: &str) -> String {
    rewrite(json, path)
        .unwrap()
        .unwrap_or_else(|| "unchanged".to_owned())
}

#[test]
fn a_prefix_is_stripped_at_a_segment_border() {
    for prefix in [r#"{"strip_prefix":"/api"}"#, r#"{"strip_prefix":"/api/"}"#] {
        assert_eq!(becomes(prefix, "/api"), "/");
        assert_eq!(becomes(prefix, "/api/"), "/");
        assert_eq!(becomes(prefix, "/api/a%2Fb/c%20d"), "/a%2Fb/c%20d");
        assert_eq!(becomes(prefix, "/%61pi/x"), "/x");
        assert_eq!(becomes(prefix, "/api//evil.example"), "/evil.example");
        assert_eq!(becomes(prefix, "/api/a[0]|\"b\"/ü"), "/a[0]|\"b\"/ü");
        assert_eq!(becomes(prefix, "/api/100%"), "/100%");
        assert_eq!(becomes(prefix, "/apix/y"), "unchanged");
        assert_eq!(becomes(prefix, "/x/api"), "unchanged");
        assert_eq!(becomes(prefix, "//api"), "unchanged");
        assert_eq!(becomes(prefix, "/"), "unchanged");
    }
    assert_eq!(becomes(r#"{"strip_prefix":"/a/b"}"#, "/a/b/c"), "/c");
    assert_eq!(becomes(r#"{"strip_prefix":"/a/b"}"#, "/a"), "unchanged");
}

#[test]
fn a_prefix_with_escapes_is_one_without() {
    let prefix = r#"{"strip_prefix":"/%61%2Fb"}"#;
    assert_eq!(becomes(prefix, "/a%2fb/c"), "/c");
    assert_eq!(becomes(prefix, "/%61%2Fb/c"), "/c");
    assert_eq!(becomes(prefix, "/a/b/c"), "unchanged");
    let prefix = r#"{"strip_prefix":"/api"}"#;
    assert_eq!(becomes(prefix, "/api%2Fx"), "unchanged");
    assert_eq!(becomes(prefix, "/api%/x"), "unchanged");
    assert_eq!(becomes(prefix, "/ap%69"), "/");
}

#[test]
fn rules_follow_one_another() {
    let json = r#"{"strip_prefix":"/api","regex":[{"match":"^/v(\\d+)/","replace":"/version-$1/"},
                  {"match":"/+","replace":"/"}],"add_prefix":"/base/"}"#;
    assert_eq!(becomes(json, "/api/v2//x"), "/base/version-2/x");
    assert_eq!(becomes(json, "/y"), "/base/y");
    assert_eq!(becomes(r#"{"add_prefix":"/base"}"#, "/"), "/base/");
    assert_eq!(
        becomes(
            r#"{"regex":[{"match":"(?<a>[^/]+)/(?<b>[^/]+)$","replace":"${b}/${a}"}]}"#,
            "/x/y"
        ),
        "/y/x"
    );
    assert_eq!(
        becomes(r#"{"regex":[{"match":"^/x","replace":""}]}"#, "/x"),
        "/"
    );
}

#[test]
fn a_client_cannot_climb_or_break_the_path() {
    assert_eq!(
        rewrite(r#"{"template":"/v2/{id}"}"#, "/x"),
        Err(RewriteError::DotSegment)
    );
    assert_eq!(
        rewrite(r#"{"strip_prefix":"/api"}"#, "/api/%2E%2e/admin"),
        Err(RewriteError::DotSegment)
    );
    assert_eq!(
        rewrite(r#"{"regex":[{"match":".$","replace":""}]}"#, "/a%20"),
        Err(RewriteError::NoPath)
    );
}

#[test]
fn a_wrong_configuration_names_its_key() {
    for (json, expected) in [
        (r#"{"strip":"/x"}"#, "strip: unknown field `strip`"),
        (r#"{"strip_prefix":"x"}"#, "strip_prefix: a prefix is"),
        (r#"{"strip_prefix":"/"}"#, "strip_prefix: a prefix is"),
        (
            r#"{"add_prefix":"/a b"}"#,
            "add_prefix: \"/a b\" has characters",
        ),
        (r#"{"template":"/{"}"#, "template: no"),
        (
            r#"{"template":"/x","strip_prefix":"/y"}"#,
            "strip_prefix: template replaces",
        ),
        (
            r#"{"regex":[{"match":"(","replace":""}]}"#,
            "regex[0]: regex parse error",
        ),
        (
            r#"{"regex":[{"match":"a","replace":"$1"}]}"#,
            "regex[0]: the pattern has no group",
        ),
        (
            r#"{"regex":[{"match":"a","replace":"/x?y"}]}"#,
            "regex[0].replace: it has characters",
        ),
        (
            r#"{"regex":[{"match":"a","with":"b"}]}"#,
            "regex[0].with: unknown field",
        ),
    ] {
        let error = rules(json).err().unwrap_or_default();
        assert!(error.starts_with(expected), "{json}\n  {error}");
    }
}

proptest! {
    #[test]
    fn what_comes_out_is_a_path_with_one_slash_before_it(path in "/[a-c/%.2eF]{0,16}") {
        for json in [
            r#"{"strip_prefix":"/a"}"#,
            r#"{"add_prefix":"/b"}"#,
            r#"{"strip_prefix":"/a","regex":[{"match":"^/b","replace":"//c"},{"match":"c","replace":""}]}"#,
            r#"{"template":"/x/{id}/{*id}"}"#,
        ] {
            let new = rules(json).unwrap().rewrite(&path, |_| Some(path.clone()));
            if let Ok(Some(new)) = new {
                prop_assert!(new.starts_with('/') && !new.starts_with("//"), "{json}: {path} {new}");
                prop_assert!(may_stand_in_path(&new) && (has_whole_escapes(&new) || !has_whole_escapes(&path)));
                prop_assert!(!new.split('/').any(|s| matches!(&*decoded(s.as_bytes()), b"." | b"..")));
            }
        }
    }

    #[test]
    fn stripping_what_was_added_gives_the_path_back(path in "(/[a-z0-9~%]{1,4}){1,4}") {
        prop_assume!(is_path_text(&path) && !path.contains("%2"));
        if let Ok(added) = rewrite(r#"{"add_prefix":"/p/q"}"#, &path) {
            prop_assert_eq!(rewrite(r#"{"strip_prefix":"/p/q"}"#, &added.unwrap()), Ok(Some(path)));
        }
    }
}
