//! A timer that costs a look at the clock to start and to stop.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// One timer for a connection's whole life, for whatever the connection waits for at the moment.
///
/// Nearly every timeout of a gateway is started and stopped without ever firing. So stopping leaves
/// the runtime's timer where it is; when that one fires too early it is set to the current deadline.
#[derive(Debug, Default)]
pub struct Timer {
    deadline: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// A timer that is running.
    pub fn started(after: Duration) -> Self {
        Self {
            deadline: Some(Instant::now() + after),
            sleep: None,
        }
    }

    /// Whether it has been started and has neither fired nor been stopped.
    pub fn is_running(&self) -> bool {
        self.deadline.is_some()
    }

    /// Starts it, or starts it again.
    pub fn start(&mut self, after: Duration) {
        self.deadline = Some(Instant::now() + after);
    }

    /// Stops it.
    pub fn stop(&mut self) {
        self.deadline = None;
    }

    /// Makes it fire after this time at the latest.
    pub fn start_before(&mut self, after: Duration) {
        let latest = Instant::now() + after;
        if self.deadline.is_none_or(|deadline| latest < deadline) {
            self.deadline = Some(latest);
        }
    }

    /// Sets the deadline itself.
    pub fn start_at(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
    }

    /// Ready once when the deadline has passed; pending while the timer is stopped.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else {
            return Poll::Pending;
        };
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if deadline < sleep.deadline() {
            sleep.as_mut().reset(deadline);
        }
        loop {
            // Not subject to tokio's budget: a peer that sends without a pause uses it up each time,
            // and a timeout that is polled last would never fire.
            ready!(pin!(tokio::task::unconstrained(sleep.as_mut())).poll(cx));
            if sleep.deadline() >= deadline {
                self.deadline = None;
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn fires_at_the_latest_deadline_only() {
        let began = Instant::now();
        let mut timer = Timer::started(Duration::from_millis(10));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(timer.poll(&mut cx).is_pending());
        timer.stop();
        timer.start(Duration::from_millis(40));
        std::future::poll_fn(|cx| timer.poll(cx)).await;
        assert!(began.elapsed() >= Duration::from_millis(40));
        assert!(!timer.is_running());
        timer.start(Duration::from_millis(10));
        std::future::poll_fn(|cx| timer.poll(cx)).await;
        assert!(began.elapsed() >= Duration::from_millis(50));
    }

    #[tokio::test]
    async fn an_earlier_deadline_is_not_missed() {
        let mut timer = Timer::started(Duration::from_hours(10));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(timer.poll(&mut cx).is_pending());
        timer.start(Duration::from_millis(10));
        // Else the test would never end.
        std::future::poll_fn(|cx| timer.poll(cx)).await;
    }
}
