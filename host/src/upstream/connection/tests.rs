//! What is called unsent.

use super::*;
use crate::exchange::client_body::ClientBody;
use crate::http1::request::HeadLimits;
use crate::server::socket::{ClientSocket, Timeouts};
use std::future::poll_fn;
use std::io::Write as _;
use std::time::Duration;

/// A client that has sent the half of a body together with its head.
async fn client() -> (std::net::TcpStream, RequestBody) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut far = std::net::TcpStream::connect(address).unwrap();
    far.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello")
        .unwrap();
    let (near, _) = listener.accept().await.unwrap();
    let minute = Duration::from_mins(1);
    let limits = HeadLimits {
        bytes: 1024,
        fields: 10,
    };
    let timeouts = Timeouts {
        header: minute,
        idle: minute,
    };
    let socket = ClientSocket::new(near.into(), limits, timeouts);
    let head = poll_fn(|cx| socket.poll_head(cx, false)).await;
    assert!(head.unwrap().is_some());
    let body = ClientBody::of_socket(socket, None);
    (far, RequestBody::Source(body))
}

/// A connection to a target that has reset it, which nobody here has noticed yet.
async fn reset() -> Connection {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let connection = Connection::over(stream.into());
    let (peer, _) = listener.accept().unwrap();
    let peer = socket2::Socket::from(peer);
    peer.set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    connection
}

#[tokio::test]
async fn a_body_of_which_a_part_was_taken_is_not_called_unsent() {
    for served in [0, 1] {
        let (_far, body) = client().await;
        let mut connection = reset().await;
        connection.served = served;
        let form = Form {
            encoder: Encoder::Length(10),
            announced: Vec::new(),
            is_head: false,
        };
        connection.begin(|out| out.put(b"POST / HTTP/1.1\r\n\r\n"), body, form);
        let never = |_: &mut Timer, _: &mut Context<'_>| Poll::<()>::Pending;
        let sent = connection.send(|_, _| {}, never).await.unwrap();
        // Half of it stands in an outbox that nobody will empty: what is left is another body.
        let unanswered = sent.unwrap_err();
        assert!(unanswered.unsent.is_none(), "{served}: {unanswered:?}");
    }
}

#[tokio::test]
async fn a_body_that_is_here_is_unsent_where_nothing_was_written() {
    let mut connection = reset().await;
    let form = Form {
        encoder: Encoder::Length(4),
        announced: Vec::new(),
        is_head: false,
    };
    connection.begin(
        |out| out.put(b"POST / HTTP/1.1\r\n\r\n"),
        RequestBody::whole("body"),
        form,
    );
    let never = |_: &mut Timer, _: &mut Context<'_>| Poll::<()>::Pending;
    let unanswered = connection
        .send(|_, _| {}, never)
        .await
        .unwrap()
        .unwrap_err();
    let unsent = unanswered.unsent.unwrap();
    assert_eq!(unsent.collect_up_to(10).await.unwrap(), "body");
}
