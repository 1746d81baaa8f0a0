//! The demo's chat, by two people with browsers: one at a desk, one with a phone, and neither with a mouse.

use sluicegate::demo::Demo;
use sluicegate_tests::{Browser, Window};

fn log_has(text: &str) -> String {
    format!("document.querySelector('#log').innerText.includes({text:?})")
}

const CONNECTED: &str = "document.querySelector('#status').dataset.state === 'open'";

fn enter(window: &mut Window, name: &str) {
    window.wait_for("document.querySelector('#ask').open && document.activeElement.id === 'name'");
    window.type_text(name);
    window.press("Enter");
    window.wait_for(CONNECTED);
}

fn say(window: &mut Window, text: &str) {
    window.type_text(text);
    window.press("Enter");
}

#[test]
fn two_windows_talk_to_each_other() {
    let listen = "127.0.0.1:0".parse().unwrap();
    let demo = Demo::start(listen, &mut |_| {}).unwrap();
    let url = format!("http://{}/chat", demo.address().unwrap());
    let browser = Browser::start();

    let mut ada = browser.open(&url, 900);
    // There is no way around a name.
    ada.press("Escape");
    enter(&mut ada, "Ada");
    say(&mut ada, "is <b>anybody</b> here?");
    ada.wait_for(&log_has("is <b>anybody</b> here?"));

    // Who comes later sees what was said, and who is there.
    let mut grace = browser.open(&url, 390);
    enter(&mut grace, "Grace");
    grace.wait_for(&log_has("is <b>anybody</b> here?"));
    grace.wait_for("document.querySelector('#members').innerText.includes('Ada')");
    ada.wait_for(&log_has("Grace has joined"));
    ada.wait_for("document.querySelector('#count').innerText === '2'");
    // A phone's page is as wide as the phone.
    grace.wait_for("document.documentElement.scrollWidth === innerWidth");

    say(&mut grace, "yes, I am");
    ada.wait_for(&log_has("yes, I am"));
    // What has been taken is not shown as on its way any more, and stands there once.
    grace.wait_for(
        "document.querySelectorAll('.own').length === 1 && !document.querySelector('.waiting')",
    );

    // The message field is reached with the keyboard alone.
    ada.evaluate("document.activeElement.blur()");
    for _ in 0..3 {
        ada.press("Tab");
        if ada.evaluate("document.activeElement.id") == "text" {
            break;
        }
    }
    say(&mut ada, "good");
    grace.wait_for(&log_has("good"));

    // A connection that breaks comes back, with what was missed meanwhile.
    grace.evaluate("state.socket.close()");
    say(&mut ada, "said meanwhile");
    grace.wait_for(&log_has("said meanwhile"));
    grace.wait_for(CONNECTED);
    grace.wait_for("document.querySelectorAll('.own').length === 1");
    drop(browser);
    demo.stop();
}
