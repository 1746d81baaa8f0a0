//! What of an upstream's targets is there for a request.

use std::cell::Cell;

use rand::RngExt as _;

use super::health;
use super::target::Upstream;
use crate::balance;

/// An upstream none of whose targets is usable: a request has better chances at one that failed than at none.
#[derive(Debug)]
pub struct LastResort<'a>(pub &'a Upstream);

impl balance::Pool for LastResort<'_> {
    fn usable(&self, index: usize) -> bool {
        index < self.0.targets.len()
    }

    fn in_flight(&self, index: usize) -> u32 {
        self.0.in_flight(index)
    }
}

/// An upstream as one request sees it. A target that warms up is there for it or is not, however often the balancer asks.
#[derive(Debug)]
pub struct View<'a> {
    upstream: &'a Upstream,
    /// The request's random number, once it was needed.
    draw: Cell<Option<f64>>,
}

impl<'a> View<'a> {
    /// Of a request that has been sent nowhere yet.
    pub fn new(upstream: &'a Upstream) -> Self {
        let draw = Cell::new(None);
        Self { upstream, draw }
    }

    /// The request is to be sent to another target: it takes one that warms up, too.
    pub fn take_any(&self) {
        self.draw.set(Some(0.0));
    }

    fn draw(&self) -> f64 {
        let draw = self.draw.get().unwrap_or_else(|| rand::rng().random());
        self.draw.set(Some(draw));
        draw
    }
}

impl balance::Pool for View<'_> {
    fn usable(&self, index: usize) -> bool {
        let slow_start = &self.upstream.slow_start;
        self.upstream.is_in_service(index) && slow_start.admits(index, health::now, || self.draw())
    }

    fn in_flight(&self, index: usize) -> u32 {
        self.upstream.in_flight(index)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::balance::{Candidates, Outcome};
    use crate::config;
    use crate::upstream::connect::Connectors;
    use crate::upstream::connect::resolve::Resolver;

    fn upstream(lines: &str) -> Upstream {
        let text = format!(
            "[upstreams.u]\ntargets = [{{ url = \"http://127.0.0.1:1\" }}, {{ url = \"http://127.0.0.1:2\" }}]\n{lines}\n[[routes]]\npath = \"/\"\nupstream = \"u\"\n"
        );
        let config = config::parse(&text, Path::new("gateway.toml"))
            .unwrap()
            .config;
        Upstream::following(
            "u",
            config.upstreams.get("u").unwrap(),
            None,
            &mut (0..),
            &Resolver::new(config.server.resolver.clone()),
            Connectors::default(),
        )
    }

    fn fail(upstream: &Upstream, index: usize) {
        let latency = Duration::ZERO;
        upstream.report(
            index,
            Outcome {
                latency,
                failed: true,
            },
        );
    }

    fn picks(upstream: &Upstream, pool: &dyn balance::Pool) -> Vec<usize> {
        let mut picks: Vec<usize> = Candidates::new(&*upstream.balancer, pool, 0).collect();
        picks.sort_unstable();
        picks
    }

    #[test]
    fn where_all_are_ejected_the_last_resort_is_all_of_them() {
        let upstream =
            upstream("outliers = { failures = 1, ejection = \"1h\", max_ejected = 1.0 }");
        let view = View::new(&upstream);
        assert_eq!(picks(&upstream, &view), [0, 1]);
        fail(&upstream, 0);
        assert_eq!(picks(&upstream, &view), [1]);
        fail(&upstream, 1);
        assert_eq!(picks(&upstream, &view), [0; 0]);
        assert_eq!(picks(&upstream, &LastResort(&upstream)), [0, 1]);
    }

    #[test]
    fn one_request_sees_a_target_that_warms_up_always_or_never() {
        let upstream = upstream("");
        upstream.warm_up(0, Duration::from_hours(1));
        for _ in 0..100 {
            let view = View::new(&upstream);
            let is_seen = balance::Pool::usable(&view, 0);
            assert!((0..100).all(|_| balance::Pool::usable(&view, 0) == is_seen));
            view.take_any();
            assert_eq!(picks(&upstream, &view), [0, 1]);
        }
    }
}
