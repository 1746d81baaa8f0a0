use super::fake::Fake;
use super::*;
use crate::BodyMutate;
use crate::coding::tests::{brotli, gzip};
use crate::config::Config;
use crate::streamed::Streamed;
use proptest::prelude::*;
use sluicegate_plugin::BodyKind::{KnownLength, Streaming};
use sluicegate_plugin::{Hook, Plugin, Transform};

fn plugin(json: &str) -> Result<BodyMutate, String> {
    let config: Config = sluicegate_plugin::config::parse(json)?;
    BodyMutate::new(config).map_err(|error| error.to_string())
}

fn side(json: &str) -> Side {
    plugin(&format!("{{\"response\":{json}}}"))
        .unwrap()
        .response
}

fn changed(side: &Side, fields: &[(&str, &str)], body: &[u8]) -> Result<Option<String>, Failure> {
    let head = Fake::new(fields);
    Ok(match side.change(body, &head, &head)? {
        Outcome::Unchanged => None,
        Outcome::Changed { body, .. } => Some(String::from_utf8(body).unwrap()),
    })
}

const LITERAL: &str = r#"{"replace":[{"find":"a","with":"b"}],"limit":"1KiB"}"#;
const PATTERN: &str = r#"{"replace":[{"regex":"a+","with":"b"}],"limit":"1KiB"}"#;
const HTML: (&str, &str) = ("content-type", "text/html; charset=utf-8");
const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn what_is_wanted_depends_on_the_head() {
    let intent =
        |json: &str, fields: &[(&str, &str)], body| side(json).intent(&Fake::new(fields), body);
    let stream = |kind, coding| Intent::Stream { kind, coding };
    assert_eq!(
        intent(LITERAL, &[HTML, ("content-length", "1024")], KnownLength),
        Intent::Collect(1024)
    );
    assert_eq!(
        intent(LITERAL, &[HTML, ("content-length", "1025")], KnownLength),
        stream(Kind::Markup, None)
    );
    for odd in ["", "-1", "1x", "18446744073709551617"] {
        assert_eq!(
            intent(LITERAL, &[HTML, ("content-length", odd)], KnownLength),
            stream(Kind::Markup, None),
            "{odd:?}"
        );
    }
    assert_eq!(
        intent(LITERAL, &[HTML], KnownLength),
        stream(Kind::Markup, None)
    );
    assert_eq!(
        intent(LITERAL, &[HTML], Streaming),
        stream(Kind::Markup, None)
    );
    let small = [HTML, ("content-length", "9"), ("content-encoding", "br")];
    assert_eq!(
        intent(LITERAL, &small, KnownLength),
        stream(Kind::Markup, Some(Coding::Brotli))
    );
    assert_eq!(intent(PATTERN, &small, KnownLength), Intent::Collect(1024));
    assert_eq!(intent(PATTERN, &[HTML], Streaming), Intent::Collect(1024));

    assert_eq!(intent(LITERAL, &[], Streaming), Intent::Pass);
    assert_eq!(
        intent(LITERAL, &[("content-type", "image/png")], Streaming),
        Intent::Pass
    );
    assert_eq!(
        intent(LITERAL, &[HTML, ("content-encoding", "zstd")], Streaming),
        Intent::Pass
    );
    let skip = r#"{"replace":[{"find":"a","with":"b"}],"encodings":"skip"}"#;
    assert_eq!(intent(skip, &small, KnownLength), Intent::Pass);
    assert_eq!(
        intent(PATTERN, &[("content-type", "text/event-stream")], Streaming),
        Intent::Pass
    );
    assert_eq!(
        intent(LITERAL, &[("content-type", "text/event-stream")], Streaming),
        stream(Kind::Events, None)
    );

    let json = r#"{"json":{"remove":["/a"]}}"#;
    assert_eq!(intent(json, &[JSON], Streaming), Intent::Collect(1 << 20));
    assert_eq!(intent(json, &[HTML], Streaming), Intent::Pass);
}

#[test]
fn edits_come_in_their_order() {
    let side = side(
        r#"{"json":{"set":{"/a":"find"}},
            "replace":[{"find":"find","with":"found"},{"find":"found","with":"no"},{"regex":"f(ou)nd","with":"<$1>"}],
            "prepend":"${status}${header:x}[","append":"]"}"#,
    );
    assert_eq!(
        changed(&side, &[JSON], br#"{"a":1}"#).unwrap().unwrap(),
        r#"200<b>[{"a":"<ou>"}]"#
    );
    assert_eq!(
        changed(&side, &[HTML], b"found").unwrap().unwrap(),
        "200&lt;b&gt;[no]"
    );
}

#[test]
fn a_body_in_which_nothing_is_found_stays_as_it_is() {
    let side = side(
        r#"{"json":{"remove":["/a"]},"replace":[{"find":"x","with":"y"},{"regex":"z","with":""}]}"#,
    );
    assert_eq!(changed(&side, &[JSON], b" {\"b\":1} ").unwrap(), None);
    assert_eq!(
        changed(&side, &[HTML, ("content-encoding", "gzip")], &gzip(b"abc")).unwrap(),
        None
    );
}

#[test]
fn codings_come_off_within_the_limit() {
    let side = side(PATTERN);
    assert_eq!(
        changed(&side, &[HTML, ("content-encoding", "gzip")], &gzip(b"caat"))
            .unwrap()
            .unwrap(),
        "cbt"
    );
    assert_eq!(
        changed(&side, &[HTML, ("content-encoding", "br")], &brotli(b"caat"))
            .unwrap()
            .unwrap(),
        "cbt"
    );
    let bomb = gzip(&vec![b'a'; 1 << 20]);
    let failure = changed(&side, &[HTML, ("content-encoding", "gzip")], &bomb).unwrap_err();
    assert!(matches!(failure, Failure::Decode(DecodeError::TooLarge)));
    let failure = changed(&side, &[HTML, ("content-encoding", "gzip")], b"not gzip").unwrap_err();
    assert!(matches!(failure, Failure::Decode(DecodeError::Corrupt)));
}

