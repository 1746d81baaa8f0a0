//! What a hashing balancer picks by.

use std::net::IpAddr;

use http::header::COOKIE;

use crate::balance::hash_key;
use crate::config::HashOn;
use crate::exchange::{Exchange, RequestHead};

/// The key of a request. One that lacks what is hashed is picked for by its client's address.
pub fn of(hash_on: &HashOn, exchange: &Exchange) -> u64 {
    let request = &exchange.request;
    let found = match hash_on {
        HashOn::ClientIp | HashOn::Plugin => None,
        HashOn::Header(name) => request
            .headers
            .get(name)
            .map(|value| hash_key(value.as_bytes())),
        HashOn::Cookie(name) => cookie(request, name).map(hash_key),
        HashOn::Query(name) => query(request, name).map(|value| hash_key(value.as_bytes())),
        HashOn::Path => Some(hash_key(request.target.path().as_bytes())),
    };
    match (&request.balance_key, found) {
        (Some(key), _) => hash_key(key),
        (None, Some(key)) => key,
        (None, None) => match exchange.client.address {
            IpAddr::V4(address) => hash_key(&address.octets()),
            IpAddr::V6(address) => hash_key(&address.octets()),
        },
    }
}

fn cookie<'a>(request: &'a RequestHead, name: &str) -> Option<&'a [u8]> {
    request
        .headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b';'))
        .map(<[u8]>::trim_ascii)
        .find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

fn query<'a>(request: &'a RequestHead, name: &str) -> Option<&'a str> {
    request
        .target
        .query()?
        .split('&')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}
