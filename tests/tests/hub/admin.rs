//! Hubs on the admin listener, and what a gateway says on a hub's path.

use serde_json::{Value, json};
use sluicegate_tests::{Gateway, RequestBuilder, Response, WebSocket, wait_until};

const HUBS: &str = "[admin]\naddress = \"127.0.0.1:0\"\n[hubs.chat]\npath = \"/ws\"\nlimits.message = \"1KiB\"\n[hubs.raw]\npath = \"/raw\"\nmode = \"relay\"";

fn ask(gateway: &Gateway, method: &str, path: &str, body: &str) -> Response {
    let request = RequestBuilder::new(gateway.admin_address().unwrap(), method, path);
    match method {
        "POST" => request.body(body).send(),
        _ => request.send(),
    }
}

fn json_of(response: &Response) -> Value {
    serde_json::from_str(response.text()).unwrap()
}

#[test]
fn lists() {
    let gateway = Gateway::from_toml(HUBS).start();
    let hubs = json_of(&ask(&gateway, "GET", "/hubs", ""));
    assert_eq!(
        hubs,
        json!([
            { "name": "chat", "path": "/ws", "mode": "rooms", "connections": 0, "clients": 0, "rooms": 0 },
            { "name": "raw", "path": "/raw", "mode": "relay", "connections": 0, "clients": 0, "rooms": 0 },
        ])
    );
    assert_eq!(json_of(&ask(&gateway, "GET", "/hubs/chat", "")), hubs[0]);
    let rooms = json_of(&ask(&gateway, "GET", "/hubs/chat/rooms", ""));
    assert_eq!(rooms, json!({ "count": 0, "rooms": [] }));
    let clients = json_of(&ask(
        &gateway,
        "GET",
        "/hubs/chat/clients?room=a%20b&limit=5",
        "",
    ));
    assert_eq!(clients, json!({ "count": 0, "clients": [] }));
}

#[test]
fn who_is_there_is_a_metric() {
    let gateway = Gateway::from_toml(HUBS).start();
    let has = |lines: &[&str]| {
        let metrics = ask(&gateway, "GET", "/metrics", "").text().to_owned();
        lines
            .iter()
            .all(|line| metrics.contains(&format!("\n{line}\n")))
    };
    assert!(has(&[
        "sluicegate_hub_connections{hub=\"chat\"} 0",
        "sluicegate_hub_rooms{hub=\"raw\"} 0"
    ]));
    let socket = WebSocket::open(gateway.address(), "/raw");
    wait_until("the connection and its room are counted", || {
        has(&[
            "sluicegate_hub_connections{hub=\"raw\"} 1",
            "sluicegate_hub_rooms{hub=\"raw\"} 1",
        ])
    });
    drop(socket);
    wait_until("they are not any more", || {
        has(&[
            "sluicegate_hub_connections{hub=\"raw\"} 0",
            "sluicegate_hub_rooms{hub=\"raw\"} 0",
        ])
    });
}

