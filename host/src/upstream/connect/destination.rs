//! Where a connection leads: a name that it was made to may have got other addresses since.

use std::cell::Cell;
use std::net::IpAddr;

use super::{Endpoint, Way};
use crate::transport::Stream;

/// See the module's documentation.
#[derive(Debug)]
pub struct Destination {
    ip: Option<IpAddr>,
    /// Behind a proxy that was told an address and no name.
    tunnel: Option<IpAddr>,
    /// For which [generations](Endpoint::generation) of its way's names it is known to lead there; 0 for none of a name.
    checked: Cell<(u64, u64)>,
}

impl Destination {
    /// The other end of a stream.
    pub fn of(stream: &Stream) -> Self {
        Self {
            ip: stream.peer_ip(),
            tunnel: stream.tunnel_ip(),
            checked: Cell::new((0, 0)),
        }
    }

    /// Whether a new connection on this way could still lead there. Most often a comparison of numbers.
    pub fn is_still(&self, way: &Way) -> bool {
        let (first, end) = (way.first_hop(), way.resolved_end());
        let generations = (first.generation(), end.map_or(0, Endpoint::generation));
        if self.checked.get() == generations {
            return true;
        }
        let leads =
            |ip: Option<IpAddr>, endpoint: &Endpoint| ip.is_none_or(|ip| endpoint.leads_to(ip));
        let is_still = leads(self.ip, first) && end.is_none_or(|end| leads(self.tunnel, end));
        if is_still {
            self.checked.set(generations);
        }
        is_still
    }
}
