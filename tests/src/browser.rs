//! A real browser without a window, driven by its own protocol (Chrome's `DevTools`).

use std::cell::Cell;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::socket::WebSocket;
use crate::wait::wait_until;

/// A running browser. Ended when dropped.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    address: SocketAddr,
    path: String,
    _profile: tempfile::TempDir,
}

/// A window of a browser.
#[derive(Debug)]
pub struct Window {
    socket: WebSocket,
    session: String,
    next: Cell<u64>,
}

impl Browser {
    /// Starts Chromium, which has to be installed.
    #[track_caller]
    pub fn start() -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        let mut child = Command::new("chromium")
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
            ])
            .args(["--no-first-run", "--disable-background-networking"])
            .args(["--disable-component-update", "--disable-sync"])
            .args(["--remote-debugging-port=0", "about:blank"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("chromium is installed (Debian: apt install chromium)");
        let stderr = child.stderr.take().expect("it is piped");
        let mut lines = BufReader::new(stderr).lines();
        let url = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| Some(line.split_once("DevTools listening on ws://")?.1.to_owned()))
            .expect("chromium says where it listens");
        // It must not wait for somebody to read the rest.
        std::thread::spawn(move || lines.for_each(drop));
        let (address, path) = url.split_once('/').expect("a URL");
        Self {
            child,
            address: address.parse().expect("an address"),
            path: format!("/{path}"),
            _profile: profile,
        }
    }

    /// Opens a page in a window of its own, of this width in pixels.
    #[track_caller]
    pub fn open(&self, url: &str, width: u32) -> Window {
        let mut window = Window {
            socket: WebSocket::open(self.address, &self.path),
            session: String::new(),
            next: Cell::new(1),
        };
        let context = window.call("Target.createBrowserContext", &json!({}));
        let target = window.call(
            "Target.createTarget",
            &json!({ "url": "about:blank", "browserContextId": context["browserContextId"] }),
        );
        let attached = window.call(
            "Target.attachToTarget",
            &json!({ "targetId": target["targetId"], "flatten": true }),
        );
        attached["sessionId"]
            .as_str()
            .expect("a session")
            .clone_into(&mut window.session);
        window.call(
            "Emulation.setFocusEmulationEnabled",
            &json!({ "enabled": true }),
        );
        window.call("Emulation.setDeviceMetricsOverride", &json!({ "width": width, "height": 700, "deviceScaleFactor": 1, "mobile": width < 600 }),
        );
        window.call("Page.navigate", &json!({ "url": url }));
        window.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'");
        window
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Window {
    #[track_caller]
    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        let id = self.next.replace(self.next.get() + 1);
        let mut call = json!({ "id": id, "method": method, "params": parameters });
        if !self.session.is_empty() {
            call["sessionId"] = json!(self.session);
        }
        self.socket.text(&call.to_string());
        loop {
            let answer: Value = serde_json::from_str(&self.socket.read_text()).expect("JSON");
            if answer["id"] == id {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    /// What an expression comes to.
    #[track_caller]
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", &parameters);
        assert!(
            answer["exceptionDetails"].is_null(),
            "{expression}: {answer}"
        );
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub fn wait_for(&mut self, expression: &str) {
        wait_until(expression, || self.evaluate(expression) == json!(true));
    }

    /// Types on the keyboard, into what has the focus.
    #[track_caller]
    pub fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", &json!({ "text": text }));
    }

    /// Presses and releases a key: "Enter", "Tab", "Escape".
    #[track_caller]
    pub fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Enter" => (13, "\r"),
            "Tab" => (9, ""),
            _ => (27, ""),
        };
        for kind in ["keyDown", "keyUp"] {
            self.call("Input.dispatchKeyEvent", &json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text }),
            );
        }
    }
}
