//! What is recorded about exchanges: counters, the access log, and what went wrong.

pub mod access_log;
pub mod failure_log;
pub mod metrics;
pub mod record;
pub mod throttle;
