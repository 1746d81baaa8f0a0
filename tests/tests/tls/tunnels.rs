//! Upgraded connections over TLS.

use std::net::Shutdown;
use std::sync::mpsc;

use sluicegate_tests::{End, RawUpstream, TlsClient, wait_until};

use crate::gateway::{Live, configuration_to};

#[test]
fn an_end_that_tls_does_not_vouch_for_is_passed_on_as_a_reset() {
    let (said, ends) = mpsc::channel();
    let said = std::sync::Mutex::new(said);
    let upstream = RawUpstream::start(move |wire| {
        let _ = wire.read_head();
        wire.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n");
        let _ = said.lock().unwrap().send(wire.read_to_close().end);
    });
    let listener = "tls = { certificates = [CERT] }";
    let live = Live::start(&configuration_to(listener, "", &upstream.url()));
    let client = TlsClient::trusting(&live.authority);
    for (is_in_order, expected) in [(true, End::Closed), (false, End::Reset)] {
        let mut wire = client.connect(live.address(), "a.example").unwrap();
        wire.write(
            "GET / HTTP/1.1\r\nhost: a.example\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        )
        .unwrap();
        assert_eq!(wire.read_response().unwrap().0.status(), 101);
        if is_in_order {
            wire.close().unwrap();
        } else {
            wire.socket().shutdown(Shutdown::Write).unwrap();
        }
        let mut end = None;
        wait_until("the upstream sees an end", || {
            end = ends.try_recv().ok();
            end.is_some()
        });
        assert_eq!(end, Some(expected));
    }
}
