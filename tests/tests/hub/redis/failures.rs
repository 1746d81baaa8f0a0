//! What goes wrong with Redis, or is too much for a gateway.

use std::sync::Arc;

use sluicegate::hub::delivery::{Delivery, Question};
use sluicegate_tests::{Gateway, RequestBuilder, Signal};

use super::*;

#[test]
fn readiness_names_the_hub_that_has_no_backplane() {
    let mut redis = RedisServer::absent();
    let url = redis.url();
    let gateway = Gateway::from_toml(&format!(
        "[admin]\naddress = \"127.0.0.1:0\"\n[hubs.chat]\npath = \"/ws\"\nbackplane = \"{url}\""
    ))
    .start();
    let ready = || RequestBuilder::new(gateway.admin_address().unwrap(), "GET", "/readyz").send();
    let reason = "hub \\\"chat\\\" has no connection to its backplane";
    let answer = ready();
    assert_eq!(answer.status(), 503);
    assert!(answer.text().contains(reason), "{}", answer.text());
    redis.bring_back();
    wait_until("it is ready", || ready().status() == 200);
    assert!(!ready().text().contains("backplane"));
    redis.kill();
    wait_until("it is not ready", || ready().status() == 503);
    assert!(ready().text().contains(reason));
}

#[test]
fn a_password_is_not_in_the_log_where_the_server_repeats_it() {
    let mut redis = RedisServer::absent();
    let password = "topsecret";
    redis.bring_back_with(&["--requirepass", password, "--rename-command", "HELLO", ""]);
    let url = redis.url().replace("redis://", "redis://:topsecret@");
    let (process, _) = process(&url, "");
    wait_until("the log says what is wrong", || {
        let log = process.stderr();
        log.contains("has no connection to") && log.ends_with('\n')
    });
    let log = process.stderr();
    let told = "HELLO was refused (ERR); Redis 6 or newer is needed, and the right password";
    assert!(log.contains(told), "{log}");
    assert!(!log.contains(password), "{log}");
}

#[test]
fn scripts_that_redis_has_forgotten_are_sent_again() {
    let redis = RedisServer::start();
    let servers = two(&redis, "");
    let (mut one, _) = join(&servers[0], "a");
    let (mut other, _) = join(&servers[1], "a");
    redis.command(&["SCRIPT", "FLUSH"]);
    let command = json!({ "type": "publish", "room": "a", "data": 1, "id": 1 });
    assert_eq!(ask(&mut one, &command)["code"], "busy");
    wait_until("it is connected again", || {
        one.text(&command.to_string());
        let answer = read(&mut one);
        if answer["type"] == "error" {
            return false;
        }
        // The message and the answer to it.
        read(&mut one);
        true
    });
    assert_eq!(message(&mut other), (json!(1), 1));
}

#[test]
fn a_worker_that_has_not_kept_up_gets_what_it_has_missed() {
    let redis = RedisServer::start();
    let servers = two(&redis, "");
    let (mut slow, _) = join(&servers[0], "a");
    let (mut one, _) = join(&servers[1], "a");
    let (begun, goes_on) = (Signal::new(), Signal::new());
    let directory = &servers[0].hub().shared.directory;
    let question = {
        let (begun, goes_on) = (begun.clone(), goes_on.clone());
        Question(Arc::new(move |_: &_| {
            begun.give();
            goes_on.wait("the worker goes on");
        }))
    };
    directory.to_workers(&Delivery::Ask(question));
    begun.wait("the worker is held up");
    while directory.has_room("a") {
        directory.to_workers(&Delivery::Ask(Question(Arc::new(|_: &_| ()))));
    }
    for number in 1..=3 {
        publish(&mut one, &json!(number));
        assert_eq!(message(&mut one), (json!(number), number));
    }
    // Its link answers this after it has seen, and left out, those.
    let text = Message::Text("1".to_owned());
    let asked = servers[1].hub().send_to("nobody", &text);
    assert_eq!(servers[1].ask(asked), Ok(false));
    goes_on.give();
    for number in 1..=3 {
        assert_eq!(message(&mut slow), (json!(number), number));
    }
    publish(&mut one, &json!(4));
    assert_eq!(message(&mut slow), (json!(4), 4));
}
