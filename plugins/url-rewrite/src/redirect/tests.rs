use super::*;
use proptest::prelude::*;

struct Fake(&'static [u8]);
impl Source for Fake {
    fn value(&self, variable: &Variable) -> Vec<u8> {
        match variable {
            Variable::Host => self.0.to_vec(),
            Variable::Scheme => b"http".to_vec(),
            _ => b"//evil.example/\r\nset-cookie: a=b".to_vec(),
        }
    }
}

fn redirect(to: &str) -> Result<Redirect, String> {
    Redirect::new(config::Redirect {
        status: 308,
        to: to.parse()?,
    })
}

fn location(to: &str, path: &str, query: Option<&str>) -> Option<String> {
    redirect(to)
        .unwrap()
        .location(path, query, &Fake(b"example.com:8080"))
}

#[test]
fn targets_are_filled() {
    let to = "https://${host}${path}?${query}";
    assert_eq!(
        location(to, "/a%20b", Some("x=1")).unwrap(),
        "https://example.com:8080/a%20b?x=1"
    );
    assert_eq!(
        location(to, "/a", None).unwrap(),
        "https://example.com:8080/a"
    );
    assert_eq!(
        location("/new${path}?${query}&from=old", "/a", None).unwrap(),
        "/new/a?from=old"
    );
    assert_eq!(
        location("/new${path}?from=old&${query}", "/a", None).unwrap(),
        "/new/a?from=old"
    );
    assert_eq!(
        location("/new${path}?${query}&from=old", "/a", Some("q")).unwrap(),
        "/new/a?q&from=old"
    );
    assert_eq!(location("/fixed", "/a", Some("q")).unwrap(), "/fixed");
}

#[test]
fn a_client_cannot_turn_it_elsewhere() {
    for path in [
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\\/evil.example",
        "///evil.example",
    ] {
        let to = location("${path}", path, None).unwrap();
        assert!(to.starts_with("/evil.example"), "{path} {to}");
        assert_eq!(
            location("/${path}", path, None).unwrap(),
            "/evil.example",
            "{path}"
        );
    }
    assert_eq!(
        location("/${query}", "/a", Some("/evil.example")).unwrap(),
        "/evil.example"
    );
    let to = location("/x/${param:a}", "/a", None).unwrap();
    assert_eq!(to, "/x/%2F%2Fevil.example%2F%0D%0Aset-cookie%3A%20a%3Db");
    assert_eq!(
        location("${path}", "/a\r\nb", Some("")).unwrap(),
        "/a%0D%0Ab"
    );
    for host in [
        b"evil.example/@".as_slice(),
        b"a@b",
        b"a\r\nb",
        b"",
        b"\xff",
    ] {
        let to = redirect("https://${host}${path}").unwrap();
        assert_eq!(to.location("/", None, &Fake(host)), None);
    }
}

#[test]
fn a_request_that_is_there_already_is_seen() {
    let fake = Fake(b"example.com");
    assert!(is_where_it_is(
        "http://example.com/a?q",
        "/a",
        Some("q"),
        &fake
    ));
    assert!(!is_where_it_is(
        "https://example.com/a?q",
        "/a",
        Some("q"),
        &fake
    ));
    assert!(is_where_it_is("/a", "/a", None, &fake));
    assert!(!is_where_it_is("/b", "/a", None, &fake));
}

#[test]
fn a_wrong_target_is_refused() {
    for to in [
        "",
        "//evil.example",
        "example.com",
        "ftp://x/",
        "javascript:alert(1)",
        "https://",
        "https:///x",
        "${host}/x",
        "https://${param:a}/",
        "https://${header:x}.example.com/",
        "https://user@example.com/",
        "https://x${query}",
        "${scheme}/x",
        "/a b",
        "/a\nb",
        "/\\x",
        "/${status}",
        "https://${path}",
    ] {
        assert!(redirect(to).is_err(), "{to}");
    }
    for to in [
        "/",
        "${path}",
        "/x/${param:a}",
        "https://a.example",
        "${scheme}://${host}/x",
        "https://www.${host}/",
    ] {
        assert!(redirect(to).is_ok(), "{to}");
    }
    let error = Redirect::new(config::Redirect {
        status: 200,
        to: "/".parse().unwrap(),
    })
    .unwrap_err();
    assert!(error.starts_with("redirect.status: 301"));
}

proptest! {
    #[test]
    fn a_location_has_one_host_and_one_line(path in "[/\\\\a.:@?#%\r\n ]{0,12}", query in "[/&=a?#\r\n]{0,8}") {
        for to in ["${path}", "/${path}?${query}", "/x?${query}", "https://${host}${path}?${query}"] {
            let to = location(to, &path, Some(&query)).unwrap();
            prop_assert!(to.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert!(!to.starts_with("//") && !to.contains('\\'));
            prop_assert!(to.starts_with('/') || to.starts_with("https://example.com:8080/"));
        }
    }
}
