//! Other people's clients: curl, and nghttp2's. Where one is not installed, the test fails and says so: continuous integration has
//! them (Debian's `curl` and `nghttp2-client`).

use std::process::Command;

use sluicegate_tests::{Answer, Gateway, Upstream};

/// What a client says, if it is content.
#[track_caller]
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} is needed: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {said}{complaint}");
    said
}

fn gateway() -> (Upstream, Gateway) {
    let upstream = Upstream::start(|request| match request.method() {
        "POST" => Answer::ok(format!("{} bytes", request.body.bytes.len())),
        _ => Answer::status(200)
            .chunks(["one ", "two"])
            .trailer("x-end", "1"),
    });
    let gateway = Gateway::in_front_of(&upstream).start();
    (upstream, gateway)
}

#[test]
fn curl() {
    let (_upstream, gateway) = gateway();
    let url = format!("http://{}/", gateway.address());
    let plain = [
        "-sS",
        "--max-time",
        "20",
        "--http2-prior-knowledge",
        "-w",
        " %{http_version} %{http_code}",
    ];
    // Once: curl 7.88, Debian's, fails at a second request over a connection by prior knowledge, whoever serves it.
    let said = run("curl", &[&plain[..], &[&url]].concat());
    assert_eq!(said, "one two 2 200");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, &vec![b'x'; 3 << 20]).unwrap();
    let data = format!("@{}", file.path().display());
    let said = run(
        "curl",
        &[&plain[..], &["--data-binary", &data, &url]].concat(),
    );
    assert_eq!(said, "3145728 bytes 2 200");
    // An upgrade from HTTP/1.1 is not taken, and served in HTTP/1.1 (RFC 9113, appendix B).
    let said = run(
        "curl",
        &[
            "-sS",
            "--max-time",
            "20",
            "--http2",
            "-w",
            " %{http_version}",
            &url,
        ],
    );
    assert_eq!(said, "one two 1.1");
}

#[test]
fn nghttp() {
    let (_upstream, gateway) = gateway();
    let url = format!("http://{}/", gateway.address());
    let other = format!("{url}other");
    let said = run("nghttp", &["-v", "-t", "20", &url, &other]);
    assert_eq!(said.matches(":status: 200").count(), 2, "{said}");
    assert!(said.contains("SETTINGS_ENABLE_CONNECT_PROTOCOL"), "{said}");
    assert_eq!(said.matches("x-end: 1").count(), 2, "{said}");
}

#[test]
fn h2load() {
    let (upstream, gateway) = gateway();
    let url = format!("http://{}/", gateway.address());
    // Ten connections with ten streams each.
    let arguments = [
        "-n",
        "2000",
        "-c",
        "10",
        "-m",
        "10",
        "--connection-active-timeout",
        "60",
        &url,
    ];
    let said = run("h2load", &arguments);
    assert!(
        said.contains("2000 succeeded, 0 failed, 0 errored, 0 timeout"),
        "{said}"
    );
    assert!(
        said.contains("status codes: 2000 2xx, 0 3xx, 0 4xx, 0 5xx"),
        "{said}"
    );
    assert_eq!(upstream.received().len(), 2000);
}
