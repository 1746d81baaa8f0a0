//! `listeners[].tls` and `upstreams.NAME.tls`: which files. What is in them is looked at by [`crate::tls`].

pub(super) mod model;
