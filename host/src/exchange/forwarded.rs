//! Tells the upstream who asked: `X-Forwarded-For`, `-Host`, `-Proto`, and `Forwarded` (RFC 7239).
//!
//! What a trusted proxy sent is continued; what anybody else sent is replaced, so an upstream may
//! believe all of it.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::str::FromStr;

use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use super::{Client, Scheme};

static FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Finds the client behind trusted proxies: from the right, the first address of
/// `X-Forwarded-For` that isn't a trusted proxy itself. Anything unreadable ends the search at
/// the last address that was believed.
pub fn client(
    peer: IpAddr,
    scheme: Scheme,
    trusted_proxies: &[IpNet],
    headers: &HeaderMap,
) -> Client {
    let peer = peer.to_canonical();
    let is_trusted = |address: &IpAddr| trusted_proxies.iter().any(|net| net.contains(address));
    let trusted = !trusted_proxies.is_empty() && is_trusted(&peer);
    let mut address = peer;
    if trusted {
        let values: Vec<&HeaderValue> = headers.get_all(&FOR).iter().collect();
        let hops = values.iter().rev().flat_map(|value| {
            value
                .as_bytes()
                .rsplit(|byte| *byte == b',')
                .map(<[u8]>::trim_ascii)
        });
        for hop in hops {
            let Some(hop) = std::str::from_utf8(hop).ok().and_then(parse_hop) else {
                break;
            };
            address = hop;
            if !is_trusted(&hop) {
                break;
            }
        }
    }
    Client {
        address,
        peer,
        trusted,
        scheme,
    }
}

/// An address, with a port or brackets where a proxy wrote them.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.split(']').next())
        .unwrap_or(text);
    IpAddr::from_str(bare)
        .ok()
        .or_else(|| {
            std::net::SocketAddr::from_str(text)
                .ok()
                .map(|address| address.ip())
        })
        .map(|address| address.to_canonical())
}

/// Writes the four fields for the requests of one connection. What does not change from one request
/// to the next is kept.
#[derive(Debug)]
pub struct Forwarded {
    peer: HeaderValue,
    /// The last Host, and the element of `Forwarded` with it.
    element: RefCell<Option<(HeaderValue, HeaderValue)>>,
}

impl Forwarded {
    /// For the requests of this peer.
    pub fn new(peer: IpAddr) -> Self {
        let peer = HeaderValue::from_str(&peer.to_canonical().to_string());
        Self {
            peer: peer.unwrap_or(HeaderValue::from_static("unknown")),
            element: RefCell::default(),
        }
    }

    /// Writes the fields. `host` is the Host that the client asked for.
    pub fn write(&self, headers: &mut HeaderMap, client: &Client, host: &HeaderValue) {
        let element = self.element(client, host);
        if client.trusted {
            append_to_list(headers, &FOR, &self.peer);
            append_to_list(headers, &FORWARDED, &element);
            if !headers.contains_key(&HOST) {
                headers.insert(&HOST, host.clone());
            }
            if !headers.contains_key(&PROTO) {
                headers.insert(&PROTO, HeaderValue::from_static(client.scheme.as_str()));
            }
        } else {
            headers.insert(&FOR, self.peer.clone());
            headers.insert(FORWARDED, element);
            headers.insert(&HOST, host.clone());
            headers.insert(&PROTO, HeaderValue::from_static(client.scheme.as_str()));
        }
    }

    fn element(&self, client: &Client, host: &HeaderValue) -> HeaderValue {
        let mut kept = self.element.borrow_mut();
        if let Some((of, element)) = &*kept
            && of == host
        {
            return element.clone();
        }
        let mut text = String::with_capacity(64);
        push_element(&mut text, client, host);
        let element =
            HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("for=unknown"));
        // A copy: the request's own is a part of the buffer that its head was read into, and would keep all of it.
        if let Ok(host) = HeaderValue::from_bytes(host.as_bytes()) {
            *kept = Some((host, element.clone()));
        }
        element
    }
}

/// Continues what is there already, as one list.
fn append_to_list(headers: &mut HeaderMap, name: &HeaderName, last: &HeaderValue) {
    let mut text = Vec::with_capacity(96);
    for value in headers.get_all(name) {
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b", ");
    }
    text.extend_from_slice(last.as_bytes());
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(name, value);
    }
}

