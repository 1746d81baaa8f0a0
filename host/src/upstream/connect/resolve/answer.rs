//! What a name leads to, and in which order its addresses are tried.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::upstream::health::Millis;

/// Addresses of a name that are used. A service of many instances behind one name has tens; an answer over TCP could hold
/// thousands.
pub(super) const MOST_ADDRESSES: usize = 64;

/// Addresses that one connection is tried to. With [`AVOIDED`] the next one begins with others.
const MOST_TRIED: usize = 16;

/// How long an address that took no connection comes after the others, in milliseconds.
const AVOIDED: Millis = 30_000;

/// One count for all names: a number is never met again, not with another name either.
static GENERATION: AtomicU64 = AtomicU64::new(1);

/// The addresses that a name has had since a certain moment.
#[derive(Debug)]
pub struct Answer {
    /// Sorted, so that the order in which a server lists them makes no difference.
    addresses: Vec<Address>,
    generation: u64,
}

#[derive(Debug)]
struct Address {
    ip: IpAddr,
    /// See [`AVOIDED`]; shared by all workers.
    avoided_until: AtomicU64,
}

impl Answer {
    /// What was found. Where it is the same as before, the answer is the same one; else what is known of the addresses that
    /// have stayed is taken over.
    pub(in super::super) fn following(
        found: impl IntoIterator<Item = IpAddr>,
        before: Option<&Arc<Self>>,
    ) -> Arc<Self> {
        let canonical = found.into_iter().map(|ip| ip.to_canonical());
        let mut found: Vec<IpAddr> = canonical.filter(can_be_connected_to).collect();
        found.sort_unstable();
        found.dedup();
        found.truncate(MOST_ADDRESSES);
        if let Some(before) = before
            && before
                .addresses
                .iter()
                .map(|address| &address.ip)
                .eq(&found)
        {
            return Arc::clone(before);
        }
        Arc::new(Self {
            addresses: found
                .into_iter()
                .map(|ip| {
                    let known = before.and_then(|before| before.find(ip));
                    let avoided = known.map_or(0, Address::avoided_until);
                    Address {
                        ip,
                        avoided_until: AtomicU64::new(avoided),
                    }
                })
                .collect(),
            generation: GENERATION.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// A number that no other answer of any name has. Never 0.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether there is no address.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// Whether this is one of the addresses.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.find(ip.to_canonical()).is_some()
    }

    fn find(&self, ip: IpAddr) -> Option<&Address> {
        let index = self
            .addresses
            .binary_search_by_key(&ip, |address| address.ip);
        self.addresses.get(index.ok()?)
    }

    /// This address did not take a connection: for a while the others come first.
    pub fn avoid(&self, ip: IpAddr, now: Millis) {
        if let Some(address) = self.find(ip.to_canonical()) {
            address
                .avoided_until
                .store(now + AVOIDED, Ordering::Relaxed);
        }
    }

    /// The addresses in the order in which a connection is tried to them. Each `turn` begins with another one, so that
    /// all get their share; then the families alternate (RFC 8305, section 4); those that took no connection lately are
    /// the last.
    pub fn in_order(&self, turn: usize, now: Millis) -> Vec<IpAddr> {
        let (good, avoided): (Vec<&Address>, Vec<&Address>) = self
            .addresses
            .iter()
            .partition(|address| address.avoided_until() <= now);
        let mut order = alternating(&good, turn);
        order.extend(alternating(&avoided, turn));
        order.truncate(MOST_TRIED);
        order
    }
}

impl Address {
    fn avoided_until(&self) -> Millis {
        self.avoided_until.load(Ordering::Relaxed)
    }
}

/// A target's name that leads to "any address" leads to this machine, and one that leads to a group leads nowhere: neither is meant.
fn can_be_connected_to(ip: &IpAddr) -> bool {
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast
}

fn alternating(addresses: &[&Address], turn: usize) -> Vec<IpAddr> {
    let start = turn.checked_rem(addresses.len()).unwrap_or(0);
    let (before, from) = addresses.split_at_checked(start).unwrap_or_default();
    let rotated: Vec<IpAddr> = from
        .iter()
        .chain(before)
        .map(|address| address.ip)
        .collect();
    let begins_with_4 = rotated.first().is_some_and(IpAddr::is_ipv4);
    let (first, second): (Vec<IpAddr>, Vec<IpAddr>) = rotated
        .into_iter()
        .partition(|ip| ip.is_ipv4() == begins_with_4);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut order = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return order;
        }
        order.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn answer(texts: &[&str]) -> Arc<Answer> {
        Answer::following(ips(texts), None)
    }

    #[test]
    fn each_turn_begins_with_another_address_and_families_alternate() {
        let answer = answer(&["10.0.0.2", "10.0.0.1", "fd00::1", "10.0.0.3"]);
        for (turn, expected) in [
            (0, ["10.0.0.1", "fd00::1", "10.0.0.2", "10.0.0.3"]),
            (1, ["10.0.0.2", "fd00::1", "10.0.0.3", "10.0.0.1"]),
            (3, ["fd00::1", "10.0.0.1", "10.0.0.2", "10.0.0.3"]),
            (4, ["10.0.0.1", "fd00::1", "10.0.0.2", "10.0.0.3"]),
        ] {
            assert_eq!(answer.in_order(turn, 1), ips(&expected), "{turn}");
        }
    }

    #[test]
    fn who_took_no_connection_comes_last_for_a_while_and_the_others_share_its_turns() {
        let answer = answer(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        answer.avoid(ips(&["10.0.0.2"])[0], 1);
        for (turn, now, expected) in [
            (0, 2, ["10.0.0.1", "10.0.0.3", "10.0.0.2"]),
            (1, 2, ["10.0.0.3", "10.0.0.1", "10.0.0.2"]),
            (1, 1 + AVOIDED, ["10.0.0.2", "10.0.0.3", "10.0.0.1"]),
        ] {
            assert_eq!(answer.in_order(turn, now), ips(&expected), "{turn} {now}");
        }
    }

    #[test]
    fn a_new_answer_knows_what_the_old_one_knew_and_the_same_one_is_no_new_one() {
        let old = answer(&["10.0.0.1", "10.0.0.2"]);
        old.avoid(ips(&["10.0.0.1"])[0], 1);
        let same = Answer::following(ips(&["10.0.0.2", "10.0.0.1", "10.0.0.2"]), Some(&old));
        assert!(Arc::ptr_eq(&old, &same));
        let new = Answer::following(ips(&["10.0.0.3", "10.0.0.1"]), Some(&old));
        assert!(new.generation() != old.generation() && new.generation() != 0);
        assert_eq!(new.in_order(0, 2), ips(&["10.0.0.3", "10.0.0.1"]));
        assert!(new.contains(ips(&["::ffff:10.0.0.3"])[0]));
        assert!(!new.contains(ips(&["10.0.0.2"])[0]));
    }

    #[test]
    fn what_a_hostile_answer_can_hold_is_bounded() {
        let many = (0..=u16::MAX).map(|n| IpAddr::from([10, 0, (n >> 8) as u8, n as u8]));
        let answer = Answer::following(many, None);
        assert_eq!(answer.addresses.len(), MOST_ADDRESSES);
        assert_eq!(answer.in_order(7, 1).len(), MOST_TRIED);
        let none = ips(&[
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "::ffff:0.0.0.0",
        ]);
        let answer = Answer::following(none, None);
        assert!(answer.is_empty());
        assert_eq!(answer.in_order(1, 1), Vec::<IpAddr>::new());
    }
}
