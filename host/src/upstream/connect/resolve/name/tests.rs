use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::task::{JoinHandle, spawn_local};

use super::super::lookup::Found;
use super::*;
use crate::config;
use crate::upstream::connect::clock::testing::{Manual, run};

const LIFETIMES: Lifetimes = Lifetimes {
    min: Duration::from_secs(1),
    max: Duration::from_mins(10),
    stale: Duration::from_mins(2),
};

/// A server that says what it is told to.
struct Script {
    clock: Rc<Manual>,
    says: RefCell<Option<Result<Found, NotFound>>>,
    /// How long it takes for that.
    takes: Cell<Duration>,
    asked: Cell<usize>,
    /// Look-ups that go on.
    going_on: Cell<usize>,
}

impl Script {
    fn new(clock: &Rc<Manual>) -> Self {
        Self {
            clock: Rc::clone(clock),
            says: RefCell::default(),
            takes: Cell::default(),
            asked: Cell::default(),
            going_on: Cell::default(),
        }
    }

    fn says(&self, ips: &[&str], lifetime: u64) {
        let addresses = ips.iter().map(|ip| ip.parse().unwrap()).collect();
        let lifetime = Duration::from_secs(lifetime);
        self.says.replace(Some(Ok(Found {
            addresses,
            lifetime,
        })));
    }

    fn fails(&self, error: NotFound) {
        self.says.replace(Some(Err(error)));
    }
}

impl Lookup for Rc<Script> {
    async fn look_up(&self, host: &str) -> Result<Found, NotFound> {
        assert_eq!(host, "app.test");
        self.asked.set(self.asked.get() + 1);
        self.going_on.set(self.going_on.get() + 1);
        assert_eq!(self.going_on.get(), 1, "one look-up at a time");
        self.clock.sleep(self.takes.get()).await;
        self.going_on.set(0);
        self.says.borrow().clone().expect("something to say")
    }
}

struct Test {
    name: Rc<Name>,
    script: Rc<Script>,
    task: JoinHandle<()>,
    clock: Rc<Manual>,
}

impl Test {
    fn new(clock: Rc<Manual>) -> Self {
        let resolver = Resolver::new(config::Resolver::default());
        let (name, shared, known) = Name::new("app.test", resolver);
        let script = Rc::new(Script::new(&clock));
        let lookup = Rc::clone(&script);
        let time = Rc::clone(&clock);
        let task =
            spawn_local(async move { follow(shared, known, &lookup, &time, &LIFETIMES).await });
        Self {
            name: Rc::new(name),
            script,
            task,
            clock,
        }
    }

    async fn addresses(&self) -> Result<Vec<String>, NotFound> {
        let answer = self.name.answer().await?;
        let order = answer.in_order(0, 1);
        Ok(order.iter().map(ToString::to_string).collect())
    }

    async fn seconds(&self, seconds: u64) {
        self.clock.sleep(Duration::from_secs(seconds)).await;
    }

    async fn expect(&self, ip: &str) {
        assert_eq!(self.addresses().await, Ok(vec![ip.to_owned()]));
    }
}

fn test<F: Future<Output = ()>>(run_test: impl FnOnce(Test) -> F) {
    run(|clock| run_test(Test::new(clock)));
}

#[test]
fn nothing_is_looked_up_before_somebody_asks_and_then_once_for_all() {
    test(async |test| {
        test.script.says(&["10.0.0.1"], 100);
        test.script.takes.set(Duration::from_secs(1));
        test.seconds(5).await;
        assert_eq!((test.script.asked.get(), test.name.is_awaited()), (0, true));
        assert!(
            test.name.leads_to([10, 9, 9, 9].into()),
            "nothing is known yet"
        );
        let asking: Vec<_> = (0..20)
            .map(|_| {
                let name = Rc::clone(&test.name);
                spawn_local(async move { name.answer().await.map(|answer| answer.generation()) })
            })
            .collect();
        for asking in asking {
            assert_eq!(asking.await.unwrap(), Ok(test.name.generation()));
        }
        test.expect("10.0.0.1").await;
        assert_eq!(
            (test.script.asked.get(), test.name.is_awaited()),
            (1, false)
        );
    });
}

#[test]
fn a_name_in_use_is_looked_up_before_its_lifetime_ends_and_nobody_waits() {
    test(async |test| {
        test.script.says(&["10.0.0.1"], 10);
        test.expect("10.0.0.1").await;
        let first = test.name.generation();
        test.script.says(&["10.0.0.2"], 10);
        test.script.takes.set(Duration::from_secs(1));
        test.seconds(7).await;
        assert_eq!(test.script.asked.get(), 1);
        for _ in 0..30 {
            test.seconds(1).await;
            let began = test.clock.now();
            test.addresses().await.unwrap();
            assert_eq!(test.clock.now() - began, Duration::ZERO);
        }
        assert!(
            (4..=6).contains(&test.script.asked.get()),
            "{}",
            test.script.asked.get()
        );
        test.expect("10.0.0.2").await;
        assert!(test.name.generation() != first);
        assert!(test.name.leads_to([10, 0, 0, 2].into()));
        assert!(!test.name.leads_to([10, 0, 0, 1].into()));
    });
}

