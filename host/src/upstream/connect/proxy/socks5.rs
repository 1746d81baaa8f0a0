//! A tunnel through a SOCKS5 proxy (RFC 1928), with a user name and a password where it wants them (RFC 1929).
//!
//! Every answer says in its own bytes how long it is, and no byte behind it is read: what comes through the tunnel is left where
//! it is.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{Credentials, Destination, Problem};

const VERSION: u8 = 5;
/// RFC 1929's own.
const LOGIN_VERSION: u8 = 1;
const NO_LOGIN: u8 = 0;
const LOGIN: u8 = 2;
const NO_METHOD: u8 = 0xff;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Why a proxy opens no tunnel (RFC 1928, section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reply {
    /// 1
    #[error("general failure (SOCKS reply 1)")]
    GeneralFailure,
    /// 2
    #[error("its rules do not allow it (SOCKS reply 2)")]
    NotAllowed,
    /// 3
    #[error("network unreachable (SOCKS reply 3)")]
    NetworkUnreachable,
    /// 4
    #[error("host unreachable (SOCKS reply 4)")]
    HostUnreachable,
    /// 5
    #[error("connection refused (SOCKS reply 5)")]
    ConnectionRefused,
    /// 6
    #[error("TTL expired (SOCKS reply 6)")]
    TtlExpired,
    /// 7
    #[error("it does not support CONNECT (SOCKS reply 7)")]
    CommandNotSupported,
    /// 8
    #[error("it does not support this type of address (SOCKS reply 8)")]
    AddressTypeNotSupported,
    /// One that the RFC does not assign.
    #[error("SOCKS reply {0}, which means nothing")]
    Unassigned(u8),
}

impl Reply {
    /// `None` for success.
    fn of(code: u8) -> Option<Self> {
        Some(match code {
            0 => return None,
            1 => Self::GeneralFailure,
            2 => Self::NotAllowed,
            3 => Self::NetworkUnreachable,
            4 => Self::HostUnreachable,
            5 => Self::ConnectionRefused,
            6 => Self::TtlExpired,
            7 => Self::CommandNotSupported,
            8 => Self::AddressTypeNotSupported,
            code => Self::Unassigned(code),
        })
    }

    /// Whether another address of the same target may do better.
    pub fn is_of_address(self) -> bool {
        matches!(
            self,
            Self::GeneralFailure
                | Self::NetworkUnreachable
                | Self::HostUnreachable
                | Self::ConnectionRefused
                | Self::TtlExpired
                | Self::AddressTypeNotSupported
        )
    }

    pub(super) fn error_type(self) -> &'static str {
        match self {
            Self::GeneralFailure | Self::Unassigned(_) => "destination_unavailable",
            Self::NotAllowed => "http_request_denied",
            Self::NetworkUnreachable | Self::HostUnreachable | Self::TtlExpired => {
                "destination_ip_unroutable"
            }
            Self::ConnectionRefused => "connection_refused",
            Self::CommandNotSupported | Self::AddressTypeNotSupported => {
                "proxy_configuration_error"
            }
        }
    }
}

/// Asks for a tunnel. A destination that is a name is resolved by the proxy.
///
/// # Errors
/// See [`Problem`]. No limit of time: that is the caller's.
pub async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    destination: Destination<'_>,
    credentials: Option<&Credentials>,
) -> Result<(), Problem> {
    let request = request(destination)?;
    let greeting: &[u8] = match credentials {
        None => &[VERSION, 1, NO_LOGIN],
        Some(_) => &[VERSION, 2, NO_LOGIN, LOGIN],
    };
    write(stream, greeting).await?;
    let [version, method] = read(stream).await?;
    if version != VERSION {
        return Err(Problem::NotSocks("its answer is not SOCKS5"));
    }
    match (method, credentials) {
        (NO_LOGIN, _) => {}
        (LOGIN, Some(credentials)) => log_in(stream, credentials).await?,
        (NO_METHOD, None) => return Err(Problem::CredentialsMissing),
        (NO_METHOD, Some(_)) => {
            return Err(Problem::NotSocks(
                "it wants to know who we are in another way than by a user name and a password",
            ));
        }
        _ => return Err(Problem::NotSocks("it chose what was not offered")),
    }
    write(stream, &request).await?;
    let [version, code] = read(stream).await?;
    if version != VERSION {
        return Err(Problem::NotSocks("its answer is not SOCKS5"));
    }
    // Who refuses may send no more than that, and close.
    if let Some(reply) = Reply::of(code) {
        let destination = destination.to_string();
        return Err(Problem::Socks { reply, destination });
    }
    let [_reserved, kind] = read(stream).await?;
    // The address that the proxy connects from means nothing here.
    let length = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => {
            let [length] = read(stream).await?;
            usize::from(length)
        }
        _ => return Err(Problem::NotSocks("its answer has no known type of address")),
    };
    let mut rest = [0; 255 + 2];
    let rest = rest.get_mut(..length + 2).unwrap_or_default();
    fill(stream, rest).await
}

async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    credentials: &Credentials,
) -> Result<(), Problem> {
    let mut login = vec![LOGIN_VERSION];
    for text in [&credentials.user, &credentials.password] {
        login.push(length_of(text)?);
        login.extend_from_slice(text.as_bytes());
    }
    write(stream, &login).await?;
    let [version, status] = read(stream).await?;
    if version != LOGIN_VERSION {
        return Err(Problem::NotSocks("its answer to the login is not SOCKS5"));
    }
    if status == 0 {
        Ok(())
    } else {
        Err(Problem::CredentialsRefused)
    }
}

fn request(destination: Destination<'_>) -> Result<Vec<u8>, Problem> {
    let mut request = vec![VERSION, CONNECT, 0];
    match destination {
        Destination::Address(address) => put_address(&mut request, address),
        Destination::Name(name, port) => {
            request.extend_from_slice(&[NAME, length_of(name)?]);
            request.extend_from_slice(name.as_bytes());
            request.extend_from_slice(&port.to_be_bytes());
        }
    }
    Ok(request)
}

fn put_address(request: &mut Vec<u8>, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => {
            request.push(IPV4);
            request.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            request.push(IPV6);
            request.extend_from_slice(&ip.octets());
        }
    }
    request.extend_from_slice(&address.port().to_be_bytes());
}

/// One octet has to do for it. Configurations are checked for this, so nobody should ever see the error.
fn length_of(text: &str) -> Result<u8, Problem> {
    u8::try_from(text.len()).map_err(|_| Problem::NotSocks("a name of more than 255 bytes"))
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<(), Problem> {
    stream.write_all(bytes).await?;
    Ok(stream.flush().await?)
}

async fn read<const N: usize>(stream: &mut (impl AsyncRead + Unpin)) -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    fill(stream, &mut bytes).await?;
    Ok(bytes)
}

async fn fill(stream: &mut (impl AsyncRead + Unpin), bytes: &mut [u8]) -> Result<(), Problem> {
    match stream.read_exact(bytes).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Problem::Closed),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
