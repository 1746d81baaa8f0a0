use super::*;
use tokio::io::duplex;

const TARGET: Destination<'static> = Destination::Name("o.example", 8080);

fn credentials() -> Credentials {
    Credentials {
        user: "ann".to_owned(),
        password: "hunter2".to_owned(),
    }
}

/// What a proxy sends, all of it at once or byte by byte; what it was sent, and what is left in the stream.
async fn through(
    destination: Destination<'_>,
    credentials: Option<&Credentials>,
    answers: &[u8],
    at_once: usize,
) -> (Result<(), Problem>, Vec<u8>, Vec<u8>) {
    let (mut here, there) = duplex(at_once);
    let (mut reader, mut writer) = tokio::io::split(there);
    let answers = answers.to_vec();
    let writing = tokio::spawn(async move {
        // A client that has heard enough is gone.
        let _ = writer.write_all(&answers).await;
        let _ = writer.shutdown().await;
    });
    let reading = tokio::spawn(async move {
        let mut sent = Vec::new();
        reader.read_to_end(&mut sent).await.unwrap();
        sent
    });
    let opened = open(&mut here, destination, credentials).await;
    let mut left = Vec::new();
    if opened.is_ok() {
        here.read_to_end(&mut left).await.unwrap();
    }
    drop(here);
    writing.await.unwrap();
    (opened, reading.await.unwrap(), left)
}

async fn problem(credentials: Option<&Credentials>, answers: &[u8]) -> Problem {
    through(TARGET, credentials, answers, 1024)
        .await
        .0
        .unwrap_err()
}

#[tokio::test]
async fn asks_for_names_and_addresses() {
    let name = b"\x05\x01\x00\x03\x09o.example\x1f\x90".to_vec();
    let ipv4 = b"\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50".to_vec();
    let ipv6 = [
        &b"\x05\x01\x00\x04\x20\x01\x0d\xb8"[..],
        &[0; 11],
        b"\x01\x01\xbb",
    ]
    .concat();
    for (destination, expected) in [
        (TARGET, name),
        (
            Destination::Address("127.0.0.1:80".parse().unwrap()),
            ipv4.clone(),
        ),
        (
            Destination::Address("[2001:db8::1]:443".parse().unwrap()),
            ipv6,
        ),
    ] {
        // Byte by byte, and all at once; what stands behind the answer is left in the stream.
        for at_once in [1, 1024] {
            let answers = b"\x05\x00\x05\x00\x00\x01\x0a\x00\x00\x01\x1f\x90early";
            let (opened, sent, left) = through(destination, None, answers, at_once).await;
            opened.unwrap();
            assert_eq!(sent, [&b"\x05\x01\x00"[..], &expected].concat());
            assert_eq!(left, b"early");
        }
    }
}

#[tokio::test]
async fn the_answers_address_may_be_of_any_type() {
    let long = [&b"\x05\x00\x05\x00\x00\x03\xff"[..], &[b'x'; 255], b"\0\0"].concat();
    let ipv6 = [&b"\x05\x00\x05\x00\x00\x04"[..], &[0; 18]].concat();
    for answers in [b"\x05\x00\x05\x00\x00\x03\x00\0\0".to_vec(), long, ipv6] {
        let early = [&answers[..], b"early"].concat();
        let (opened, _, left) = through(TARGET, None, &early, 3).await;
        opened.unwrap();
        assert_eq!(left, b"early");
        // And nothing less will do.
        let half = &answers[..answers.len() - 1];
        let opened = through(TARGET, None, half, 3).await.0;
        assert!(matches!(opened, Err(Problem::Closed)));
    }
    let problem = problem(None, b"\x05\x00\x05\x00\x00\x02\0\0\0\0\0\0").await;
    assert!(matches!(problem, Problem::NotSocks(_)), "{problem}");
}

