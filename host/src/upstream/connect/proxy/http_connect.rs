//! A tunnel through an HTTP proxy (RFC 9110, section 9.3.6).

use std::future::poll_fn;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::BytesMut;
use http::{HeaderValue, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::{Credentials, Destination, Hint, Problem};
use crate::http1::inbox::Inbox;
use crate::http1::response::{HeadError, MAX_BYTES, take_connect_head};

/// The value of `Proxy-Authorization` (RFC 7617). `None` where there can be none: credentials come checked.
pub fn authorization(credentials: &Credentials) -> Option<HeaderValue> {
    let pair = format!("{}:{}", credentials.user, credentials.password);
    let value = format!("Basic {}", BASE64_STANDARD.encode(pair));
    let mut value = HeaderValue::from_str(&value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Asks for a tunnel. What comes back is what the other end of the tunnel has sent already: it stood behind the proxy's
/// answer. `is_choice`: whether the target could be reached without a tunnel, which an error then says.
///
/// # Errors
/// See [`Problem`]. No limit of time: that is the caller's.
pub async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    destination: Destination<'_>,
    authorization: Option<&HeaderValue>,
    is_choice: bool,
) -> Result<BytesMut, Problem> {
    let mut request = format!("CONNECT {destination} HTTP/1.1\r\nhost: {destination}\r\n");
    let credentials = authorization.and_then(|value| value.to_str().ok());
    if let Some(value) = credentials {
        for part in ["proxy-authorization: ", value, "\r\n"] {
            request.push_str(part);
        }
    }
    request.push_str("\r\n");
    // A proxy that refuses who connects may answer before it reads.
    let written = write(stream, request.as_bytes()).await;
    match (read_answer(stream).await, written) {
        (Ok((status, early)), _) if status.is_success() => Ok(early),
        (Ok((StatusCode::PROXY_AUTHENTICATION_REQUIRED, _)), _) => Err(match credentials {
            Some(_) => Problem::CredentialsRefused,
            None => Problem::CredentialsMissing,
        }),
        (Ok((status, _)), _) => Err(Problem::Refused {
            status,
            destination: destination.to_string(),
            hint: Hint::of(status, destination.port(), is_choice),
        }),
        (Err(Problem::Closed), Err(error)) => Err(error.into()),
        (Err(problem), _) => Err(problem),
    }
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// The final status, and what stands behind its head.
async fn read_answer(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<(StatusCode, BytesMut), Problem> {
    let mut inbox = Inbox::default();
    let mut fields = Vec::new();
    let mut seen = 0;
    loop {
        let before = inbox.bytes.len();
        let read = poll_fn(|cx| inbox.poll_fill(cx, stream)).await?;
        if read == 0 {
            return Err(Problem::Closed);
        }
        seen += read;
        let new = inbox.bytes.get(before..).unwrap_or(&[]);
        // Only a line's end can complete a head: reading all of it anew for each byte would cost more than it.
        if before > 0 && memchr::memchr(b'\n', new).is_none() && seen <= MAX_BYTES {
            continue;
        }
        while let Some(status) = take_connect_head(&mut inbox.bytes, &mut fields)? {
            // 101 is final: nobody has asked for another protocol.
            if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
                return Ok((status, inbox.bytes));
            }
        }
        if seen > MAX_BYTES {
            return Err(HeadError::TooLarge.into());
        }
    }
}

#[cfg(test)]
mod tests;
