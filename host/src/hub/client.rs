//! A connected client, as the worker that has its connection sees it.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::SystemTime;

use bytes::Bytes;

use super::codes;
use super::delivery::Serial;
use super::hooks::ClientView;
use super::outbox::Outbox;
use super::room::Room;
use crate::config::SlowClients;
use crate::websocket::close::Close;
use crate::websocket::deflate::Window;
use crate::websocket::frame::Frame;

/// See the module's documentation.
#[derive(Debug)]
pub struct Client {
    /// The connection's number.
    pub serial: Serial,
    /// The client's identifier.
    pub id: Arc<str>,
    /// Where it is, as far as trusted proxies let us see it.
    pub address: IpAddr,
    /// When it came.
    pub since: SystemTime,
    /// What has been agreed on.
    pub deflate: Option<Window>,
    /// `limits.queue`
    pub queue: usize,
    /// `slow_clients`
    pub policy: SlowClients,
    pub(super) outbox: RefCell<Outbox>,
    /// Of the task that writes what waits.
    waker: RefCell<Option<Waker>>,
    /// What the connection is to be ended with.
    fate: RefCell<Option<Close>>,
    /// Whether there will be a fate, or has been one: nothing more is queued.
    is_ending: Cell<bool>,
    /// In the order in which it came into them, with its place in each.
    pub(super) rooms: RefCell<Vec<(Rc<Room>, usize)>>,
    /// The names of the rooms, for hooks; made when it is asked for.
    names: RefCell<Option<Arc<[Arc<str>]>>>,
    /// What hooks keep with it.
    pub(super) state: RefCell<Bytes>,
}

/// What a client is made of.
#[derive(Debug)]
pub(super) struct Birth {
    pub(super) serial: Serial,
    pub(super) id: Arc<str>,
    pub(super) address: IpAddr,
    pub(super) deflate: Option<Window>,
    pub(super) queue: usize,
    pub(super) policy: SlowClients,
    pub(super) state: Bytes,
}

impl Client {
    pub(super) fn new(birth: Birth) -> Self {
        Self {
            serial: birth.serial,
            id: birth.id,
            address: birth.address,
            since: SystemTime::now(),
            deflate: birth.deflate,
            queue: birth.queue,
            policy: birth.policy,
            outbox: RefCell::default(),
            waker: RefCell::default(),
            fate: RefCell::default(),
            is_ending: Cell::new(false),
            rooms: RefCell::default(),
            names: RefCell::default(),
            state: RefCell::new(birth.state),
        }
    }

    /// Queues a message. Where the queue is full, `slow_clients` says what happens.
    pub fn send(&self, frame: &Frame) {
        if !self.is_ending.get() {
            self.push(frame.encoded(self.deflate));
        }
    }

    /// Queues an encoded frame, under the same rule.
    pub(super) fn push(&self, frame: Bytes) {
        let mut outbox = self.outbox.borrow_mut();
        let was_empty = outbox.is_empty();
        // One frame may be larger than the queue: it waits alone.
        let is_over =
            |outbox: &Outbox| !outbox.is_empty() && outbox.bytes() + frame.len() > self.queue;
        if is_over(&outbox) {
            match self.policy {
                SlowClients::Disconnect => {
                    outbox.clear();
                    drop(outbox);
                    return self.end(codes::SLOW);
                }
                SlowClients::DropOldest => while is_over(&outbox) && outbox.drop_oldest() {},
            }
        }
        outbox.push(frame);
        drop(outbox);
        // Whose queue was not empty has been woken already, or waits for the socket.
        if was_empty {
            self.wake();
        }
    }

    /// Ends the connection, after what is queued. The first reason counts.
    pub fn end(&self, close: Close) {
        if !self.is_ending.replace(true) {
            self.fate.replace(Some(close));
            self.wake();
        }
    }

    /// Whether it is being ended.
    pub(super) fn is_ending(&self) -> bool {
        self.is_ending.get()
    }

    /// What [`Self::end`] was called with, once.
    pub(super) fn take_fate(&self) -> Option<Close> {
        self.fate.borrow_mut().take()
    }

    /// The task to be woken.
    pub(super) fn watch(&self, waker: &Waker) {
        let mut watching = self.waker.borrow_mut();
        if watching.as_ref().is_none_or(|old| !old.will_wake(waker)) {
            *watching = Some(waker.clone());
        }
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Its room of that name, if it is in it.
    pub fn room(&self, name: &str) -> Option<Rc<Room>> {
        let rooms = self.rooms.borrow();
        let mut found = rooms.iter().filter(|(room, _)| &*room.name == name);
        found.next().map(|(room, _)| Rc::clone(room))
    }

    /// The rooms have changed.
    pub(super) fn forget_names(&self) {
        self.names.take();
    }

    /// As hooks see it.
    pub(super) fn view(&self) -> ClientView {
        let mut names = self.names.borrow_mut();
        let names = names.get_or_insert_with(|| {
            let rooms = self.rooms.borrow();
            rooms
                .iter()
                .map(|(room, _)| Arc::clone(&room.name))
                .collect()
        });
        ClientView {
            id: Arc::clone(&self.id),
            rooms: Arc::clone(names),
            state: self.state.borrow().clone(),
        }
    }
}
