//! The hub is this process.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use super::super::delivery::Delivery;
use super::super::directory::{Directory, Sharded};
use super::attendance::Attendance;
use super::{
    Backplane, Entered, Member, PAGE, Page, Pending, Position, Publication, Query, Refused,
};
use crate::config::{self, History, HubMode};
use crate::websocket::frame::Frame;

/// See the module's documentation.
#[derive(Debug)]
pub struct Memory {
    directory: Arc<Directory>,
    rooms: Sharded<Stream>,
    /// Bytes of all histories.
    bytes: AtomicUsize,
    count: AtomicUsize,
    limits: RwLock<Limits>,
}

/// What of a hub's settings a backplane keeps to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) history: History,
    pub(super) rooms: usize,
}

/// What is known of a room.
#[derive(Debug)]
struct Stream {
    position: Position,
    history: VecDeque<Kept>,
    attendance: Attendance,
}

#[derive(Debug)]
struct Kept {
    offset: u64,
    at: Instant,
    frame: Frame,
}

impl Limits {
    pub(super) fn of(hub: &config::Hub) -> Self {
        let mut history = hub.history;
        // Raw messages have no numbers that one could come back with.
        if hub.mode != HubMode::Rooms {
            history.messages = 0;
        }
        Self {
            history,
            rooms: hub.limits.rooms,
        }
    }
}

impl Memory {
    /// An empty hub.
    pub fn new(directory: &Arc<Directory>, hub: &config::Hub) -> Self {
        Self {
            directory: Arc::clone(directory),
            rooms: Sharded::default(),
            bytes: AtomicUsize::new(0),
            count: AtomicUsize::new(0),
            limits: RwLock::new(Limits::of(hub)),
        }
    }

    fn limits(&self) -> Limits {
        *self.limits.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stream of a room, a new one where there is none.
    fn stream<'s>(
        &self,
        shard: &'s mut HashMap<Arc<str>, Stream>,
        room: &Arc<str>,
        limits: Limits,
    ) -> Result<&'s mut Stream, Refused> {
        if !shard.contains_key(room) {
            if self.count.load(Ordering::Relaxed) >= limits.rooms {
                return Err(Refused::TooManyRooms);
            }
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        Ok(shard.entry(Arc::clone(room)).or_insert_with(Stream::new))
    }