#[tokio::test]
async fn logs_in_where_it_is_asked_to() {
    let credentials = credentials();
    let answers = b"\x05\x02\x01\x00\x05\x00\x00\x01\0\0\0\0\0\0";
    let (opened, sent, _) = through(TARGET, Some(&credentials), answers, 1).await;
    opened.unwrap();
    assert!(
        sent.starts_with(b"\x05\x02\x00\x02\x01\x03ann\x07hunter2\x05\x01\x00"),
        "{sent:?}"
    );
    // One that asks for nothing is told nothing.
    let answers = b"\x05\x00\x05\x00\x00\x01\0\0\0\0\0\0";
    let (opened, sent, _) = through(TARGET, Some(&credentials), answers, 1).await;
    opened.unwrap();
    assert!(!sent.windows(3).any(|part| part == b"ann"), "{sent:?}");
}

#[tokio::test]
async fn credentials_that_do_not_fit_are_told_as_such() {
    let credentials = credentials();
    let credentials = Some(&credentials);
    let missing = problem(None, b"\x05\xff").await;
    assert!(matches!(missing, Problem::CredentialsMissing), "{missing}");
    assert_eq!(missing.error_type(), "proxy_configuration_error");
    for status in [1, 0xff] {
        let refused = problem(credentials, &[5, 2, 1, status]).await;
        assert!(matches!(refused, Problem::CredentialsRefused), "{refused}");
        assert!(!format!("{refused} {refused:?}").contains("hunter2"));
    }
    for (credentials, answers) in [
        (credentials, &b"\x05\xff"[..]),
        // What was not offered: a login without credentials, GSSAPI, and what nobody knows.
        (None, b"\x05\x02"),
        (credentials, b"\x05\x01"),
        (None, b"\x05\x80"),
        // Another version than RFC 1929's.
        (credentials, b"\x05\x02\x05\x00"),
    ] {
        let problem = problem(credentials, answers).await;
        assert!(matches!(problem, Problem::NotSocks(_)), "{problem}");
        assert_eq!(problem.error_type(), "http_protocol_error");
    }
}

#[tokio::test]
async fn every_reply_is_its_own_error() {
    let mut seen = std::collections::HashSet::new();
    for (code, error_type) in [
        (1, "destination_unavailable"),
        (2, "http_request_denied"),
        (3, "destination_ip_unroutable"),
        (4, "destination_ip_unroutable"),
        (5, "connection_refused"),
        (6, "destination_ip_unroutable"),
        (7, "proxy_configuration_error"),
        (8, "proxy_configuration_error"),
        (9, "destination_unavailable"),
        (255, "destination_unavailable"),
    ] {
        // With and without the rest of the answer.
        for rest in [&b""[..], b"\x00\x01\0\0\0\0\0\0"] {
            let answers = [&[5, 0, 5, code][..], rest].concat();
            let problem = problem(None, &answers).await;
            assert_eq!(problem.error_type(), error_type, "{problem}");
            let text = problem.to_string();
            assert!(text.contains("o.example:8080"), "{text}");
            assert!(text.contains(&format!("reply {code}")), "{text}");
            seen.insert(text);
        }
    }
    assert_eq!(seen.len(), 10);
}

#[tokio::test]
async fn what_is_no_socks5_is_refused() {
    for answers in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"\x04\x00",
        b"\x00\x5a\0\0\0\0\0\0",
        b"\x05\x00\x04\x00",
    ] {
        let problem = problem(None, answers).await;
        assert!(matches!(problem, Problem::NotSocks(_)), "{problem}");
    }
    for half in [&b""[..], b"\x05", b"\x05\x00\x05"] {
        let problem = problem(None, half).await;
        assert!(matches!(problem, Problem::Closed), "{problem}");
        assert_eq!(problem.error_type(), "connection_terminated");
    }
}

#[tokio::test]
async fn names_have_255_bytes_at_most() {
    let answers = b"\x05\x00\x05\x00\x00\x01\0\0\0\0\0\0";
    let longest = "x".repeat(255);
    let (opened, sent, _) = through(Destination::Name(&longest, 1), None, answers, 64).await;
    opened.unwrap();
    assert!(sent.ends_with(&[b'x', 0, 1]), "{sent:?}");
    let longer = "x".repeat(256);
    let (opened, sent, _) = through(Destination::Name(&longer, 1), None, answers, 64).await;
    assert!(matches!(opened, Err(Problem::NotSocks(_))));
    // Nothing is sent that the proxy would read as something else.
    assert!(sent.is_empty());
}