#[test]
fn a_name_that_nobody_uses_comes_to_rest_and_the_next_one_waits_for_a_new_answer() {
    test(async |test| {
        test.script.says(&["10.0.0.1"], 10);
        test.expect("10.0.0.1").await;
        test.seconds(300).await;
        let asked = test.script.asked.get();
        assert!(asked <= 9, "{asked}");
        test.seconds(300).await;
        assert_eq!(test.script.asked.get(), asked);
        test.script.says(&["10.0.0.2"], 10);
        test.expect("10.0.0.2").await;
        assert_eq!(test.script.asked.get(), asked + 1);
    });
}

#[test]
fn while_servers_fail_the_last_answer_is_used_for_so_long() {
    test(async |test| {
        test.script.says(&["10.0.0.1"], 10);
        test.expect("10.0.0.1").await;
        let generation = test.name.generation();
        test.script.fails(NotFound::Timeout);
        for _ in 0..115 {
            test.seconds(1).await;
            let began = test.clock.now();
            test.expect("10.0.0.1").await;
            assert_eq!(
                test.clock.now() - began,
                Duration::ZERO,
                "nobody waits for a server that is down"
            );
        }
        // At most every five seconds.
        assert!(test.script.asked.get() <= 26, "{}", test.script.asked.get());
        test.seconds(20).await;
        assert_eq!(test.addresses().await, Err(NotFound::Timeout));
        // Connections that stand are none the worse for it.
        assert_eq!(test.name.generation(), generation);
        assert!(test.name.leads_to([10, 0, 0, 1].into()));
        test.script.says(&["10.0.0.1"], 10);
        test.seconds(2).await;
        test.expect("10.0.0.1").await;
    });
}

#[test]
fn after_a_rest_a_silent_server_is_not_waited_for_where_there_is_an_old_answer() {
    test(async |test| {
        test.script.says(&["10.0.0.1"], 100);
        test.expect("10.0.0.1").await;
        test.seconds(270).await;
        test.script.takes.set(Duration::from_secs(20));
        test.script.says(&["10.0.0.2"], 10);
        let began = test.clock.now();
        test.expect("10.0.0.1").await;
        assert_eq!(test.clock.now() - began, PATIENCE);
        test.seconds(20).await;
        test.expect("10.0.0.2").await;
    });
}

#[test]
fn that_there_is_no_such_name_is_believed_briefly_and_ends_what_was_known() {
    test(async |test| {
        let none = NotFound::None("no such name".into(), Duration::from_hours(1));
        test.script.fails(none.clone());
        assert_eq!(test.addresses().await, Err(none.clone()));
        test.seconds(29).await;
        test.script.says(&["10.0.0.1"], 10);
        assert_eq!(test.addresses().await, Err(none.clone()));
        assert_eq!(test.script.asked.get(), 1);
        test.seconds(2).await;
        test.expect("10.0.0.1").await;
        test.script.fails(none.clone());
        test.seconds(10).await;
        assert_eq!(test.addresses().await, Err(none));
        assert!(!test.name.leads_to([10, 0, 0, 1].into()), "gone is gone");
    });
}

#[test]
fn a_failure_without_an_answer_is_tried_again_soon_and_not_at_once() {
    test(async |test| {
        let failed = NotFound::Failed("refused".into());
        test.script.fails(failed.clone());
        for _ in 0..50 {
            assert_eq!(test.addresses().await, Err(failed.clone()));
        }
        assert_eq!(test.script.asked.get(), 1);
        test.script.says(&["10.0.0.1"], 10);
        test.seconds(2).await;
        test.expect("10.0.0.1").await;
    });
}

#[test]
fn lifetimes_have_a_floor_and_a_ceiling() {
    test(async |test| {
        test.script.says(&["10.0.0.1"], 0);
        for _ in 0..100 {
            test.expect("10.0.0.1").await;
        }
        assert_eq!(test.script.asked.get(), 1);
        test.script.says(&["10.0.0.2"], 1 << 31);
        test.seconds(1).await;
        test.expect("10.0.0.2").await;
        test.script.says(&["10.0.0.3"], 10);
        test.seconds(481).await;
        test.expect("10.0.0.3").await;
    });
}

#[test]
fn an_answer_without_a_usable_address_is_none() {
    test(async |test| {
        test.script.says(&["0.0.0.0", "224.0.0.1"], 10);
        assert!(matches!(test.addresses().await, Err(NotFound::None(..))));
    });
}

#[test]
fn a_look_up_that_never_ends_is_given_up() {
    test(async |test| {
        test.script.says(&["10.0.0.1"], 10);
        test.script.takes.set(Duration::from_hours(1));
        let began = test.clock.now();
        assert_eq!(test.addresses().await, Err(NotFound::Timeout));
        assert_eq!(test.clock.now() - began, LONGEST);
    });
}

#[test]
fn a_name_that_is_dropped_is_not_followed_any_more() {
    test(async |test| {
        test.script.says(&["10.0.0.1"], 10);
        test.expect("10.0.0.1").await;
        let Test { name, task, .. } = test;
        drop(name);
        task.await.unwrap();
    });
}
