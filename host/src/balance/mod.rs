//! Choosing the target of a request.
//!
//! One file per algorithm, all behind [`Balancer`]; [`from_algorithm`] makes the one that the
//! configuration names. A balancer only chooses: which targets may be chosen at all, and how busy
//! they are, it learns from the caller's [`Pool`].
//!
//! # What is shared, and why a client cannot tell how many workers there are
//!
//! An upstream has **one** balancer, and all worker threads pick from it. With one per worker, three
//! workers would each begin with the first target, and what a client sees would depend on which
//! worker accepted its connection. What is shared is small and costs little:
//!
//! | algorithm | shared between workers | cost of sharing |
//! |---|---|---|
//! | `round-robin` | a counter | one relaxed atomic addition |
//! | `weighted-round-robin` | two numbers per target | a mutex held for tens of nanoseconds |
//! | `random` | nothing that changes | none: the generator is the thread's own |
//! | `least-request` | the caller's in-flight counts | relaxed atomic loads |
//! | `peak-ewma` | the caller's in-flight counts, one word per target | relaxed atomic loads; a compare-and-swap for each answer |
//! | `consistent-hash` | nothing that changes | none: the ring is immutable |
//! | `maglev` | nothing that changes | none: the table is immutable |
//! | either with `bounded_load` | the caller's in-flight counts | relaxed atomic loads of all targets' |
//!
//! # Going on to the next target
//!
//! [`Candidates`] turns single picks into the sequence in which a caller should try targets, and
//! [`Balancer::finished`] is told how each try went:
//!
//! ```
//! use std::time::Instant;
//!
//! use sluicegate::balance::{Balancer, Candidates, Outcome, Pool};
//!
//! fn ask(balancer: &dyn Balancer, pool: &dyn Pool, key: u64) -> Option<String> {
//!     let mut picked = Instant::now();
//!     for index in Candidates::new(balancer, pool, key).take(3) {
//!         let answer = exchange_with(index);
//!         let latency = picked.elapsed();
//!         let failed = answer.is_err();
//!         balancer.finished(index, Outcome { latency, failed });
//!         if let Ok(answer) = answer {
//!             return Some(answer);
//!         }
//!         picked = Instant::now();
//!     }
//!     None
//! }
//! # fn exchange_with(_: usize) -> std::io::Result<String> {
//! #     Ok(String::new())
//! # }
//! ```

mod bounded_load;
mod candidates;
mod consistent_hash;
mod least_request;
mod maglev;
mod peak_ewma;
mod random;
mod round_robin;
#[cfg(test)]
mod testing;
mod tried;
mod weighted_draw;
mod weighted_round_robin;

use std::fmt::Debug;
use std::num::NonZeroU32;
use std::time::Duration;

use twox_hash::XxHash64;

use crate::config::Algorithm;

pub use candidates::Candidates;
pub use consistent_hash::ConsistentHash;
pub use least_request::LeastRequest;
pub use maglev::Maglev;
pub use peak_ewma::PeakEwma;
pub use random::Random;
pub use round_robin::RoundRobin;
pub use tried::Tried;
pub use weighted_round_robin::WeightedRoundRobin;

/// An algorithm that chooses targets. Targets are added while the upstream is built; after that the
/// balancer is shared by all workers and only picked from.
pub trait Balancer: Debug + Send + Sync {
    /// Adds a target. Its index is the number of targets added before it.
    fn add(&mut self, target: Target<'_>);

    /// Called when all targets have been added: what takes long to make is made now, and not while
    /// the first request waits. It may be left out. By default nothing happens.
    fn prepare(&mut self) {}

    /// Picks a target that is usable and has not been tried; `None` when there is none.
    fn pick(&self, request: &Pick<'_>) -> Option<usize>;

    /// Says how an attempt at this target went, once for each pick that was tried: when the
    /// response's head has come, or when it is certain that none will come. Nothing is said of an
    /// attempt that ended for another's reason, such as a client that went away.
    ///
    /// By default nothing happens: most algorithms leave failures to health checks.
    fn finished(&self, index: usize, outcome: Outcome) {
        let _ = (index, outcome);
    }
}

/// How an attempt at a target went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// From the pick to the response's head, or to the failure.
    pub latency: Duration,
    /// Whether the target is to blame: no connection, no response, or one that says so itself.
    pub failed: bool,
}

/// What a balancer has to know of a target when it is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// `host:port`. It decides the target's place on a hash ring, so it must be the same on every
    /// gateway that is to send the same key to the same target.
    pub name: &'a str,
    /// The share of the requests, relative to the other targets' weights.
    pub weight: NonZeroU32,
}

/// The caller's view of the targets' present state, by the index that [`Balancer::add`] gave them.
/// Both methods are asked several times for each request, from all workers: atomics, no locks.
pub trait Pool {
    /// Whether requests may go to this target now: healthy, not ejected, not draining.
    fn usable(&self, index: usize) -> bool;

    /// Requests that all workers together have at this target.
    fn in_flight(&self, index: usize) -> u32;
}

/// One question to a balancer.
#[derive(Clone, Copy)]
pub struct Pick<'a> {
    /// [`hash_key`] of what the upstream hashes on. Only hashing balancers read it. A request that
    /// has no such thing (no such cookie, say) should bring a random number: a constant would send
    /// all of them to one target.
    pub key: u64,
    /// The targets' state.
    pub pool: &'a dyn Pool,
    /// Targets that this request has been given before.
    pub tried: &'a Tried,
}

impl Pick<'_> {
    /// Whether this target may be the answer.
    pub fn allows(&self, index: usize) -> bool {
        !self.tried.contains(index) && self.pool.usable(index)
    }
}

/// Makes the balancer for an upstream's `balance = "…"`, without targets yet.
pub fn from_algorithm(algorithm: Algorithm) -> Box<dyn Balancer> {
    match algorithm {
        Algorithm::Random => Box::new(Random::default()),
        Algorithm::RoundRobin => Box::new(RoundRobin::default()),
        Algorithm::WeightedRoundRobin => Box::new(WeightedRoundRobin::default()),
        Algorithm::ConsistentHash { bounded_load } => Box::new(ConsistentHash::new(bounded_load)),
        Algorithm::LeastRequest => Box::new(LeastRequest::default()),
        Algorithm::PeakEwma => Box::new(PeakEwma::default()),
        Algorithm::Maglev { bounded_load } => Box::new(Maglev::new(bounded_load)),
    }
}

/// The [`Pick::key`] of a client's address, a header's value and so on. XXH64 with seed 0: the
/// same on every machine, in every version.
pub fn hash_key(bytes: &[u8]) -> u64 {
    XxHash64::oneshot(0, bytes)
}

#[cfg(test)]
mod tests;
