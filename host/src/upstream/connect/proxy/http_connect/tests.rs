use super::*;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};

const TARGET: Destination<'static> = Destination::Name("origin.example", 8080);

/// What a proxy does once it has the request: writes these pieces one by one, and then drops the stream or keeps it.
async fn through(pieces: Vec<Vec<u8>>, keeps: bool) -> (Result<BytesMut, Problem>, String) {
    let (mut here, mut there) = duplex(32);
    let proxy = tokio::spawn(async move {
        let request = read_head(&mut there).await;
        for piece in pieces {
            // A client that has heard enough is gone.
            let _ = there.write_all(&piece).await;
        }
        (request, keeps.then_some(there))
    });
    let opened = open(&mut here, TARGET, None, true).await;
    drop(here);
    let (request, _) = proxy.await.unwrap();
    (opened, request)
}

async fn read_head(stream: &mut DuplexStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn answered(answer: &str) -> Result<BytesMut, Problem> {
    through(vec![answer.into()], true).await.0
}

#[tokio::test]
async fn asks_for_the_target_with_host_and_port() {
    let (opened, request) = through(vec![b"HTTP/1.1 200 OK\r\n\r\n".to_vec()], true).await;
    assert!(opened.unwrap().is_empty());
    assert_eq!(
        request,
        "CONNECT origin.example:8080 HTTP/1.1\r\nhost: origin.example:8080\r\n\r\n"
    );
}

#[tokio::test]
async fn an_ipv6_address_stands_in_brackets_and_credentials_are_sent() {
    let credentials = Credentials {
        user: "Aladdin".to_owned(),
        password: "open sesame".to_owned(),
    };
    // RFC 7617, section 2.
    let value = authorization(&credentials).unwrap();
    assert_eq!(value, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    assert_eq!(format!("{value:?}{credentials:?}"), "Sensitive…");
    let (mut here, mut there) = duplex(256);
    there.write_all(b"HTTP/1.0 200 x\r\n\r\n").await.unwrap();
    let address: SocketAddr = "[2001:db8::1]:443".parse().unwrap();
    open(
        &mut here,
        Destination::Address(address),
        Some(&value),
        false,
    )
    .await
    .unwrap();
    assert_eq!(
        read_head(&mut there).await,
        "CONNECT [2001:db8::1]:443 HTTP/1.1\r\nhost: [2001:db8::1]:443\r\n\
         proxy-authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"
    );
}

#[tokio::test]
async fn any_2xx_opens_the_tunnel_whatever_it_says_of_a_body() {
    for head in [
        "HTTP/1.1 200 Connection established\r\n\r\n",
        "HTTP/1.0 200 Connection established\r\nProxy-agent: x\r\n\r\n",
        "HTTP/1.1 201 Created\r\n\r\n",
        "HTTP/1.1 299\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: gzip\r\ncontent-length: 6\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nlink: y\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        for early in ["", "hello\r\n\r\n"] {
            let opened = answered(&format!("{head}{early}")).await.unwrap();
            // What comes with the head is handed on; a stream of 32 bytes does not always bring it with it.
            assert!(early.as_bytes().starts_with(&opened), "{head}{early}");
        }
        let bytes = head.bytes().map(|byte| vec![byte]).collect();
        assert!(through(bytes, true).await.0.unwrap().is_empty(), "{head}");
    }
}

#[tokio::test]
async fn what_stands_behind_the_head_is_kept() {
    let (mut here, mut there) = duplex(1024);
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nSSH-2.0-x\r\n";
    there.write_all(answer).await.unwrap();
    let early = open(&mut here, TARGET, None, true).await.unwrap();
    assert_eq!(early, "SSH-2.0-x\r\n");
}

#[tokio::test]
async fn a_head_of_9_kib_is_taken() {
    let fields = format!("x-filler: {}\r\n", "y".repeat(1000)).repeat(9);
    let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
    assert!(head.len() > 9 * 1024 - 200);
    answered(&head).await.unwrap();
}

#[tokio::test]
async fn heads_without_end_are_given_up() {
    for endless in [
        "HTTP/1.1 100 Continue\r\n\r\n".repeat(MAX_BYTES / 25 + 2),
        format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(2 * MAX_BYTES)),
        "HTTP/1.1 200 OK\r\n".to_owned() + &"x: y\r\n".repeat(MAX_BYTES / 6 + 2),
    ] {
        let problem = answered(&endless).await.unwrap_err();
        assert!(
            matches!(problem, Problem::Head(HeadError::TooLarge)),
            "{problem}"
        );
    }
}

