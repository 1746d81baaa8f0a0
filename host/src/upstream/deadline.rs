//! Until when a response's head must have come.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use crate::exchange::client_body::Upload;
use crate::timer::Timer;

/// The response's head must come within `limit` of the request's last byte, and before `end`.
#[derive(Debug)]
pub struct Deadline<'a> {
    /// The request's body, where it comes from the client.
    pub upload: Option<&'a Upload>,
    /// `timeouts.response`
    pub limit: Duration,
    /// By the route's `timeout`.
    pub end: Instant,
    /// A request without a body has been sent about then: another look at the clock would tell
    /// no more.
    pub began: Instant,
}

/// The time is up.
#[derive(Debug)]
pub struct Expired;

impl Deadline<'_> {
    fn current(&self) -> Instant {
        let since = self.upload.map_or(self.began, Upload::last_progress);
        (since + self.limit).min(self.end)
    }

    /// Starts a timer for it.
    pub fn start(&self, timer: &mut Timer) {
        timer.start_at(self.current());
    }

    /// Waits for it, with the timer that it was started with.
    pub fn poll(&self, timer: &mut Timer, cx: &mut Context<'_>) -> Poll<Expired> {
        while timer.poll(cx).is_ready() {
            match self.upload {
                // Something was sent meanwhile.
                Some(_) if self.current() > Instant::now() => timer.start_at(self.current()),
                _ => return Poll::Ready(Expired),
            }
        }
        Poll::Pending
    }
}
