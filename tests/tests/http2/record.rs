//! The access log and the metrics say the same of an exchange, whichever version it came in.

use h2::Reason;
use http::Request;
use sluicegate_tests::frames::{Ended, Frames, GET};
use sluicegate_tests::http2::{Http2, until};
use sluicegate_tests::{Gateway, Process, RawUpstream, Signal, wait_until};

#[track_caller]
fn lines(path: &std::path::Path, count: usize) -> Vec<serde_json::Value> {
    let read = || -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines = text.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().unwrap_or_default()
    };
    wait_until("the log has its lines", || read().len() >= count);
    read()
}

#[test]
fn every_end_of_an_exchange_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let arrived = Signal::new();
    let upstream = RawUpstream::start({
        let arrived = arrived.clone();
        move |wire| match wire.read_head().target() {
            "/whole" => wire.write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfour"),
            "/half" => wire.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"),
            "/begun" => {
                wire.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
                let _ = wire.wait_for_close();
            }
            _ => {
                arrived.give();
                let _ = wire.wait_for_close();
            }
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url())
        .toml(&format!(
            "[access_log]\nformat = \"json\"\npath = \"{}\"\n\n[admin]\naddress = \"127.0.0.1:0\"\n",
            path.display()
        ))
        .start();
    let get = |path: &str| Request::get(format!("http://a{path}")).body(()).unwrap();
    Http2::run(async {
        let client = Http2::connect(gateway.address()).await;
        client.send(get("/whole"), "").await;
        client.try_send(get("/half"), "").await.unwrap_err();
        let mut send = client.ready().await;
        let (response, mut stream) = send.send_request(get("/begun"), true).unwrap();
        let mut body = response.await.unwrap().into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "half");
        stream.send_reset(Reason::CANCEL);
        let count = || std::fs::read_to_string(&path).map_or(0, |text| text.lines().count());
        until("the log has its lines", || count() >= 3).await;
        let (_response, mut stream) = send.send_request(get("/gone"), true).unwrap();
        until("the request has arrived", || arrived.is_given()).await;
        stream.send_reset(Reason::CANCEL);
        until("the log has its lines", || count() >= 4).await;
    });
    gateway.get("/whole").send();
    let lines = lines(&path, 5);
    assert_eq!(lines[4]["protocol"], "HTTP/1.1");
    let expected = [
        ("/whole", 200, 4, false, ""),
        ("/half", 200, 4, true, "http_response_incomplete"),
        ("/begun", 200, 4, true, ""),
        ("/gone", 499, 0, true, ""),
    ];
    for (line, (target, status, bytes, aborted, error)) in lines.iter().zip(expected) {
        assert_eq!(line["target"], target);
        assert_eq!(line["protocol"], "HTTP/2");
        assert_eq!(line["status"], status, "{line}");
        assert_eq!(line["bytes"], bytes, "{line}");
        assert_eq!(line["aborted"], aborted, "{line}");
        assert_eq!(line["error"], error, "{line}");
    }
}

#[test]
fn a_head_that_is_refused_is_told_with_its_peer() {
    let text = Gateway::in_front_of_url("http://127.0.0.1:9").text();
    let mut file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    let mut process =
        Process::gateway(["run".as_ref(), "--config".as_ref(), file.path().as_os_str()]);
    let mut frames = Frames::connect(process.address());
    frames.request(1, &[GET, &[("host", "b")]].concat(), true);
    assert_eq!(frames.ended(), Ended::Status(400));
    wait_until("the log has its line", || {
        let text = format!("{}{}", process.stderr(), process.stdout());
        text.lines()
            .any(|line| line.contains("request refused") && line.contains("127.0.0.1"))
    });
}
