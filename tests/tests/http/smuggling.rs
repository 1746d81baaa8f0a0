//! Request smuggling: whatever a client sends, the upstream never receives a second request that the gateway did not
//! see as one. Each attack carries `GET /smuggled` where another reading would find a request.

use sluicegate_tests::{Answer, End, Gateway, Received, Transcript, Upstream};

use super::attacks::{
    ATTACKS,
    Verdict::{Body, Head},
};

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";

fn attack(fields: &str, behind: &str) -> String {
    format!("POST /attack HTTP/1.1\r\nhost: a\r\n{fields}\r\n{behind}{SMUGGLED}")
}

/// A gateway and an upstream that answers with the path that was asked for.
fn start() -> (Upstream, Gateway) {
    let upstream = Upstream::start(|request| Answer::ok(request.target()));
    let gateway = Gateway::in_front_of(&upstream).start();
    (upstream, gateway)
}

fn raw(upstream: &Upstream) -> String {
    String::from_utf8_lossy(&upstream.raw()).into_owned()
}

#[track_caller]
fn check(name: &str, upstream: &Upstream, transcript: &Transcript, statuses: &[u16]) {
    let text = transcript.text();
    assert_eq!(transcript.statuses(), statuses, "{name}: {text}");
    assert_eq!(transcript.end, End::Closed, "{name}: {text}");
    let lower = text.to_ascii_lowercase();
    assert!(
        lower.contains("\r\nconnection: close\r\n"),
        "{name}: {text}"
    );
    assert!(!text.contains("/smuggled"), "{name}: {text}");
    let raw = raw(upstream);
    assert!(!raw.contains("smuggled"), "{name}: {raw}");
}

#[test]
fn every_attack_is_refused_and_closes_the_connection() {
    for (name, fields, behind, verdict) in ATTACKS {
        let (upstream, gateway) = start();
        let transcript = gateway.raw(attack(fields, behind));
        match verdict {
            Head(status) => {
                check(name, &upstream, &transcript, &[*status]);
                assert_eq!(raw(&upstream), "", "{name}");
            }
            Body => {
                check(name, &upstream, &transcript, &[400]);
                assert_eq!(upstream.received().len(), 0, "{name}");
            }
        }
    }
}

#[test]
fn every_attack_is_refused_when_it_comes_byte_by_byte() {
    for (name, fields, behind, verdict) in ATTACKS {
        let (upstream, gateway) = start();
        let mut wire = gateway.connect();
        for byte in attack(fields, behind).bytes() {
            // Refused before the end: that is the point.
            if wire.try_write([byte]).is_err() {
                break;
            }
        }
        let transcript = wire.read_to_close();
        // The rest may have been sent into a connection that was closed already: then the answer may be lost to a reset.
        let answered = transcript.statuses();
        let status = match verdict {
            Head(status) => *status,
            Body => 400,
        };
        assert!(
            answered.is_empty() || answered == [status],
            "{name}: {answered:?}"
        );
        assert!(!raw(&upstream).contains("smuggled"), "{name}");
        assert_eq!(upstream.received().len(), 0, "{name}");
    }
}

#[test]
fn a_valid_request_before_an_attack_is_answered_and_nothing_behind_it() {
    let valid = "GET /valid HTTP/1.1\r\nhost: a\r\n\r\n";
    for (name, fields, behind, verdict) in ATTACKS {
        let (upstream, gateway) = start();
        let transcript = gateway.raw(format!("{valid}{}", attack(fields, behind)));
        let status = match verdict {
            Head(status) => *status,
            Body => 400,
        };
        check(name, &upstream, &transcript, &[200, status]);
        assert!(transcript.text().contains("/valid"), "{name}");
        assert_eq!(upstream.only().target(), "/valid", "{name}");
    }
}

#[test]
fn other_clients_never_get_the_answer_to_an_attack() {
    let (upstream, gateway) = start();
    for (name, fields, behind, _) in ATTACKS {
        let _ = gateway.raw(attack(fields, behind));
        let response = gateway.get("/victim").send();
        assert_eq!(
            (response.status(), response.text()),
            (200, "/victim"),
            "{name}"
        );
    }
    assert!(!raw(&upstream).contains("smuggled"));
}

