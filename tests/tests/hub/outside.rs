//! What operators and plugins do to a hub from outside.

use serde_json::{Value, json};
use sluicegate::hub::api::ApiError;
use sluicegate::hub::hooks::Message;
use sluicegate::websocket::close::Close;
use sluicegate_tests::{Frame, HubServer, WebSocket};

#[test]
fn one_client_is_told_something_and_then_ended() {
    let server = HubServer::start("path = \"/ws\"");
    let mut socket = WebSocket::open(server.address(), "/ws");
    let welcome: Value = serde_json::from_str(&socket.read_text()).unwrap();
    let id = welcome["client"].as_str().unwrap();
    let hub = server.hub();
    let text = Message::Text("not JSON: a string".into());
    assert_eq!(server.ask(hub.send_to(id, &text)), Ok(true));
    let direct: Value = serde_json::from_str(&socket.read_text()).unwrap();
    assert_eq!(
        direct,
        json!({ "type": "direct", "data": "not JSON: a string" })
    );
    assert_eq!(server.ask(hub.send_to("nobody", &text)), Ok(false));
    let close = Close::with_reason(4321, "go away".into());
    assert_eq!(hub.disconnect("nobody", &close), 0);
    assert_eq!(hub.disconnect(id, &close), 1);
    assert_eq!(socket.read_close(), (4321, "go away".to_owned()));
}

#[test]
fn raw_hubs_get_raw_messages() {
    let server = HubServer::start("path = \"/ws\"\nmode = \"relay\"");
    let mut socket = WebSocket::open(server.address(), "/ws");
    sluicegate_tests::wait_until("it is there", || {
        !server.ask(server.hub().rooms(1)).is_empty()
    });
    let binary = Message::Binary(vec![0, 1, 2].into());
    server.ask(server.hub().publish("/ws", &binary)).unwrap();
    assert_eq!(socket.read(), Frame::Binary(vec![0, 1, 2]));
    server
        .hub()
        .broadcast(&Message::Text("all".into()))
        .unwrap();
    assert_eq!(socket.read_text(), "all");
}

#[test]
fn what_is_refused() {
    let server = HubServer::start("path = \"/ws\"\nlimits.message = \"1KiB\"");
    let hub = server.hub();
    let binary = Message::Binary(vec![0].into());
    let large = Message::Text("x".repeat(1025));
    let text = Message::Text("x".into());
    assert_eq!(
        server.ask(hub.publish("a", &binary)),
        Err(ApiError::NoBinary)
    );
    assert_eq!(
        server.ask(hub.publish("a", &large)),
        Err(ApiError::TooLarge)
    );
    assert_eq!(server.ask(hub.publish("", &text)), Err(ApiError::BadName));
    assert_eq!(hub.broadcast(&binary), Err(ApiError::NoBinary));
}