#[test]
fn what_is_no_json_is_left_alone_with_a_reason() {
    let failure = changed(&side(r#"{"json":{"remove":["/a"]}}"#), &[JSON], b"<html>").unwrap_err();
    assert!(
        failure
            .to_string()
            .starts_with("it is no JSON: expected value"),
        "{failure}"
    );
}

#[test]
fn a_wrong_configuration_names_its_key() {
    for (json, expected) in [
        (
            r#"{"answer":{}}"#,
            "answer: unknown field `answer`, expected `request` or `response`",
        ),
        (
            r#"{"response":{"typs":[]}}"#,
            "response.typs: unknown field",
        ),
        (
            r#"{"response":{"types":["html"]}}"#,
            "response.types[0]: \"html\" is no media type",
        ),
        (
            r#"{"response":{"replace":[{"find":"a"}]}}"#,
            "response.replace[0]: missing field `with`",
        ),
        (
            r#"{"response":{"replace":[{"with":"a"}]}}"#,
            "response.replace[0]: either find or regex",
        ),
        (
            r#"{"response":{"replace":[{"find":"a","regex":"a","with":"a"}]}}"#,
            "response.replace[0]: either find or",
        ),
        (
            r#"{"response":{"replace":[{"find":"","with":"a"}]}}"#,
            "response.replace[0].find: a text",
        ),
        (
            r#"{"request":{"replace":[{"find":"a","with":""},{"regex":"(","with":""}]}}"#,
            "request.replace[1]: regex",
        ),
        (
            r#"{"request":{"prepend":"${status}"}}"#,
            "request.prepend: ${status} is known",
        ),
        (
            r#"{"request":{"json":{"remove":["a"]}}}"#,
            "request.json.remove[0]: \"a\" is no JSON pointer",
        ),
        (
            r#"{"request":{"json":{"remove":[""]}}}"#,
            "request.json.remove[0]: the whole",
        ),
        (
            r#"{"request":{"json":{"set":{"a":1}}}}"#,
            "request.json.set: \"a\" is no JSON pointer",
        ),
        (
            r#"{"request":{"limit":"1MB"}}"#,
            "request.limit: \"1MB\" is not a size",
        ),
        (
            r#"{"request":{"limit":0}}"#,
            "request.limit: it is larger than 0",
        ),
        (
            r#"{"request":{"encodings":"gzip"}}"#,
            "request.encodings: unknown variant `gzip`, expected `decode` or `skip`",
        ),
    ] {
        let error = plugin(json).err().unwrap_or_default();
        assert!(error.starts_with(expected), "{json}\n  {error}");
    }
    assert!(plugin("{}").unwrap().response.is_empty());
}

#[test]
fn a_side_without_rules_is_not_called() {
    let needed = |json: &str| {
        let plugin = plugin(json).unwrap();
        [Hook::RequestBody, Hook::ResponseBody].map(|hook| plugin.needs(hook))
    };
    assert_eq!(needed("{}"), [false, false]);
    assert_eq!(needed(r#"{"request":{"append":"x"}}"#), [true, false]);
    assert_eq!(
        needed(r#"{"response":{"json":{"remove":["/a"]}},"request":{"limit":9}}"#),
        [false, true]
    );
}

fn streamed(
    side: &Side,
    coding: Option<Coding>,
    pieces: &[&[u8]],
) -> sluicegate_plugin::Result<Vec<u8>> {
    let around = side.around(Kind::Plain, &Fake::new(&[]));
    let mut transform = Streamed::new(side, around, coding);
    let mut out = Vec::new();
    for piece in pieces {
        out.append(&mut transform.push(piece.to_vec())?);
    }
    out.append(&mut transform.finish()?);
    Ok(out)
}

#[test]
fn a_stream_stops_at_a_bomb_and_at_a_cut() {
    let side = side(LITERAL);
    let bomb = gzip(&vec![b'a'; 8 << 20]);
    let error = streamed(
        &side,
        Some(Coding::Gzip),
        &bomb.chunks(1000).collect::<Vec<_>>(),
    )
    .unwrap_err();
    assert_eq!(error.to_string(), DecodeError::TooLarge.to_string());
    let cut = gzip(b"abc");
    assert!(streamed(&side, Some(Coding::Gzip), &[&cut[..cut.len() - 1]]).is_err());
    assert_eq!(streamed(&side, None, &[]).unwrap(), b"");
}

proptest! {
    #[test]
    fn a_stream_gives_what_the_whole_gives(text in "[abc]{0,60}", size in 1..20usize, compressed in any::<bool>()) {
        let side = side(r#"{"replace":[{"find":"ab","with":"X"},{"find":"b","with":""}],"prepend":"<","append":">"}"#);
        let head = Fake::new(&[("content-type", "text/plain")]);
        let Ok(Outcome::Changed { body: expected, .. }) = side.change(text.as_bytes(), &head, &head) else {
            panic!("text is put around");
        };
        let body = if compressed { gzip(text.as_bytes()) } else { text.into_bytes() };
        let pieces: Vec<_> = body.chunks(size).collect();
        prop_assert_eq!(streamed(&side, compressed.then_some(Coding::Gzip), &pieces).unwrap(), expected);
    }
}
