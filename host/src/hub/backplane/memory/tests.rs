use std::time::Duration;

use super::super::super::delivery::{Audience, Delivery, Inbox, Letters};
use super::super::super::protocol::event;
use super::super::{Entered, Numbering};
use super::*;
use crate::websocket::frame::Kind;

/// A hub with one worker, that has somebody in room `a`.
struct Bench {
    memory: Memory,
    letters: Letters,
    room: Arc<str>,
}

fn bench(lines: &str) -> Bench {
    let text = format!("[hubs.h]\npath = \"/\"\n{lines}");
    let loaded = config::parse(&text, std::path::Path::new("gateway.toml")).unwrap();
    let directory = Arc::new(Directory::default());
    let memory = Memory::new(&directory, &loaded.config.hubs["h"]);
    let (inbox, letters) = Inbox::new();
    directory.open(0, inbox);
    let room = Arc::from("a");
    directory.occupy(0, &room);
    Bench {
        memory,
        letters,
        room,
    }
}

fn now<T>(pending: Pending<T>) -> T {
    match pending {
        Pending::Ready(value) => value,
        Pending::Later(_) => panic!("not at once"),
    }
}

impl Bench {
    fn publish(&self, data: &str) -> Result<Position, Refused> {
        now(self.memory.publish(
            &self.room,
            Publication {
                kind: Kind::Text,
                draft: event::message("a", None, data),
                numbering: Numbering::Json,
                audience: Audience::All,
            },
        ))
    }

    fn enter(&self, id: &str, watches: bool, since: Option<Position>) -> Entered {
        let member = Member {
            id: id.into(),
            info: None,
        };
        now(self.memory.enter(&self.room, member, watches, since)).unwrap()
    }

    /// What the worker gets, as texts.
    fn deliveries(&mut self) -> Vec<String> {
        let mut deliveries = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let next = self.letters.next(&mut deliveries, 1000);
            let _ = tokio::time::timeout(Duration::from_millis(1), next).await;
        });
        let describe = |delivery: Delivery| match delivery {
            Delivery::Room { frame, .. } => String::from_utf8(frame.payload().to_vec()).unwrap(),
            other => format!("{other:?}"),
        };
        deliveries.into_iter().map(describe).collect()
    }
}

#[test]
fn messages_are_numbered_and_handed_out() {
    let mut bench = bench("");
    let first = bench.publish("1").unwrap();
    let second = bench.publish("2").unwrap();
    assert_eq!((first.offset, second.offset), (1, 2));
    assert_eq!(first.epoch, second.epoch);
    assert_eq!(
        bench.deliveries(),
        [
            r#"{"type":"message","room":"a","data":1,"offset":1}"#,
            r#"{"type":"message","room":"a","data":2,"offset":2}"#
        ]
    );
}

#[test]
fn what_was_missed_is_told_exactly_or_not_at_all() {
    let bench = bench("history.messages = 3");
    let first = bench.publish("1").unwrap();
    for data in ["2", "3", "4"] {
        bench.publish(data).unwrap();
    }
    let missed = |since| {
        bench
            .enter("x", false, Some(since))
            .missed
            .map(|missed| missed.len())
    };
    let at = |offset| Position { offset, ..first };
    assert_eq!(missed(at(1)), Some(3));
    assert_eq!(missed(at(3)), Some(1));
    assert_eq!(missed(at(4)), Some(0));
    assert_eq!(missed(at(0)), None);
    assert_eq!(missed(at(5)), None);
    let elsewhere = Position {
        epoch: first.epoch ^ 1,
        ..at(3)
    };
    assert_eq!(missed(elsewhere), None);
}

#[test]
fn histories_share_what_memory_there_is() {
    let bench = bench("history = { messages = 1000, memory = \"1KiB\" }");
    for _ in 0..100 {
        bench.publish("\"0123456789\"").unwrap();
    }
    assert!(bench.memory.bytes.load(Ordering::Relaxed) <= 1024);
    let query = Query {
        since: None,
        limit: 1000,
    };
    let page = now(bench.memory.history("a", query)).unwrap();
    assert!(
        (5..30).contains(&page.messages.len()),
        "{}",
        page.messages.len()
    );
}

#[test]
fn what_is_old_is_swept_and_rooms_with_it() {
    let bench = bench("history.age = \"1m\"");
    bench.publish("1").unwrap();
    let rooms = || bench.memory.count.load(Ordering::Relaxed);
    bench.memory.sweep(Instant::now() + Duration::from_secs(59));
    assert_eq!(rooms(), 1);
    bench.memory.sweep(Instant::now() + Duration::from_secs(61));
    assert_eq!(rooms(), 0);
    assert_eq!(bench.memory.bytes.load(Ordering::Relaxed), 0);
}

#[test]
fn changes_that_were_not_told_yet_are_told_together() {
    let mut bench = bench("");
    bench.enter("watcher", true, None);
    for id in ["x", "y", "z"] {
        bench.enter(id, false, None);
    }
    // A second connection of the same client is no news.
    bench.enter("x", false, None);
    let room = Arc::clone(&bench.room);
    bench.memory.leave(&room, &"y".into(), false);
    bench.memory.leave(&room, &"x".into(), false);
    assert_eq!(bench.deliveries().len(), 1);
    bench.memory.announce(&room);
    assert_eq!(
        bench.deliveries(),
        [r#"{"type":"presence","room":"a","joined":[{"id":"x"},{"id":"z"}],"left":[]}"#]
    );
    bench.memory.leave(&room, &"x".into(), false);
    bench.deliveries();
    bench.memory.announce(&room);
    assert_eq!(
        bench.deliveries(),
        [r#"{"type":"presence","room":"a","joined":[],"left":["x"]}"#]
    );
    bench.memory.announce(&room);
    assert_eq!(bench.deliveries(), Vec::<String>::new());
}

#[test]
fn a_worker_that_does_not_keep_up_stops_publishers_and_not_the_memory() {
    let bench = bench("history.messages = 0");
    let mut taken = 0_usize;
    while bench.publish("1").is_ok() {
        taken += 1;
        assert!(taken <= 100_000);
    }
    assert_eq!(bench.publish("1"), Err(Refused::Busy));
}

#[test]
fn rooms_that_are_only_kept_for_their_histories_give_way() {
    let bench = bench("limits.rooms = 3");
    let enter = |room: &str| {
        let member = Member {
            id: "ann".into(),
            info: None,
        };
        now(bench.memory.enter(&room.into(), member, false, None))
    };
    let publish = |room: &Arc<str>| {
        bench.memory.directory.occupy(0, room);
        let publication = Publication {
            kind: Kind::Text,
            draft: event::message(room, None, "1"),
            numbering: Numbering::Json,
            audience: Audience::All,
        };
        now(bench.memory.publish(room, publication)).unwrap();
    };
    let rooms: [Arc<str>; 3] = ["r1".into(), "r2".into(), "r3".into()];
    for room in &rooms {
        publish(room);
    }
    // All places are taken by rooms that nobody is in: the one that was silent for longest goes.
    enter("r4").unwrap();
    assert!(!bench.memory.rooms.of("r1").contains_key("r1"));
    assert!(bench.memory.rooms.of("r2").contains_key("r2"));
    enter("r5").unwrap();
    enter("r6").unwrap();
    // Where somebody is in each there is no place.
    assert!(matches!(enter("r7"), Err(Refused::TooManyRooms)));
    assert_eq!(bench.memory.bytes.load(Ordering::Relaxed), 0);
}
