//! Where a connection leads: a name that it was made to may have got other addresses since.

use std::cell::Cell;
use std::net::IpAddr;

use super::Endpoint;
use crate::transport::Stream;

/// See the module's documentation.
#[derive(Debug)]
pub struct Destination {
    ip: Option<IpAddr>,
    /// For which [generation](Endpoint::generation) of its endpoint it is known to lead there; 0 for none of a name.
    checked: Cell<u64>,
}

impl Destination {
    /// The other end of a stream.
    pub fn of(stream: &Stream) -> Self {
        Self {
            ip: stream.peer_ip(),
            checked: Cell::new(0),
        }
    }

    /// Whether a new connection could still lead there. Most often a comparison of two numbers.
    pub fn is_still(&self, endpoint: &Endpoint) -> bool {
        let generation = endpoint.generation();
        if self.checked.get() == generation {
            return true;
        }
        let is_still = self.ip.is_none_or(|ip| endpoint.leads_to(ip));
        if is_still {
            self.checked.set(generation);
        }
        is_still
    }
}