/// What looks like an attack and is a body or a next request by every rule: the upstream must see the same.
#[test]
fn a_request_in_a_body_stays_a_body() {
    let length = SMUGGLED.len();
    for (name, request) in [
        (
            "CL.0: a POST",
            format!(
                "POST /outer HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{SMUGGLED}"
            ),
        ),
        (
            "CL.0: a GET",
            format!("GET /outer HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{SMUGGLED}"),
        ),
        (
            "CL.0: a HEAD",
            format!(
                "HEAD /outer HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{SMUGGLED}"
            ),
        ),
        (
            "CL.0: a DELETE",
            format!(
                "DELETE /outer HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{SMUGGLED}"
            ),
        ),
        (
            "CL.0: the length is named in Connection",
            format!(
                "POST /outer HTTP/1.1\r\nhost: a\r\nconnection: content-length\r\ncontent-length: {length}\r\n\r\n{SMUGGLED}"
            ),
        ),
        (
            "TE.0: the coding is named in Connection",
            format!(
                "POST /outer HTTP/1.1\r\nhost: a\r\nconnection: transfer-encoding\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n"
            ),
        ),
        (
            "TE.0: an OPTIONS",
            format!(
                "OPTIONS /outer HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n"
            ),
        ),
        (
            "zeros before a chunk size",
            format!(
                "POST /outer HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0000{length:x}\r\n{SMUGGLED}\r\n000\r\n\r\n"
            ),
        ),
        (
            "an extension with a size in it",
            format!(
                "POST /outer HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{length:X};0=\"0\"\r\n{SMUGGLED}\r\n0;x\r\n\r\n"
            ),
        ),
        (
            "an upgrade",
            format!(
                "POST /outer HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\ncontent-length: {length}\r\n\r\n{SMUGGLED}"
            ),
        ),
        (
            "a size in upper case in a coding in mixed case",
            format!(
                "POST /outer HTTP/1.1\r\nhost: a\r\nTransfer-Encoding:\t ChUnKeD \t\r\n\r\n{length:X}\r\n{SMUGGLED}\r\n0\r\n\r\n"
            ),
        ),
        (
            "leading zeros in a length",
            format!(
                "POST /outer HTTP/1.1\r\nhost: a\r\ncontent-length: 000{length}\r\n\r\n{SMUGGLED}"
            ),
        ),
    ] {
        let (upstream, gateway) = start();
        let mut wire = gateway.connect();
        wire.write(&request);
        let method = request.split(' ').next().unwrap();
        assert_eq!(wire.read_response(method).status(), 200, "{name}");
        wire.write("GET /next HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(wire.read_response("GET").text(), "/next", "{name}");
        let received = upstream.received();
        let targets: Vec<&str> = received.iter().map(Received::target).collect();
        assert_eq!(targets, ["/outer", "/next"], "{name}");
        assert_eq!(received[0].text(), SMUGGLED, "{name}");
        assert_eq!(received[0].header("upgrade"), None, "{name}");
    }
}

#[test]
fn what_an_upstream_does_not_read_of_a_body_is_nobodys_request() {
    // The upstream answers by the head alone, and keeps its connection open, as CL.0 needs it.
    let upstream = sluicegate_tests::RawUpstream::start(|wire| {
        while wire.try_read_head().is_ok() {
            if wire
                .try_write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .is_err()
            {
                return;
            }
        }
    });
    let gateway = Gateway::in_front_of_url(upstream.url()).start();
    let mut wire = gateway.connect();
    // Half of the body stays with the client until the answer has come.
    wire.write(format!(
        "POST /outer HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\nhalf",
        SMUGGLED.len() + 4
    ));
    assert_eq!(wire.read_response("POST").status(), 200);
    let _ = wire.try_write(SMUGGLED);
    let rest = wire.read_to_close();
    assert_eq!(rest.statuses(), [0_u16; 0], "{}", rest.text());
    // The half-used connection must not carry anybody else's request.
    assert_eq!(gateway.get("/next").send().status(), 200);
    assert_eq!(upstream.connections(), 2);
}

#[test]
fn a_chunk_that_was_refused_is_never_passed_on_as_the_last_one() {
    let (upstream, gateway) = start();
    let transcript = gateway.raw(
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n0\r\n\r\n",
    );
    assert_eq!(transcript.statuses(), [400]);
    assert!(!raw(&upstream).contains("0\r\n\r\n"), "{}", raw(&upstream));
    assert!(upstream.received().is_empty());
}
