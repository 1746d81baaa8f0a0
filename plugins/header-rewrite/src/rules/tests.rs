use super::*;
use crate::HeaderRewrite;
use crate::config::Config;
use proptest::prelude::*;
use sluicegate_plugin::headers::edit_one_by_one;
use sluicegate_plugin::template::Variable;
use sluicegate_plugin::{Hook, Plugin};
use std::cell::{Cell, RefCell};

/// A head as a list of fields, which counts the calls that a real one would make to the gateway.
#[derive(Default)]
struct Fake {
    fields: RefCell<Vec<(String, Vec<u8>)>>,
    calls: Cell<u32>,
}

impl Fake {
    fn new(fields: &[(&str, &str)]) -> Self {
        let fields = fields
            .iter()
            .map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec()))
            .collect();
        Self {
            fields: RefCell::new(fields),
            calls: Cell::new(0),
        }
    }
    fn called(&self) {
        self.calls.set(self.calls.get() + 1);
    }
    fn text(&self) -> String {
        let fields = self.fields.borrow();
        fields
            .iter()
            .map(|(n, v)| format!("{n}={}", String::from_utf8_lossy(v)))
            .collect::<Vec<_>>()
            .join("; ")
    }
}

impl Headers for Fake {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.called();
        self.fields
            .borrow()
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.clone())
    }
    fn header_values(&self, name: &str) -> Vec<Vec<u8>> {
        self.called();
        self.fields
            .borrow()
            .iter()
            .filter(|(n, _)| n == name)
            .map(|(_, v)| v.clone())
            .collect()
    }
    fn set_header(&self, name: &str, value: &[u8]) -> Result<(), EditError> {
        self.called();
        self.fields.borrow_mut().retain(|(n, _)| n != name);
        self.fields
            .borrow_mut()
            .push((name.to_owned(), value.to_vec()));
        Ok(())
    }
    fn append_header(&self, name: &str, value: &[u8]) -> Result<(), EditError> {
        self.called();
        self.fields
            .borrow_mut()
            .push((name.to_owned(), value.to_vec()));
        Ok(())
    }
    fn edit_headers(&self, edits: &[HeaderEdit]) -> Result<(), EditError> {
        let before = self.calls.get();
        let result = edit_one_by_one(self, edits);
        self.calls.set(before + 1);
        result
    }
    fn remove_header(&self, name: &str) {
        self.called();
        self.fields.borrow_mut().retain(|(n, _)| n != name);
    }
}

impl Source for Fake {
    fn value(&self, variable: &Variable) -> Vec<u8> {
        match variable {
            Variable::Header(name) => self.header(name).unwrap_or_default(),
            Variable::ClientIp => b"192.0.2.1".to_vec(),
            Variable::Param(_) => b"7\r\nx-evil: 1".to_vec(),
            Variable::Status => b"204".to_vec(),
            _ => Vec::new(),
        }
    }
}

fn plugin(json: &str) -> Result<HeaderRewrite, String> {
    let config: Config = sluicegate_plugin::config::parse(json)?;
    HeaderRewrite::new(config).map_err(|error| error.to_string())
}

fn request(json: &str, fields: &[(&str, &str)]) -> Fake {
    let head = Fake::new(fields);
    plugin(&format!("{{\"request\":{json}}}"))
        .unwrap()
        .request
        .apply(&head, &head)
        .unwrap();
    head
}

#[test]
fn rules_run_in_their_order_whatever_the_order_in_the_file() {
    let head = request(
        r#"{"append":{"x-a":["3","4"]},"default":{"x-a":"no","x-d":"d"},"set":{"X-A":"2"},"remove":["x-b"],"rename":{"x-b":"x-c"}}"#,
        &[("x-a", "1"), ("x-b", "b1"), ("x-b", "b2"), ("x-c", "old")],
    );
    assert_eq!(head.text(), "x-c=b1; x-c=b2; x-a=2; x-d=d; x-a=3; x-a=4");
}

#[test]
fn values_take_variables_and_never_a_line_break() {
    let head = request(
        r#"{"set":{"x-ip":"<${client_ip}>","x-id":"${param:id}","x-from":"${header:x-none}","x-usd":"$$5"}}"#,
        &[],
    );
    assert_eq!(
        head.text(),
        "x-from=; x-id=7%0D%0Ax-evil: 1; x-ip=<192.0.2.1>; x-usd=$5"
    );
}

