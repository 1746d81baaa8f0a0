//! Finding the route of a request.
//!
//! A [`Table`] is built once from the configuration's routes and then only read: one walk over a
//! trie of path segments per host that comes into question, without a lock and, up to eight path
//! parameters, without an allocation.
//!
//! # Which route wins
//!
//! Of all the routes that fit a request, the first in this order. Where two are equal in one
//! criterion, the next one decides:
//!
//! 1. **Host** ([`HostPattern`]): exact, then `*.` with the longest suffix first, then none.
//! 2. **Path** ([`Pattern`]): segment by segment from the left, a literal beats a parameter beats a
//!    wildcard.
//! 3. **Method** ([`MethodFit`]): listed, then HEAD where only GET is listed, then a route for all.
//! 4. The order in the file.
//!
//! A route that is better in one criterion but does not fit in another hides nothing: the search
//! goes on to less specific paths and hosts. So `/a/{x}/c` and `/a/b/d` are both reachable, and a
//! route `POST /a/b` does not keep `GET /a/b` from reaching `/a/{x}`.
//!
//! 405 is the answer only if no route fits, and some would with another method.

mod host;
mod method;
#[cfg(test)]
mod oracle;
mod params;
mod path;
mod pattern;
mod table;

pub use host::{HostError, HostPattern};
pub use method::MethodFit;
pub use params::Params;
pub use pattern::{Pattern, PatternError, Segment};
pub use table::{Lookup, Rule, Table};
