//! What is recorded about exchanges: counters and the access log.

pub mod access_log;
pub mod metrics;
pub mod record;