    /// Makes room for one more where there are as many rooms as there may be: those that nobody is in and that are only
    /// kept for their histories go, the ones that have been silent for longest first. Several at once, so that who fills a
    /// hub does not make each of its rooms cost a look at all of them.
    fn make_room(&self, limits: Limits) {
        if self.count.load(Ordering::Relaxed) < limits.rooms {
            return;
        }
        let mut abandoned: Vec<(Option<Instant>, Arc<str>)> = Vec::new();
        for shard in self.rooms.all() {
            let those = shard
                .iter()
                .filter(|(_, stream)| stream.attendance.is_empty());
            abandoned.extend(those.map(|(room, stream)| {
                let last = stream.history.back().map(|kept| kept.at);
                (last, Arc::clone(room))
            }));
        }
        abandoned.sort_unstable_by_key(|(last, _)| *last);
        for (_, room) in abandoned.into_iter().take(limits.rooms / 16 + 1) {
            let mut shard = self.rooms.of(&room);
            if shard
                .get(&room)
                .is_some_and(|stream| stream.attendance.is_empty())
                && let Some(stream) = shard.remove(&room)
            {
                let bytes: usize = stream.history.iter().map(|kept| kept.frame.len()).sum();
                self.bytes.fetch_sub(bytes, Ordering::Relaxed);
                self.count.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Keeps a message, and forgets what there is no more room for.
    fn keep(&self, stream: &mut Stream, frame: &Frame, history: History) {
        if history.messages == 0 {
            return;
        }
        let now = Instant::now();
        self.bytes.fetch_add(frame.len(), Ordering::Relaxed);
        stream.history.push_back(Kept {
            offset: stream.position.offset,
            at: now,
            frame: frame.clone(),
        });
        self.forget(stream, now, history);
    }

    fn forget(&self, stream: &mut Stream, now: Instant, history: History) {
        while let Some(oldest) = stream.history.front() {
            let is_over = stream.history.len() > history.messages
                || now.saturating_duration_since(oldest.at) > history.age
                || self.bytes.load(Ordering::Relaxed) > history.memory;
            if !is_over {
                break;
            }
            self.bytes.fetch_sub(oldest.frame.len(), Ordering::Relaxed);
            stream.history.pop_front();
        }
    }

    fn remove_if_idle(&self, shard: &mut HashMap<Arc<str>, Stream>, room: &str) {
        let is_idle = shard
            .get(room)
            .is_some_and(|stream| stream.attendance.is_empty() && stream.history.is_empty());
        if is_idle && shard.remove(room).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Stream {
    fn new() -> Self {
        Self {
            position: Position {
                offset: 0,
                epoch: rand::random(),
            },
            history: VecDeque::new(),
            attendance: Attendance::default(),
        }
    }

    /// Whether all that came after this place is still there.
    fn reaches_back_to(&self, since: Position) -> bool {
        let oldest = self.history.front().map(|kept| kept.offset);
        since.epoch == self.position.epoch
            && since.offset <= self.position.offset
            && (since.offset == self.position.offset
                || oldest.is_some_and(|oldest| oldest <= since.offset + 1))
    }

    fn after(&self, offset: u64) -> impl Iterator<Item = &Kept> {
        // Numbers have no gaps: no search is needed.
        let first = self.history.front().map_or(0, |kept| kept.offset);
        let skipped = (offset + 1).saturating_sub(first);
        self.history
            .iter()
            .skip(usize::try_from(skipped).unwrap_or(usize::MAX))
    }
}

impl Backplane for Memory {
    fn publish(
        &self,
        room: &Arc<str>,
        publication: Publication,
    ) -> Pending<Result<Position, Refused>> {
        if !self.directory.has_room(room) {
            return Pending::Ready(Err(Refused::Busy));
        }
        let limits = self.limits();
        self.make_room(limits);
        let mut shard = self.rooms.of(room);
        let stream = match self.stream(&mut shard, room, limits) {
            Ok(stream) => stream,
            Err(refused) => return Pending::Ready(Err(refused)),
        };
        stream.position.offset += 1;
        let position = stream.position;
        let audience = publication.audience;
        let frame = publication.finish(position.offset);
        self.keep(stream, &frame, limits.history);
        // Under the lock: so the order of the numbers is that of the deliveries.
        self.directory
            .to_room(room, audience, Some(position.offset), &frame);
        self.remove_if_idle(&mut shard, room);
        Pending::Ready(Ok(position))
    }

    fn enter(
        &self,
        room: &Arc<str>,
        member: Member,
        watches: bool,
        since: Option<Position>,
    ) -> Pending<Result<Entered, Refused>> {
        let limits = self.limits();
        self.make_room(limits);
        let mut shard = self.rooms.of(room);
        let stream = match self.stream(&mut shard, room, limits) {
            Ok(stream) => stream,
            Err(refused) => return Pending::Ready(Err(refused)),
        };
        self.forget(stream, Instant::now(), limits.history);
        stream.attendance.enter(member, watches);
        stream.attendance.changed(room, &self.directory);
        let missed = since
            .filter(|since| stream.reaches_back_to(*since))
            .map(|since| {
                let missed = stream.after(since.offset);
                missed.map(|kept| kept.frame.clone()).collect()
            });
        Pending::Ready(Ok(Entered {
            position: stream.position,
            missed,
        }))
    }

    fn leave(&self, room: &Arc<str>, id: &Arc<str>, watched: bool) {
        let mut shard = self.rooms.of(room);
        let Some(stream) = shard.get_mut(room) else {
            return;
        };
        stream.attendance.leave(id, watched);
        stream.attendance.changed(room, &self.directory);
        self.remove_if_idle(&mut shard, room);
    }

    fn members(&self, room: &str) -> Pending<(Vec<Member>, usize)> {
        let shard = self.rooms.of(room);
        let stream = shard.get(room);
        Pending::Ready(stream.map_or_else(Default::default, |stream| stream.attendance.list()))
    }

    fn history(&self, room: &str, query: Query) -> Pending<Result<Page, Refused>> {
        let limits = self.limits();
        let mut shard = self.rooms.of(room);
        let Some(stream) = shard.get_mut(room) else {
            let position = Position {
                offset: 0,
                epoch: 0,
            };
            return Pending::Ready(Ok(Page {
                position,
                messages: Vec::new(),
                is_complete: query.since.is_none(),
            }));
        };
        self.forget(stream, Instant::now(), limits.history);
        let mut is_complete = query
            .since
            .is_none_or(|since| stream.reaches_back_to(since));
        let last = stream.position.offset;
        let from = match query.since {
            Some(since) if is_complete => since.offset,
            Some(_) => 0,
            None => last.saturating_sub(query.limit as u64),
        };
        let mut messages = Vec::new();
        let mut bytes = 0;
        for kept in stream.after(from) {
            bytes += kept.frame.len();
            if messages.len() == query.limit || (bytes > PAGE && !messages.is_empty()) {
                is_complete = false;
                break;
            }
            messages.push(kept.frame.payload());
        }
        Pending::Ready(Ok(Page {
            position: stream.position,
            messages,
            is_complete,
        }))
    }

    fn direct(&self, to: &str, frame: &Frame) -> Pending<Result<bool, Refused>> {
        Pending::Ready(Ok(self.directory.to_client(to, frame) > 0))
    }

    fn broadcast(&self, frame: &Frame) -> Result<(), Refused> {
        let delivery = Delivery::Everyone(frame.clone());
        self.directory.to_workers(&delivery);
        Ok(())
    }

    fn announce(&self, room: &Arc<str>) {
        let mut shard = self.rooms.of(room);
        let Some(stream) = shard.get_mut(room) else {
            return;
        };
        stream.attendance.announce(room, &self.directory);
    }

    fn sweep(&self, now: Instant) {
        let limits = self.limits();
        for mut shard in self.rooms.all() {
            shard.retain(|_, stream| {
                self.forget(stream, now, limits.history);
                let is_alive = !stream.attendance.is_empty() || !stream.history.is_empty();
                if !is_alive {
                    self.count.fetch_sub(1, Ordering::Relaxed);
                }
                is_alive
            });
        }
    }

    fn configure(&self, hub: &config::Hub) {
        *self.limits.write().unwrap_or_else(PoisonError::into_inner) = Limits::of(hub);
    }
}

#[cfg(test)]
mod tests;