#[test]
fn what_is_published_is_numbered() {
    let gateway = Gateway::from_toml(HUBS).start();
    let publish = r#"{ "room": "a", "data": { "x": 1 } }"#;
    let first = json_of(&ask(&gateway, "POST", "/hubs/chat/publish", publish));
    let second = json_of(&ask(&gateway, "POST", "/hubs/chat/publish", publish));
    assert_eq!(
        (&first["offset"], &second["offset"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(first["epoch"], second["epoch"]);
    let all = json_of(&ask(
        &gateway,
        "POST",
        "/hubs/chat/publish",
        r#"{ "text": "hi" }"#,
    ));
    assert_eq!(all, json!({ "published": true }));
    let raw = json_of(&ask(
        &gateway,
        "POST",
        "/hubs/raw/publish",
        r#"{ "room": "/raw", "binary": "AAE=" }"#,
    ));
    assert_eq!(raw["published"], true);
}

#[test]
fn errors_have_codes() {
    let gateway = Gateway::from_toml(HUBS).start();
    let large = json!({ "room": "a", "data": "x".repeat(1100) }).to_string();
    let far_too_large = json!({ "room": "a", "data": "x".repeat(200_000) }).to_string();
    for (method, path, body, status, code) in [
        ("GET", "/hubs/nobody", "", 404, "no-such-hub"),
        ("GET", "/hubs/chat/doors", "", 404, "no-such-path"),
        ("GET", "/hubs/chat/rooms?limit=0", "", 400, "malformed"),
        ("POST", "/hubs/chat/publish", "", 400, "malformed"),
        ("POST", "/hubs/chat/publish", "[]", 400, "malformed"),
        ("POST", "/hubs/chat/publish", "{}", 400, "malformed"),
        (
            "POST",
            "/hubs/chat/publish",
            r#"{"room":1,"data":1}"#,
            400,
            "malformed",
        ),
        (
            "POST",
            "/hubs/chat/publish",
            r#"{"rom":"a","data":1}"#,
            400,
            "malformed",
        ),
        (
            "POST",
            "/hubs/chat/publish",
            r#"{"data":1,"text":"x"}"#,
            400,
            "malformed",
        ),
        (
            "POST",
            "/hubs/chat/publish",
            r#"{"room":"","data":1}"#,
            400,
            "bad-name",
        ),
        (
            "POST",
            "/hubs/chat/publish",
            r#"{"binary":"AA=="}"#,
            400,
            "no-binary",
        ),
        (
            "POST",
            "/hubs/raw/publish",
            r#"{"binary":"?"}"#,
            400,
            "malformed",
        ),
        ("POST", "/hubs/chat/publish", &large, 413, "too-large"),
        (
            "POST",
            "/hubs/chat/publish",
            &far_too_large,
            413,
            "too-large",
        ),
        ("POST", "/hubs/chat/send", r#"{"data":1}"#, 400, "malformed"),
        (
            "POST",
            "/hubs/chat/send",
            r#"{"client":"x","data":1}"#,
            404,
            "no-such-client",
        ),
        (
            "POST",
            "/hubs/chat/disconnect",
            r#"{"client":"x"}"#,
            404,
            "no-such-client",
        ),
        (
            "POST",
            "/hubs/chat/disconnect",
            r#"{"client":"x","code":1005}"#,
            400,
            "malformed",
        ),
    ] {
        let response = ask(&gateway, method, path, body);
        assert_eq!(response.status(), status, "{path} {body}");
        let answer = json_of(&response);
        assert_eq!(
            (&answer["code"], &answer["status"]),
            (&json!(code), &json!(status)),
            "{body}"
        );
        assert!(!answer["errors"][0].as_str().unwrap().is_empty());
    }
    for (method, path) in [
        ("POST", "/hubs"),
        ("DELETE", "/hubs/chat"),
        ("GET", "/hubs/chat/send"),
    ] {
        assert_eq!(
            ask(&gateway, method, path, "").status(),
            405,
            "{method} {path}"
        );
    }
    assert_eq!(ask(&gateway, "GET", "/hubsandmore", "").status(), 404);
}

#[test]
fn a_web_page_is_kept_out() {
    let gateway = Gateway::from_toml(HUBS).start();
    let request = RequestBuilder::new(
        gateway.admin_address().unwrap(),
        "POST",
        "/hubs/chat/publish",
    );
    let response = request
        .header("origin", "http://evil.example")
        .body("{\"data\":1}")
        .send();
    assert_eq!(response.status(), 403);
}

#[test]
fn a_plain_request_on_a_hubs_path_is_told_to_upgrade() {
    let gateway = Gateway::from_toml(HUBS).start();
    for response in [
        gateway.get("/ws").send(),
        gateway.post("/ws").body("x").send(),
    ] {
        assert_eq!(response.status(), 426);
        assert_eq!(response.header("upgrade"), Some("websocket"));
    }
    assert_eq!(gateway.get("/elsewhere").send().status(), 404);
}
