//! The PROXY protocol, versions 1 and 2: what a load balancer in front puts before the first byte of a connection, to tell who is behind it
//! (`proxy-protocol.txt` of `HAProxy`).
//!
//! Where a listener has it switched on every connection has to begin with it: to accept both would let every client say that it
//! comes from somewhere else.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// What version 2 begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1, with its end.
const MOST_LINE: usize = 107;
/// Bytes behind the fixed part of version 2. Addresses take 216 at most; the rest is additions, of which there are never many.
const MOST_REST: usize = 4096;

/// Why a connection does not begin as it should.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// It broke, or ended.
    #[error("the connection ended: {0}")]
    Io(#[from] io::Error),
    /// Neither of the two versions.
    #[error("no PROXY header")]
    Missing,
    /// It is one, and wrong.
    #[error("malformed PROXY header: {0}")]
    Malformed(&'static str),
}

/// How far a header is.
#[derive(Debug, PartialEq, Eq)]
enum Progress {
    /// All of this belongs to it, and there is more to come.
    Incomplete,
    /// It is so many bytes long; who is behind it, where it says that.
    Whole(usize, Option<IpAddr>),
}

/// Reads the header, and no byte behind it: who is behind the peer, or `None` where it is the peer itself. Without a limit of time: that is
/// the caller's.
///
/// # Errors
/// [`ProxyError`]
pub async fn read(stream: &mut TcpStream) -> Result<Option<IpAddr>, ProxyError> {
    let mut header = Vec::new();
    let mut buffer = [0; 256];
    loop {
        let seen = stream.peek(&mut buffer).await?;
        if seen == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let before = header.len();
        header.extend_from_slice(buffer.get(..seen).unwrap_or_default());
        let (used, source) = match parse(&header)? {
            Progress::Incomplete => (seen, None),
            Progress::Whole(length, source) => (length.saturating_sub(before), Some(source)),
        };
        stream
            .read_exact(buffer.get_mut(..used).unwrap_or_default())
            .await?;
        if let Some(source) = source {
            return Ok(source);
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Progress, ProxyError> {
    let begins_with = |mark: &[u8]| bytes.iter().zip(mark).all(|(one, other)| one == other);
    if begins_with(&SIGNATURE) {
        binary(bytes)
    } else if begins_with(b"PROXY ") {
        line(bytes)
    } else {
        Err(ProxyError::Missing)
    }
}

/// Version 1.
fn line(bytes: &[u8]) -> Result<Progress, ProxyError> {
    let searched = bytes.get(..MOST_LINE).unwrap_or(bytes);
    let Some(end) = searched.windows(2).position(|pair| pair == b"\r\n") else {
        if bytes.len() >= MOST_LINE {
            return Err(ProxyError::Malformed("the line is too long"));
        }
        return Ok(Progress::Incomplete);
    };
    let text = bytes.get(..end).and_then(|line| str::from_utf8(line).ok());
    let mut words = text
        .ok_or(ProxyError::Malformed("not text"))?
        .split(' ')
        .skip(1);
    let mut word = || words.next().unwrap_or_default();
    let family = word();
    // What else such a line says is to be ignored.
    if family == "UNKNOWN" {
        return Ok(Progress::Whole(end + 2, None));
    }
    let (source, destination) = (word(), word());
    let (source_port, destination_port) = (word(), word());
    if words.next().is_some() {
        return Err(ProxyError::Malformed("too many words"));
    }
    let address = |text: &str| match family {
        "TCP4" => text.parse().map(IpAddr::V4).ok(),
        "TCP6" => text.parse().map(IpAddr::V6).ok(),
        _ => None,
    };
    if !matches!(family, "TCP4" | "TCP6") {
        return Err(ProxyError::Malformed("an unknown family"));
    }
    let (Some(source), Some(_)) = (address(source), address(destination)) else {
        return Err(ProxyError::Malformed("not an address"));
    };
    let is_port = |text: &str| {
        let has_zero = text.len() > 1 && text.starts_with('0');
        !has_zero && text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
    };
    if !is_port(source_port) || !is_port(destination_port) {
        return Err(ProxyError::Malformed("not a port"));
    }
    Ok(Progress::Whole(end + 2, Some(source)))
}

/// Version 2.
fn binary(bytes: &[u8]) -> Result<Progress, ProxyError> {
    const SHORT: ProxyError = ProxyError::Malformed("it is too short for its addresses");
    let Some((head, rest)) = bytes.split_at_checked(16) else {
        return Ok(Progress::Incomplete);
    };
    let Some(&[command, family, high, low]) = head.get(12..) else {
        return Ok(Progress::Incomplete);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MOST_REST {
        return Err(ProxyError::Malformed("it is too long"));
    }
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(ProxyError::Malformed("an unknown version or command")),
    };
    let Some(rest) = rest.get(..length) else {
        return Ok(Progress::Incomplete);
    };
    // Additions behind the addresses are passed over.
    let source = match family {
        // The proxy's own connection, to see whether somebody is here.
        _ if is_local => None,
        // Unspecified: the peer's own address is to be used.
        0x00 => None,
        0x11 => {
            let (source, _) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
            rest.get(..12).ok_or(SHORT)?;
            Some(Ipv4Addr::from(*source).into())
        }
        0x21 => {
            let (source, _) = rest.split_first_chunk::<16>().ok_or(SHORT)?;
            rest.get(..36).ok_or(SHORT)?;
            Some(Ipv6Addr::from(*source).into())
        }
        // A unix socket: there is no address.
        0x31 => {
            rest.get(..216).ok_or(SHORT)?;
            None
        }
        _ => return Err(ProxyError::Malformed("not the family of a connection")),
    };
    Ok(Progress::Whole(16 + length, source))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    /// A header of version 2.
    fn version_2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    fn whole(header: &[u8]) -> Option<IpAddr> {
        // Whatever comes behind it is not looked at, and no beginning of it is taken for the whole.
        let with_more = [header, b"GET / PROXY \r\n"].concat();
        match parse(&with_more) {
            Ok(Progress::Whole(length, source)) => {
                assert_eq!(length, header.len());
                for end in 0..header.len() {
                    assert_eq!(parse(&header[..end]).unwrap(), Progress::Incomplete);
                }
                source
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn version_1() {
        for (header, source) in [
            (
                &b"PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\r\n"[..],
                Some("192.0.2.1"),
            ),
            (
                b"PROXY TCP6 2001:db8::1 ::1 0 65535\r\n",
                Some("2001:db8::1"),
            ),
            (b"PROXY UNKNOWN\r\n", None),
            (b"PROXY UNKNOWN ffff:f 192.0.2.1 what ever\r\n", None),
        ] {
            let source = source.map(|source| source.parse().unwrap());
            assert_eq!(whole(header), source);
        }
        for wrong in [
            "PROXY TCP4 ::1 10.0.0.1 1 2\r\n",
            "PROXY TCP6 192.0.2.1 ::1 1 2\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 1\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 1 2 3\r\n",
            "PROXY TCP4  192.0.2.1 10.0.0.1 1 2\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 01 2\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 +1 2\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 1 65536\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 1 2\n\r\n",
            "PROXY UDP4 192.0.2.1 10.0.0.1 1 2\r\n",
            "PROXY \r\n",
        ] {
            let result = parse(wrong.as_bytes());
            assert!(matches!(result, Err(ProxyError::Malformed(_))), "{wrong:?}");
        }
        let long = format!("PROXY UNKNOWN {}", "x".repeat(MOST_LINE));
        assert!(parse(long.as_bytes()).is_err());
        assert!(parse(format!("{long}\r\n").as_bytes()).is_err());
    }

    #[test]
    fn version_2_of_all_families() {
        let four = [192, 0, 2, 1, 10, 0, 0, 1, 0, 1, 0, 2];
        let six: Vec<u8> = (1..=36).collect();
        let six_source: IpAddr = Ipv6Addr::from(*six.first_chunk::<16>().unwrap()).into();
        let additions = [&four[..], &[0x04, 0, 1, 0]].concat();
        for (header, source) in [
            (version_2(0x21, 0x11, &four), Some([192, 0, 2, 1].into())),
            (
                version_2(0x21, 0x11, &additions),
                Some([192, 0, 2, 1].into()),
            ),
            (version_2(0x21, 0x21, &six), Some(six_source)),
            (version_2(0x21, 0x31, &[0; 216]), None),
            (version_2(0x21, 0x00, b"any"), None),
            (version_2(0x20, 0x00, b""), None),
            (version_2(0x20, 0x11, &four), None),
        ] {
            assert_eq!(whole(&header), source);
        }
        for wrong in [
            version_2(0x11, 0x11, &four),
            version_2(0x22, 0x11, &four),
            version_2(0x21, 0x12, &four),
            version_2(0x21, 0x11, &four[..11]),
            version_2(0x21, 0x21, &six[..35]),
            version_2(0x21, 0x31, &[0; 215]),
            version_2(0x21, 0x00, &[0; MOST_REST + 1]),
        ] {
            assert!(matches!(parse(&wrong), Err(ProxyError::Malformed(_))));
        }
    }

    #[test]
    fn what_is_no_header_is_told_at_its_first_byte() {
        for other in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\x16\x03\x01",
            b"PROXIES",
            b"\r\n\r\nGET",
        ] {
            assert!(
                matches!(parse(other), Err(ProxyError::Missing)),
                "{other:?}"
            );
        }
        assert!(matches!(parse(b"\r\n\r\n\0\r"), Ok(Progress::Incomplete)));
    }

    #[tokio::test]
    async fn nothing_behind_it_is_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let four = [192, 0, 2, 1, 10, 0, 0, 1, 0, 1, 0, 2];
        let long = [&four[..], &[0; 600]].concat();
        for (header, source) in [
            (
                b"PROXY TCP4 192.0.2.1 10.0.0.1 1 2\r\n".to_vec(),
                Some([192, 0, 2, 1].into()),
            ),
            (version_2(0x21, 0x11, &long), Some([192, 0, 2, 1].into())),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
        ] {
            client.write_all(&header).await.unwrap();
            client.write_all(b"rest").await.unwrap();
            assert_eq!(read(&mut stream).await.unwrap(), source);
            let mut rest = [0; 4];
            stream.read_exact(&mut rest).await.unwrap();
            assert_eq!(&rest, b"rest");
        }
        client.write_all(b"PROXY ").await.unwrap();
        drop(client);
        assert!(matches!(read(&mut stream).await, Err(ProxyError::Io(_))));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_take_more_than_there_are(bytes: Vec<u8>, version: bool) {
            let begin: &[u8] = if version { &SIGNATURE } else { b"PROXY " };
            let bytes = [begin, &bytes].concat();
            if let Ok(Progress::Whole(length, _)) = parse(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }
    }
}
