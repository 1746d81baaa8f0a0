//! Plugins and requests that ask for another protocol: heads are theirs, what follows is nobody's.

use sluicegate_tests::http2::Http2;
use sluicegate_tests::{Gateway, RawUpstream};

use super::guests::probe;

const ASKING: &str = "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nx-secret: 1\r\n\r\n";

fn switching() -> RawUpstream {
    RawUpstream::start(|wire| {
        let head = wire.read_head();
        let seen = head.header("x-in").unwrap_or("nothing").to_owned();
        assert_eq!(head.header("upgrade"), Some("websocket"));
        assert_eq!(head.header("content-length"), None);
        wire.write(format!(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nx-seen: {seen}\r\n\r\n"
        ));
        if let Ok(bytes) = wire.try_read_exact(4) {
            wire.write(bytes);
        }
        let _ = wire.wait_for_close();
    })
}

fn through(plugins: &[(&str, String)], upstream: &RawUpstream) -> Gateway {
    let mut builder = Gateway::new().upstream("a", [upstream.url()]);
    let mut names = Vec::new();
    for (name, text) in plugins {
        builder = builder.toml(text);
        names.push(format!("\"{name}\""));
    }
    let list = format!("plugins = [{}]", names.join(", "));
    builder.route_with("/{*rest}", "a", &list).start()
}

#[test]
fn directors_and_modifiers_see_the_handshake_and_bodies_are_left_alone() {
    let upstream = switching();
    let heads = probe(
        "heads",
        r#"
        request = [{ do = "set-header", name = "x-in", value = "directed" }]
        response = [{ do = "set-header", name = "x-out", value = "modified" }]
        "#,
    );
    let body = "[plugins.body]\ncomponent = \"builtin:body-mutate\"\n\
        config = { request = { types = [\"*/*\"], replace = [{ find = \"ping\", with = \"PING\" }] }, \
        response = { types = [\"*/*\"], replace = [{ find = \"ping\", with = \"pong\" }] } }\n";
    let gateway = through(&[("heads", heads), ("body", body.to_owned())], &upstream);
    let mut wire = gateway.connect();
    wire.write(ASKING);
    let head = wire.read_head();
    assert_eq!(head.status(), 101);
    assert_eq!(head.header("x-seen"), Some("directed"));
    assert_eq!(head.header("x-out"), Some("modified"));
    assert_eq!(head.header("upgrade"), Some("websocket"));
    wire.write("ping");
    assert_eq!(wire.read_exact(4), b"ping");
}

#[test]
fn a_director_can_refuse_and_a_modifier_can_take_the_switch_back() {
    let upstream = switching();
    let refusing = probe(
        "p",
        r#"request = [{ do = "reply", status = 403, body = "no" }]"#,
    );
    let gateway = through(&[("p", refusing)], &upstream);
    let mut wire = gateway.connect();
    wire.write(ASKING);
    let response = wire.read_response("GET");
    assert_eq!((response.status(), response.text()), (403, "no"));
    assert_eq!(upstream.connections(), 0);

    let taking_back = probe("p", r#"response = [{ do = "set-status", status = 403 }]"#);
    let gateway = through(&[("p", taking_back)], &upstream);
    let mut wire = gateway.connect();
    // The connection is as good as before, and what follows is a request.
    for _ in 0..2 {
        wire.write(ASKING);
        let response = wire.read_response("GET");
        assert_eq!((response.status(), response.text()), (403, ""));
        assert_eq!(response.header("upgrade"), None);
    }
}

#[test]
fn plugins_see_a_websocket_over_http_2_as_the_same_handshake_and_can_refuse_it() {
    let upstream = switching();
    let heads = probe(
        "heads",
        r#"
        request = [{ do = "set-header", name = "x-in", value = "directed" }]
        response = [{ do = "set-header", name = "x-out", value = "modified" }]
        "#,
    );
    let gateway = through(&[("heads", heads)], &upstream);
    Http2::run(async {
        let client = Http2::connect(gateway.address()).await;
        let (head, mut tunnel) = client.connect_to("websocket", "http://a/chat", &[]).await;
        assert_eq!(head.status(), 200);
        assert_eq!(head.headers()["x-seen"], "directed");
        assert_eq!(head.headers()["x-out"], "modified");
        tunnel.write("ping");
        assert_eq!(tunnel.read_exact(4).await, b"ping");
    });
    for (script, status, connections) in [
        (
            r#"request = [{ do = "reply", status = 403, body = "no" }]"#,
            403,
            1,
        ),
        // Over HTTP/2 a success would be the switch.
        (
            r#"request = [{ do = "reply", status = 200, body = "no" }]"#,
            502,
            1,
        ),
        (
            r#"response = [{ do = "set-status", status = 403 }]"#,
            403,
            2,
        ),
        (
            r#"response = [{ do = "set-status", status = 204 }]"#,
            502,
            3,
        ),
    ] {
        let gateway = through(&[("p", probe("p", script))], &upstream);
        Http2::run(async {
            let client = Http2::connect(gateway.address()).await;
            let (head, mut tunnel) = client.connect_to("websocket", "http://a/chat", &[]).await;
            assert_eq!(head.status(), status, "{script}");
            assert_eq!(head.headers().get("upgrade"), None);
            tunnel.read_to_end().await.unwrap();
        });
        assert_eq!(upstream.connections(), connections, "{script}");
    }
}
