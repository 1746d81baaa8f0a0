//! Messages to one client, wherever it is.

use super::presence::process;
use super::*;

/// Does in each hook of a hub what its configuration says.
const HUB_PROBE: &str = env!("GUEST_HUB_PROBE");

fn direct(to: &Value) -> Value {
    json!({ "type": "direct", "to": to, "data": "psst", "id": 9 })
}

/// A client that is in no room, and its identifier.
#[track_caller]
fn stranger(address: std::net::SocketAddr) -> (Value, WebSocket) {
    let mut socket = WebSocket::open(address, "/ws");
    (read(&mut socket)["client"].clone(), socket)
}

#[test]
fn a_message_finds_its_client_at_another_gateway_and_the_answer_comes_back() {
    let redis = RedisServer::start();
    let servers = two(&redis, "");
    let third = hub(&redis, "");
    connected(&third);
    let (from, mut one) = stranger(servers[0].address());
    let (to, mut other) = stranger(servers[1].address());
    for _ in 0..3 {
        let delivered = json!({ "type": "delivered", "id": 9 });
        assert_eq!(ask(&mut one, &direct(&to)), delivered);
        let message = json!({ "type": "direct", "from": from, "data": "psst" });
        assert_eq!(read(&mut other), message);
    }
    // Its own connection is no other gateway's.
    let command = direct(&from);
    one.text(&command.to_string());
    let mut both = [read(&mut one), read(&mut one)].map(|event| event["type"].clone());
    both.sort_by_key(Value::to_string);
    assert_eq!(both, ["delivered", "direct"]);
    let error = ask(&mut one, &direct(&json!("nobody")));
    assert_eq!(
        (&error["code"], &error["id"]),
        (&json!("no-such-client"), &json!(9))
    );
    let text = Message::Text("{\"n\":1}".to_owned());
    let to = to.as_str().unwrap();
    let api = servers[0].hub();
    assert_eq!(servers[0].ask(api.send_to(to, &text)), Ok(true));
    let message = json!({ "type": "direct", "data": { "n": 1 } });
    assert_eq!(read(&mut other), message);
    assert_eq!(servers[0].ask(api.send_to("nobody", &text)), Ok(false));
    assert_eq!(servers[0].ask(api.send_to("no\nname", &text)), Ok(false));
}

#[test]
fn what_a_plugin_sends_goes_to_all_connections_of_the_client() {
    let redis = RedisServer::start();
    let start = || {
        let url = redis.url();
        let server = HubServer::start(&format!(
            "path = \"/ws\"\nmode = \"hooks\"\nplugins = [\"p\"]\nbackplane = \"{url}\"\n\
             [plugins.p]\ncomponent = \"{HUB_PROBE}\"\nlimits = {{ time = \"10s\", wall = \"10s\" }}\n\
             config = {{ connect = {{ id = \"ann\" }}, message = [{{ do = \"send-to\", client = \"ann\", text = \"hi\" }}] }}"
        ));
        connected(&server);
        server
    };
    let servers = [start(), start()];
    let mut sockets = servers
        .each_ref()
        .map(|server| WebSocket::open(server.address(), "/ws"));
    for socket in &mut sockets {
        // In the registry is who has been answered.
        socket.frame(0x89, b"");
        assert_eq!(socket.read(), Frame::Pong(Vec::new()));
    }
    sockets[0].text("now");
    for socket in &mut sockets {
        assert_eq!(socket.read_text(), "hi");
    }
}

#[test]
fn what_cannot_be_known_is_busy_and_who_is_here_gets_it_all_the_same() {
    let mut redis = RedisServer::start();
    let server = hub(&redis, "");
    connected(&server);
    let (silent, address) = process(&redis);
    let (to, _socket) = stranger(address);
    let (_, mut one) = stranger(server.address());
    assert_eq!(ask(&mut one, &direct(&to))["type"], "delivered");
    silent.signal("STOP");
    let error = ask(&mut one, &direct(&to));
    assert_eq!(
        (&error["code"], &error["id"]),
        (&json!("busy"), &json!(9)),
        "{error}"
    );
    drop(silent);
    redis.kill();
    disconnected(&server);
    assert_eq!(ask(&mut one, &direct(&to))["code"], "busy");
    let (here, mut near) = stranger(server.address());
    assert_eq!(ask(&mut one, &direct(&here))["type"], "delivered");
    assert_eq!(read(&mut near)["type"], "direct");
}