#[test]
fn few_calls_are_made() {
    assert_eq!(request("{}", &[]).calls.get(), 0);
    assert_eq!(
        request(r#"{"default":{"x-a":"1"}}"#, &[("x-a", "0")])
            .calls
            .get(),
        1
    );
    assert_eq!(request(r#"{"default":{"x-a":"1"}}"#, &[]).calls.get(), 1);
    assert_eq!(
        request(r#"{"set":{"x-a":"1"},"remove":["x-b"]}"#, &[])
            .calls
            .get(),
        1
    );
    // The variable's value depends on what stands before it.
    assert_eq!(
        request(
            r#"{"set":{"x-a":"1"},"append":{"x-b":["2","${header:x-a}","3","4"]}}"#,
            &[]
        )
        .calls
        .get(),
        1 + 2 + 1
    );
    assert_eq!(request(r#"{"rename":{"x-a":"x-b"}}"#, &[]).calls.get(), 1);
}

#[test]
fn the_response_knows_its_status() {
    let plugin =
        plugin(r#"{"response":{"set":{"x-status":"${status}"},"remove":["server"]}}"#).unwrap();
    let head = Fake::new(&[("server", "x")]);
    plugin.response.apply(&head, &head).unwrap();
    assert_eq!(head.text(), "x-status=204");
}

#[test]
fn host_is_the_authority() {
    let plugin = plugin(r#"{"request":{"set":{"Host":"${client_ip}.internal"}}}"#).unwrap();
    let head = Fake::new(&[]);
    plugin.request.apply(&head, &head).unwrap();
    assert_eq!(head.text(), "");
    assert_eq!(plugin.request.host(&head).unwrap(), "192.0.2.1.internal");
}

#[test]
fn a_wrong_configuration_names_its_key() {
    for (json, expected) in [
        (
            r#"{"requests":{}}"#,
            "requests: unknown field `requests`, expected `request` or `response`",
        ),
        (
            r#"{"request":{"sett":{}}}"#,
            "request.sett: unknown field `sett`",
        ),
        (
            r#"{"request":{"set":{"x-a":"${nope}"}}}"#,
            "request.set.x-a: no variable is called ${nope}",
        ),
        (
            r#"{"request":{"set":{"x-a":"${status}"}}}"#,
            "request.set.x-a: ${status} is known on the response's side",
        ),
        (
            r#"{"request":{"append":{"x-a":["1","${status}"]}}}"#,
            "request.append.x-a: ${status} is known",
        ),
        (
            r#"{"request":{"set":{"x a":"1"}}}"#,
            "request.set.x a: \"x a\" is not a header name",
        ),
        (
            r#"{"request":{"set":{"x-a":"1\r\n2"}}}"#,
            "request.set.x-a: a header value has no line breaks",
        ),
        (
            r#"{"request":{"set":{"x-a":" 1"}}}"#,
            "request.set.x-a: a header value does not begin or end",
        ),
        (
            r#"{"request":{"set":{"x-a":"1","X-A":"2"}}}"#,
            "request.set.x-a: the field is named twice",
        ),
        (
            r#"{"response":{"remove":["Content-Length"]}}"#,
            "response.remove.Content-Length: content-length belongs",
        ),
        (
            r#"{"request":{"remove":["host"]}}"#,
            "request.remove: of host there is only request.set.host",
        ),
        (
            r#"{"request":{"rename":{"a":"A"}}}"#,
            "request.rename.a: the new name is the old one",
        ),
        (
            r#"{"request":{"remove":"x"}}"#,
            "request.remove: invalid type",
        ),
        (
            r#"{"request":{"append":{"x":{}}}}"#,
            "request.append.x: invalid type",
        ),
    ] {
        let error = plugin(json).err().unwrap_or_default();
        assert!(error.starts_with(expected), "{json}\n  {error}");
    }
}

#[test]
fn a_side_without_rules_is_not_called() {
    let needed = |json: &str| {
        let plugin = plugin(json).unwrap();
        [Hook::Director, Hook::Modifier].map(|hook| plugin.needs(hook))
    };
    assert_eq!(needed("{}"), [false, false]);
    assert_eq!(needed(r#"{"request":{"remove":["a"]}}"#), [true, false]);
    assert_eq!(needed(r#"{"request":{"set":{"host":"a"}}}"#), [true, false]);
    assert_eq!(
        needed(r#"{"response":{"default":{"a":"b"}}}"#),
        [false, true]
    );
}

proptest! {
    #[test]
    fn whatever_the_head_the_rules_hold(
        fields in prop::collection::vec(("x-[a-e]", "[ -~]{0,8}"), 0..12),
    ) {
        let fields: Vec<_> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let head = request(
            r#"{"rename":{"x-a":"x-b"},"remove":["x-c"],"set":{"x-d":"1"},"default":{"x-e":"2"}}"#,
            &fields,
        );
        let values = |name: &str| head.header_values(name);
        let before = |name: &str| -> Vec<Vec<u8>> {
            fields.iter().filter(|(n, _)| *n == name).map(|(_, v)| v.as_bytes().to_vec()).collect()
        };
        prop_assert!(values("x-a").is_empty() && values("x-c").is_empty());
        prop_assert_eq!(values("x-b"), if before("x-a").is_empty() { before("x-b") } else { before("x-a") });
        prop_assert_eq!(values("x-d"), vec![b"1".to_vec()]);
        prop_assert_eq!(values("x-e"), if before("x-e").is_empty() { vec![b"2".to_vec()] } else { before("x-e") });
    }
}