#[tokio::test]
async fn a_proxy_that_wants_other_credentials_says_so_and_may_close() {
    let answer =
        b"HTTP/1.1 407 x\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 900\r\n\r\nno";
    let (opened, _) = through(vec![answer.to_vec()], false).await;
    let problem = opened.unwrap_err();
    assert!(matches!(problem, Problem::CredentialsMissing), "{problem}");
    let (mut here, mut there) = duplex(1024);
    there.write_all(answer).await.unwrap();
    let value = HeaderValue::from_static("Basic c2VjcmV0");
    let problem = open(&mut here, TARGET, Some(&value), true).await;
    let problem = problem.unwrap_err();
    assert!(matches!(problem, Problem::CredentialsRefused), "{problem}");
    assert_eq!(problem.error_type(), "proxy_configuration_error");
    assert!(!format!("{problem} {problem:?}").contains("c2VjcmV0"));
    // One that answers without reading and is gone.
    let (mut here, mut there) = duplex(1024);
    there.write_all(answer).await.unwrap();
    drop(there);
    let problem = open(&mut here, TARGET, None, true).await.unwrap_err();
    assert!(matches!(problem, Problem::CredentialsMissing), "{problem}");
}

#[tokio::test]
async fn a_refusal_says_what_probably_helps() {
    let problem = answered("HTTP/1.1 403 Forbidden\r\n\r\n")
        .await
        .unwrap_err();
    assert_eq!(
        problem.to_string(),
        "it refused a tunnel to origin.example:8080 with status 403; probably because its port is not 443: squid's \
         configuration has \"http_access deny CONNECT !SSL_ports\", and \"acl SSL_ports port 8080\" there lets it pass; \
         via_mode = \"auto\" needs no tunnel to http targets"
    );
    assert_eq!(problem.error_type(), "http_request_denied");
    for (answer, port, is_choice, says_rule, says_mode) in [
        ("403 x", 8080, false, true, false),
        ("405 x", 80, true, true, true),
        ("403 x", 443, true, false, false),
        ("503 x", 8080, true, false, false),
        ("404 x", 8080, true, false, false),
        ("302 x", 8080, true, false, false),
        ("101 x", 8080, true, false, false),
    ] {
        let (mut here, mut there) = duplex(1024);
        let head = format!("HTTP/1.1 {answer}\r\n\r\n");
        there.write_all(head.as_bytes()).await.unwrap();
        let destination = Destination::Name("o", port);
        let problem = open(&mut here, destination, None, is_choice).await;
        let text = problem.unwrap_err().to_string();
        assert!(text.contains(answer.trim_end_matches(" x")), "{text}");
        assert_eq!(text.contains("SSL_ports"), says_rule, "{text}");
        assert_eq!(text.contains("via_mode"), says_mode, "{text}");
    }
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    for nonsense in ["SSH-2.0-x\r\n", "\x05\x00", "HTTP/2 200\r\n\r\n"] {
        let problem = answered(nonsense).await.unwrap_err();
        assert!(matches!(problem, Problem::Head(_)), "{problem}");
        assert_eq!(problem.error_type(), "http_protocol_error");
    }
}

#[tokio::test]
async fn a_proxy_that_closes_is_not_waited_for() {
    for half in ["", "HTTP/1.1 2", "HTTP/1.1 200 OK\r\nx: y\r\n"] {
        let (opened, _) = through(vec![half.into()], false).await;
        assert!(matches!(opened.unwrap_err(), Problem::Closed), "{half}");
    }
}

#[tokio::test]
async fn a_proxy_that_is_silent_is_waited_for_as_long_as_the_caller_likes() {
    let (mut here, mut there) = duplex(1024);
    tokio::select! {
        opened = open(&mut here, TARGET, None, true) => panic!("{opened:?}"),
        // The caller gives up once the proxy has the request.
        _ = read_head(&mut there) => {}
    }
    drop(here);
    assert_eq!(there.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_reset_is_told_as_what_it_is() {
    let mut stream = reset_when_read();
    let problem = open(&mut stream, TARGET, None, true).await.unwrap_err();
    assert!(matches!(problem, Problem::Broken(_)), "{problem}");
    assert_eq!(problem.error_type(), "connection_terminated");
}

/// A stream that takes everything and is reset when it is read.
fn reset_when_read() -> impl AsyncRead + AsyncWrite + Unpin {
    tokio::io::join(Reset, tokio::io::sink())
}

struct Reset;

impl AsyncRead for Reset {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()))
    }
}
