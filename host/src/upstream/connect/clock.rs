//! Time, as names and connections go by it: the runtime's, or in tests one that only moves when all that could happen has.

use std::time::{Duration, Instant};

/// See the module's documentation.
pub(super) trait Clock {
    /// The moment.
    fn now(&self) -> Instant;
    /// Waits.
    fn sleep(&self, length: Duration) -> impl Future<Output = ()>;

    /// Waits for something, but not longer than this.
    async fn within<T>(&self, length: Duration, waited_for: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            result = waited_for => Some(result),
            () = self.sleep(length) => None,
        }
    }
}

/// The runtime's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Runtime;

impl Clock for Runtime {
    fn now(&self) -> Instant {
        Instant::now()
    }

    async fn sleep(&self, length: Duration) {
        tokio::time::sleep(length).await;
    }
}

#[cfg(test)]
pub(super) mod testing {
    //! tokio's own paused clock is behind a feature, and with it builds for tests would have nothing in common with others.

    use std::cell::{Cell, RefCell};
    use std::future::poll_fn;
    use std::pin::pin;
    use std::rc::Rc;
    use std::task::{Poll, Waker};

    use tokio::task::{LocalSet, yield_now};

    use super::{Clock, Duration, Instant};

    /// A clock that [`run`] moves.
    #[derive(Debug)]
    pub(in super::super) struct Manual {
        now: Cell<Instant>,
        sleeping: RefCell<Vec<(Instant, Waker)>>,
    }

    impl Manual {
        /// On to when the next one who sleeps has to get up.
        fn advance(&self) {
            let mut sleeping = self.sleeping.borrow_mut();
            let next = sleeping.iter().map(|(until, _)| *until).min();
            self.now.set(next.expect("something happens some time"));
            let due = sleeping.extract_if(.., |(until, _)| *until <= self.now.get());
            due.for_each(|(_, waker)| waker.wake());
        }
    }

    impl Clock for Rc<Manual> {
        fn now(&self) -> Instant {
            self.now.get()
        }

        async fn sleep(&self, length: Duration) {
            let until = self.now() + length;
            poll_fn(|cx| {
                if self.now() >= until {
                    return Poll::Ready(());
                }
                self.sleeping.borrow_mut().push((until, cx.waker().clone()));
                Poll::Pending
            })
            .await;
        }
    }

    /// Runs a test, which can spawn local tasks. Whenever all wait, time moves on.
    pub(in super::super) fn run<F: Future<Output = ()>>(test: impl FnOnce(Rc<Manual>) -> F) {
        let clock = Rc::new(Manual {
            now: Cell::new(Instant::now()),
            sleeping: RefCell::default(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        LocalSet::new().block_on(&runtime, async {
            let mut test = pin!(test(Rc::clone(&clock)));
            loop {
                for _ in 0..10 {
                    if poll_fn(|cx| Poll::Ready(test.as_mut().poll(cx).is_ready())).await {
                        return;
                    }
                    yield_now().await;
                }
                clock.advance();
            }
        });
    }
}
