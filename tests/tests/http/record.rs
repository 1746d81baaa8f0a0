//! What the access log says of an exchange, however it ended.

use sluicegate_tests::{Answer, Gateway, RawUpstream, Refusing, Signal, Upstream, wait_until};

/// The lines of a log, once there are so many.
#[track_caller]
fn lines(path: &std::path::Path, count: usize) -> Vec<String> {
    let read = || -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    };
    wait_until("the log has its lines", || read().len() >= count);
    read()
}

fn logging_to(path: &std::path::Path) -> String {
    format!(
        "[access_log]\nformat = \"json\"\npath = \"{}\"\n",
        path.display()
    )
}

#[test]
fn whole_responses_are_not_called_aborted_however_they_are_framed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let upstream = Upstream::start(|request| match request.target() {
        "/length" => Answer::ok("four"),
        "/chunked" => Answer::status(200).chunks(["fo", "ur"]),
        "/trailers" => Answer::status(200)
            .chunks(["fo", "ur"])
            .trailer("x-end", "1"),
        "/close" => Answer::status(200).until_close(["fo", "ur"]),
        _ => Answer::status(204),
    });
    let gateway = Gateway::in_front_of(&upstream)
        .toml(&logging_to(&path))
        .start();
    let paths = ["/length", "/chunked", "/trailers", "/close", "/none"];
    for path in paths {
        gateway.get(path).send();
    }
    for (line, target) in lines(&path, paths.len()).iter().zip(paths) {
        assert!(line.contains(&format!("\"target\":\"{target}\"")), "{line}");
        assert!(line.contains("\"aborted\":false"), "{line}");
        let bytes = if target == "/none" { 0 } else { 4 };
        assert!(line.contains(&format!("\"bytes\":{bytes},")), "{line}");
    }
}

#[test]
fn what_broke_off_or_failed_is_recorded_as_that() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let refusing = Refusing::start();
    let arrived = Signal::new();
    let upstream = RawUpstream::start({
        let arrived = arrived.clone();
        move |wire| {
            let target = wire.read_head().target().to_owned();
            if target == "/gone" {
                arrived.give();
                let _ = wire.wait_for_close();
                return;
            }
            wire.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
            if target == "/silent" {
                let _ = wire.wait_for_close();
            }
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url())
        .upstream("down", [refusing.url()])
        .route("/down", "down")
        .upstream_with("idle", [upstream.url()], "timeouts = { idle = \"100ms\" }")
        .route("/silent", "idle")
        .toml(&logging_to(&path))
        .start();
    let _ = gateway.raw("GET /half HTTP/1.1\r\nhost: a\r\n\r\n");
    let half = lines(&path, 1).remove(0);
    assert!(half.contains("\"aborted\":true"), "{half}");
    assert!(half.contains("\"status\":200"), "{half}");
    assert!(
        half.contains("\"error\":\"http_response_incomplete\""),
        "{half}"
    );
    gateway.get("/down").send();
    let down = lines(&path, 2).remove(1);
    assert!(down.contains("\"aborted\":false"), "{down}");
    assert!(down.contains("\"error\":\"connection_refused\""), "{down}");
    let mut wire = gateway.connect();
    gateway.get("/gone").write(&mut wire);
    arrived.wait("the upstream has the request");
    drop(wire);
    let gone = lines(&path, 3).remove(2);
    assert!(gone.contains("\"status\":499"), "{gone}");
    assert!(gone.contains("\"aborted\":true"), "{gone}");
    let _ = gateway.raw("GET /silent HTTP/1.1\r\nhost: a\r\n\r\n");
    let silent = lines(&path, 4).remove(3);
    assert!(silent.contains("\"aborted\":true"), "{silent}");
    assert!(
        silent.contains("\"error\":\"connection_read_timeout\""),
        "{silent}"
    );
}
