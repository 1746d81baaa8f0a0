//! What the gateway knows of gRPC, which is HTTP/2 but for three things: its status is not HTTP's
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>), it comes behind the body, and a request says until when
//! its answer is of use.
//!
//! - [`status`]: gRPC's status for what goes wrong in the gateway
//! - [`timeout`]: how long a client waits

pub mod status;
pub mod timeout;

use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// Whether a head is one of gRPC. gRPC-Web, which has its status in the body, is none.
pub fn is_message(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return false;
    };
    let value = value.as_bytes();
    let Some((name, rest)) = value.split_at_checked(b"application/grpc".len()) else {
        return false;
    };
    name.eq_ignore_ascii_case(b"application/grpc")
        && rest.first().is_none_or(|next| b"+; \t".contains(next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn grpc_is_told_by_its_type() {
        for (value, is_one) in [
            ("application/grpc", true),
            ("Application/gRPC+proto", true),
            ("application/grpc;charset=x", true),
            ("application/grpc-web+proto", false),
            ("application/grp", false),
            ("application/json", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            assert_eq!(is_message(&headers), is_one, "{value}");
        }
        assert!(!is_message(&HeaderMap::new()));
    }
}
