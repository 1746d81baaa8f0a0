//! An upstream that holds its answers back until it is told to go on.

use crate::upstream::RawUpstream;
use crate::wait::Signal;

/// See [`RawUpstream::holding`].
#[derive(Debug)]
pub struct Holding {
    upstream: RawUpstream,
    arrived: Signal,
    go_on: Signal,
}

impl RawUpstream {
    /// Answers each request with `first` at once, and with `rest` when it is told to [go on](Holding::go_on), from then on
    /// without waiting.
    pub fn holding(first: &'static str, rest: &'static str) -> Holding {
        let (arrived, go_on) = (Signal::new(), Signal::new());
        let upstream = Self::start({
            let (arrived, go_on) = (arrived.clone(), go_on.clone());
            move |wire| {
                while wire.try_read_head().is_ok() && wire.try_write(first).is_ok() {
                    arrived.give();
                    go_on.wait("the upstream is told to go on");
                    if wire.try_write(rest).is_err() {
                        return;
                    }
                }
            }
        });
        Holding {
            upstream,
            arrived,
            go_on,
        }
    }
}

impl Holding {
    /// Where it is: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.upstream.url()
    }

    /// How many connections it has taken.
    pub fn connections(&self) -> usize {
        self.upstream.connections()
    }

    /// Waits until a request has come.
    #[track_caller]
    pub fn wait_for_request(&self) {
        self.arrived.wait("the upstream has a request");
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.go_on.give();
    }
}
