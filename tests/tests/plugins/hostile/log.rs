//! Guests that fill the log: by writing to it, and by failing.

use std::process::Command;
use std::time::Instant;

use sluicegate_tests::{Answer, Process, RequestBuilder, Upstream, wait_until};

use super::{LONG, Load, assert_failed};
use crate::command_line::Folder;
use crate::guests::{chain, probe_with};

/// A process with a hostile plugin and a load beside it, at this level of its log.
struct Logged {
    process: Process,
    address: std::net::SocketAddr,
    load: Load,
    began: Instant,
    // Held for as long as the process runs.
    _folder: Folder,
    _upstream: Upstream,
}

impl Logged {
    fn start(config: &str, level: &str) -> Self {
        let upstream = Upstream::start(|_| Answer::ok("hello"));
        let plugin = probe_with("wordy", LONG, config);
        let builder = chain(&[plugin], r#""wordy""#, upstream.url()).route("/plain", "a");
        let folder = Folder::with("gateway.toml", builder.text());
        let mut command = Command::new(Process::binary());
        command
            .args(["run", "--config", &folder.path("gateway.toml")])
            .env("RUST_LOG", level);
        let began = Instant::now();
        let mut process = Process::start(command);
        let address = process.address();
        Self {
            load: Load::start(address),
            process,
            address,
            began,
            _folder: folder,
            _upstream: upstream,
        }
    }

    fn get(&self) -> sluicegate_tests::Response {
        RequestBuilder::new(self.address, "GET", "/").send()
    }

    /// Asserts that the log has no more of these than a bucket of tokens lets through in the time that has passed.
    #[track_caller]
    fn assert_bounded(&self, what: &str, count: usize, burst: usize, per_second: usize) {
        let seconds = usize::try_from(self.began.elapsed().as_secs()).unwrap() + 1;
        assert!(
            count <= burst + per_second * seconds,
            "{count} lines with {what} in {seconds} s"
        );
    }

    /// Ends it; its whole log.
    fn end(self) -> String {
        self.load.end();
        self.process.signal("TERM");
        let log = self.process.wait().stderr;
        for line in log.lines() {
            assert!(line.len() < 9 * 1024, "a line of {} bytes", line.len());
        }
        log
    }
}

#[test]
fn one_that_logs_without_end_has_its_share_of_lines_and_it_is_told_what_was_left_out() {
    let logged = Logged::start(r#"request = [{ do = "flood", lines = 1_000 }]"#, "info");
    wait_until("the log says how many lines were left out", || {
        assert_eq!(logged.get().text(), "hello");
        logged
            .process
            .stderr()
            .contains("lines of its own were left out")
    });
    let log = logged.process.stderr();
    let own = log.matches("logged-").count() + log.matches("printed-").count();
    logged.assert_bounded("words", own, 100, 20);
    assert!(log.contains("logged-0.") && log.contains("printed-0."));
    let told = log.lines().find(|line| line.contains("left out")).unwrap();
    assert!(told.contains("wordy"), "{told}");
    logged.end();
}

#[test]
fn lines_of_mebibytes_are_cut() {
    let logged = Logged::start(r#"request = [{ do = "names", bytes = 1_000_000 }]"#, "info");
    assert_eq!(logged.get().text(), "hello");
    wait_until("the line is there", || {
        logged.process.stderr().contains('…')
    });
    logged.end();
}

#[test]
fn failures_without_end_have_their_share_of_lines_too() {
    for (config, expected) in [
        (
            r#"request = [{ do = "panic", text = "inside" }]"#,
            "it trapped: wasm trap: wasm `unreachable` instruction executed",
        ),
        (
            r#"request = [{ do = "fail-large", bytes = 1_000_000 }]"#,
            r"the plugin says: inside\r\ninside",
        ),
        (
            r#"request_body = { plan = "stream", then = "panic" }"#,
            "it trapped",
        ),
    ] {
        let logged = Logged::start(config, "info");
        wait_until("the log says how many lines were left out", || {
            let request = RequestBuilder::new(logged.address, "POST", "/").body("body");
            assert_failed(&request.send(), config);
            let log = logged.process.stderr();
            log.contains("lines about its failures were left out")
        });
        let log = logged.process.stderr();
        let failures = log.matches("plugin failed").count();
        logged.assert_bounded("failures", failures, 10, 10);
        let hook = if config.contains("body") {
            "request-body"
        } else {
            "direct"
        };
        let line = log
            .lines()
            .find(|line| line.contains("plugin failed"))
            .unwrap();
        for part in ["wordy", hook, expected, "request_id"] {
            assert!(line.contains(part), "{part} in {line}");
        }
        logged.end();
    }
}

#[test]
fn where_a_guest_trapped_is_in_the_log_at_debug_level_only() {
    for (level, is_there) in [("info", false), ("debug", true)] {
        let config = r#"request = [{ do = "panic", text = "inside" }]"#;
        let logged = Logged::start(config, level);
        assert_failed(&logged.get(), config);
        wait_until("the failure is in the log", || {
            logged.process.stderr().contains("it trapped")
        });
        let log = logged.end();
        assert_eq!(log.contains("wasm backtrace"), is_there, "{log}");
    }
}
