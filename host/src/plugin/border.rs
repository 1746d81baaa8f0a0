//! Property tests of what crosses the border from guests: whatever they hand over, what is made of it is a head that reads in one
//! way and in no other, or it is refused.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, Method};
use proptest::prelude::*;

use super::bindings::sluicegate::plugin::http::{HeaderEdit, Reply};
use super::failure::HookFailure;
use super::host_http::{edit_all, fields};
use super::reply;
use crate::config;
use crate::exchange::edit::{self, Fields};
use crate::exchange::target::Target;
use crate::exchange::{Exchange, hop_by_hop};
use crate::snapshot::Snapshot;

/// One with the default limits.
static SNAPSHOT: LazyLock<Arc<Snapshot>> = LazyLock::new(|| {
    let text = "[upstreams.u]\ntargets = [{ url = \"http://127.0.0.1:9\" }]\n[[routes]]\npath = \"/\"\nupstream = \"u\"\n";
    let loaded = config::parse(text, Path::new("gateway.toml")).unwrap();
    Arc::new(Snapshot::new(&loaded.config, None, &mut |_| {}).unwrap())
});

fn exchange() -> Exchange {
    Exchange {
        snapshot: Arc::clone(&SNAPSHOT),
        ..Exchange::vacant()
    }
}

/// Names that are right, nearly right, the gateway's own, and anything.
fn name() -> impl Strategy<Value = String> {
    let known = vec![
        "Transfer-Encoding",
        "content-length",
        "Connection",
        "host",
        "Set-Cookie",
        "x a",
        "x:",
        "x\r\ny",
        "",
    ];
    prop_oneof![
        4 => "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}",
        2 => prop::sample::select(known).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[\t -~]{0,12}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..12),
        1 => Just(b"a\r\nx-forged: 1".to_vec()),
    ]
}

fn list_of_fields() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    prop::collection::vec((name(), value()), 0..8)
}

/// What a parser that is not ours reads behind a start line.
fn reads_as(start_line: &str, headers: &HeaderMap) -> Result<(), TestCaseError> {
    let mut wire = start_line.as_bytes().to_vec();
    let mut expected = Vec::new();
    for (name, value) in headers {
        let value = value.as_bytes();
        wire.extend_from_slice(&[name.as_str().as_bytes(), b": ", value, b"\r\n"].concat());
        expected.push((name.as_str().to_owned(), value.trim_ascii().to_vec()));
    }
    wire.extend_from_slice(b"\r\n");
    let mut space = [httparse::EMPTY_HEADER; 16];
    let fields = if start_line.starts_with("HTTP") {
        let mut response = httparse::Response::new(&mut space);
        prop_assert_eq!(
            response.parse(&wire),
            Ok(httparse::Status::Complete(wire.len()))
        );
        response.headers
    } else {
        let mut request = httparse::Request::new(&mut space);
        prop_assert_eq!(
            request.parse(&wire),
            Ok(httparse::Status::Complete(wire.len()))
        );
        let line = format!(
            "{} {} HTTP/1.1\r\n",
            request.method.unwrap_or_default(),
            request.path.unwrap_or_default()
        );
        prop_assert_eq!(line, start_line);
        request.headers
    };
    let read: Vec<_> = fields
        .iter()
        .map(|field| (field.name.to_owned(), field.value.trim_ascii().to_vec()))
        .collect();
    prop_assert_eq!(read, expected);
    Ok(())
}

proptest! {
    #[test]
    fn a_reply_is_one_response_with_the_frame_that_it_has(
        status in prop_oneof![4 => 200_u16..600, 1 => any::<u16>()],
        headers in list_of_fields(),
        body in prop::collection::vec(any::<u8>(), 0..20),
        is_head in any::<bool>(),
    ) {
        let mut exchange = exchange();
        if is_head {
            exchange.request.received_method = Method::HEAD;
        }
        let length = body.len();
        match reply::accept(&mut exchange, Reply { status, headers, body }) {
            Err(HookFailure::BadAnswer(_)) => {}
            Err(failure) => prop_assert!(false, "{failure}"),
            Ok(body) => {
                let head = exchange.response.unwrap();
                for name in head.headers.keys() {
                    prop_assert!(name == CONTENT_LENGTH || !hop_by_hop::is_forbidden(name), "{name}");
                }
                let lengths: Vec<_> = head.headers.get_all(CONTENT_LENGTH).iter().collect();
                if is_head || matches!(status, 204 | 304) {
                    prop_assert!(lengths.is_empty());
                } else {
                    let expected = length.to_string();
                    prop_assert_eq!(lengths, [expected.as_str()]);
                    prop_assert_eq!(http_body::Body::size_hint(&body).exact(), Some(length as u64));
                }
                reads_as(&format!("HTTP/1.1 {} x\r\n", head.status.as_str()), &head.headers)?;
            }
        }
    }

    #[test]
    fn a_request_line_and_its_host_are_those_that_were_set(
        method in prop_oneof!["[A-Z]{1,7}", "[!-~]{1,7}", any::<String>()],
        path in prop_oneof!["/[a-z/.%2eF;?# ]{0,12}", any::<String>()],
        query in prop::option::of(prop_oneof!["[a-z=&;%2# ]{0,12}", any::<String>()]),
        authority in prop_oneof!["[a-z.]{1,8}(:[0-9]{1,5})?", "[ -~]{0,8}", any::<String>()],
    ) {
        let mut target = Target::from_client("/".parse().unwrap()).unwrap();
        let (Ok(method), Ok(()), Ok(()), Ok(authority)) = (
            edit::method(&method),
            target.set_path(&path),
            target.set_query(query.as_deref()),
            edit::authority(&authority),
        ) else {
            return Ok(());
        };
        let sent: String = target.written("/base").collect();
        prop_assert!(sent.starts_with("/base/"), "{sent}");
        let mut headers = HeaderMap::new();
        headers.insert(HOST, authority);
        reads_as(&format!("{method} {sent} HTTP/1.1\r\n"), &headers)?;
    }

    #[test]
    fn what_a_guest_is_shown_it_can_put_back(list in list_of_fields()) {
        let edits = |list: Vec<(String, Vec<u8>)>| {
            let (mut headers, mut added) = (HeaderMap::new(), 0);
            for (name, value) in list {
                // One by one: a refused one changes nothing, and does not keep the others out.
                let fields = Fields {
                    headers: &mut headers,
                    added: &mut added,
                    budget: SNAPSHOT.head_budget,
                };
                let _ = edit_all(fields, vec![HeaderEdit::Append((name, value))]);
            }
            headers
        };
        let headers = edits(list);
        reads_as("GET / HTTP/1.1\r\n", &headers)?;
        prop_assert_eq!(edits(fields(&headers)), headers);
    }
}
