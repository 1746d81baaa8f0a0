//! How a target is reached.

pub mod proxy;