/// One element of `Forwarded`: an IPv6 address stands in brackets and quotes (RFC 7239, section 6).
fn push_element(text: &mut String, client: &Client, host: &HeaderValue) {
    let _ = match client.peer {
        IpAddr::V4(address) => write!(text, "for={address}"),
        IpAddr::V6(address) => write!(text, "for=\"[{address}]\""),
    };
    // The head was checked: a host consists of characters that need no escape in a quoted string.
    if let Ok(host) = host.to_str()
        && !host.is_empty()
        && !host.contains(['"', '\\'])
    {
        let _ = write!(text, ";host=\"{host}\"");
    }
    text.push_str(";proto=");
    text.push_str(client.scheme.as_str());
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn with(fields: &[(&HeaderName, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append((*name).clone(), HeaderValue::from_static(value));
        }
        map
    }

    fn nets(text: &str) -> Vec<IpNet> {
        vec![text.parse().unwrap()]
    }

    #[test]
    fn replaces_what_an_untrusted_peer_claims() {
        let mut map = with(&[
            (&FOR, "1.1.1.1"),
            (&HOST, "evil"),
            (&PROTO, "https"),
            (&FORWARDED, "for=1.1.1.1"),
        ]);
        let client = client(PEER, Scheme::Http, &[], &map);
        assert_eq!(client.address, PEER);
        Forwarded::new(client.peer).write(
            &mut map,
            &client,
            &HeaderValue::from_static("a.example"),
        );
        assert_eq!(map[&FOR], "10.0.0.1");
        assert_eq!(map[&HOST], "a.example");
        assert_eq!(map[&PROTO], "http");
        assert_eq!(
            map[&FORWARDED],
            "for=10.0.0.1;host=\"a.example\";proto=http"
        );
    }

    #[test]
    fn continues_what_a_trusted_peer_says() {
        let mut map = with(&[
            (&FOR, "1.1.1.1"),
            (&FOR, "2.2.2.2, 10.0.0.9"),
            (&HOST, "outside"),
            (&PROTO, "https"),
            (&FORWARDED, "for=1.1.1.1"),
        ]);
        let client = client(PEER, Scheme::Http, &nets("10.0.0.0/8"), &map);
        assert_eq!(client.address.to_string(), "2.2.2.2");
        Forwarded::new(client.peer).write(&mut map, &client, &HeaderValue::from_static("a"));
        assert_eq!(map[&FOR], "1.1.1.1, 2.2.2.2, 10.0.0.9, 10.0.0.1");
        assert_eq!(map.get_all(&FOR).iter().count(), 1);
        assert_eq!(map[&HOST], "outside");
        assert_eq!(map[&PROTO], "https");
        assert_eq!(
            map[&FORWARDED],
            "for=1.1.1.1, for=10.0.0.1;host=\"a\";proto=http"
        );
    }

    #[test]
    fn an_unreadable_hop_ends_the_search() {
        let map = with(&[(&FOR, "1.1.1.1, unknown, 10.0.0.9")]);
        let client = client(PEER, Scheme::Http, &nets("10.0.0.0/8"), &map);
        assert_eq!(client.address.to_string(), "10.0.0.9");
    }

    #[test]
    fn reads_ports_and_brackets_and_writes_ipv6_in_quotes() {
        assert_eq!(parse_hop("1.2.3.4:80").unwrap().to_string(), "1.2.3.4");
        assert_eq!(parse_hop("[::1]:80").unwrap().to_string(), "::1");
        assert_eq!(parse_hop("::ffff:1.2.3.4").unwrap().to_string(), "1.2.3.4");
        let mut map = HeaderMap::new();
        let peer = "2001:db8::1".parse().unwrap();
        let client = client(peer, Scheme::Http, &[], &map);
        Forwarded::new(client.peer).write(&mut map, &client, &HeaderValue::from_static("a"));
        assert_eq!(
            map[&FORWARDED],
            "for=\"[2001:db8::1]\";host=\"a\";proto=http"
        );
    }
}
