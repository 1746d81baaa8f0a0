//! What the hooks of a hub answer: checked, and put together over the layers.

use std::sync::Arc;

use bytes::Bytes;

use super::WitMessage;
use crate::hub::hooks::{Action, Message, Welcome};
use crate::plugin::bindings::exports::sluicegate::plugin::hub::{Closing, Welcome as WitWelcome};
use crate::plugin::failure::HookFailure;
use crate::plugin::host_hub::is_name;
use crate::plugin::hub_state;
use crate::plugin::instance::Action as WitAction;

/// Actions of one call, rooms and greetings of one welcome. What all of them hold together is bounded by the plugin's memory.
const MOST: usize = 1_000;
/// A control frame has 125 bytes, two of which are the code (RFC 6455, section 5.5).
const LONGEST_REASON: usize = 123;

/// What an answer has to keep to.
#[derive(Debug)]
pub(super) struct Bounds {
    /// Bytes of a message.
    pub(super) message: usize,
}

fn bad(what: impl Into<String>) -> HookFailure {
    HookFailure::BadAnswer(what.into())
}

impl Bounds {
    /// All actions of an answer, or none of them.
    pub(super) fn actions(&self, actions: Vec<WitAction>) -> Result<Vec<WitAction>, HookFailure> {
        few("actions", &actions)?;
        let mut passes = false;
        for action in &actions {
            match action {
                WitAction::Reply(message) => self.message(message)?,
                WitAction::Publish((name, message)) | WitAction::SendTo((name, message)) => {
                    named(name)?;
                    self.message(message)?;
                }
                WitAction::Join(room) | WitAction::Leave(room) => named(room)?,
                WitAction::SetState(state) => kept(state)?,
                WitAction::Forward | WitAction::Replace(_) => {
                    if std::mem::replace(&mut passes, true) {
                        return Err(bad("the message goes on twice"));
                    }
                    if let WitAction::Replace(message) = action {
                        self.message(message)?;
                    }
                }
                WitAction::Drop => {}
                WitAction::Close(closing) => closes(closing)?,
            }
        }
        Ok(actions)
    }

    /// Adds what one plugin says to a welcome; all of it, or nothing.
    pub(super) fn welcome(
        &self,
        welcome: &mut Welcome,
        theirs: WitWelcome,
        plugin: &str,
        is_offered: impl FnOnce(&str) -> bool,
    ) -> Result<(), HookFailure> {
        few("rooms", &theirs.rooms)?;
        few("greetings", &theirs.greetings)?;
        theirs.rooms.iter().try_for_each(|room| named(room))?;
        theirs.client_id.iter().try_for_each(|id| named(id))?;
        let mut greetings = theirs.greetings.iter();
        greetings.try_for_each(|greeting| self.message(greeting))?;
        kept(&theirs.state)?;
        if theirs
            .subprotocol
            .as_deref()
            .is_some_and(|name| !is_offered(name))
        {
            return Err(bad("a subprotocol that the client has not offered"));
        }

        welcome.client_id = welcome.client_id.take().or(theirs.client_id);
        welcome.subprotocol = welcome.subprotocol.take().or(theirs.subprotocol);
        for room in theirs.rooms {
            if !welcome.rooms.contains(&room) {
                welcome.rooms.push(room);
            }
        }
        let greetings = theirs.greetings.into_iter().map(Message::from);
        welcome.greetings.extend(greetings);
        if !theirs.state.is_empty() {
            welcome.state = hub_state::with(&welcome.state, plugin, &theirs.state);
        }
        Ok(())
    }

    fn message(&self, message: &WitMessage) -> Result<(), HookFailure> {
        let (length, most) = (length(message), self.message);
        if length > most {
            return Err(bad(format!(
                "a message of {length} bytes, where the hub allows {most}"
            )));
        }
        Ok(())
    }
}

fn length(message: &WitMessage) -> usize {
    match message {
        WitMessage::Text(text) => text.len(),
        WitMessage::Binary(bytes) => bytes.len(),
    }
}

fn few<T>(what: &str, list: &[T]) -> Result<(), HookFailure> {
    match list.len() {
        0..=MOST => Ok(()),
        many => Err(bad(format!("{many} {what}"))),
    }
}

fn named(name: &str) -> Result<(), HookFailure> {
    // The name may be a client's words, and is not repeated.
    if is_name(name) {
        return Ok(());
    }
    Err(bad("something that is no name of a room or a client"))
}

fn kept(state: &[u8]) -> Result<(), HookFailure> {
    if state.len() > hub_state::MOST {
        return Err(bad(format!("a state of {} bytes", state.len())));
    }
    Ok(())
}

/// Codes that may be sent (RFC 6455, section 7.4, and its registry), but 1010, which only clients have a use for.
fn closes(closing: &Closing) -> Result<(), HookFailure> {
    let Closing { code, reason } = closing;
    if !matches!(code, 1000 | 1001 | 1003 | 1007..=1009 | 1011..=1014 | 3000..=4999) {
        return Err(bad(format!("the code {code}, which can't be sent")));
    }
    if reason.len() > LONGEST_REASON {
        return Err(bad(format!("a reason of {} bytes", reason.len())));
    }
    Ok(())
}

/// What of an answer is left when the client has gone.
pub(super) fn of_who_has_gone(actions: Vec<WitAction>) -> impl Iterator<Item = Action> {
    actions.into_iter().filter_map(|action| match action {
        WitAction::Publish((room, message)) => Some(Action::Publish(room, message.into())),
        WitAction::SendTo((client, message)) => Some(Action::SendTo(client, message.into())),
        _ => None,
    })
}

/// Where a message goes from a plugin.
#[derive(Debug)]
pub(super) enum Onward {
    /// To the next one.
    Same,
    /// As another message.
    Replaced(WitMessage),
    /// Nowhere.
    Ends,
}

/// The actions of several layers around one message. What a plugin wants done after it has forwarded comes when the
/// layers further in are through.
#[derive(Debug, Default)]
pub(super) struct Steps {
    done: Vec<Step>,
    /// What is left to be done on the way out, by layer, the outermost first.
    left: Vec<Vec<Step>>,
    is_replaced: bool,
}

#[derive(Debug)]
enum Step {
    Act(Action),
    SetState(Arc<str>, Vec<u8>),
}

impl Steps {
    /// Adds what the next layer says.
    pub(super) fn add(&mut self, plugin: &Arc<str>, actions: Vec<WitAction>) -> Onward {
        let mut actions = actions.into_iter();
        while let Some(action) = actions.next() {
            match action {
                WitAction::Forward => {
                    self.leave(plugin, actions);
                    return Onward::Same;
                }
                WitAction::Replace(message) => {
                    self.leave(plugin, actions);
                    self.is_replaced = true;
                    return Onward::Replaced(message);
                }
                WitAction::Close(closing) => {
                    self.done
                        .push(Step::Act(Action::Close(closing.code, closing.reason)));
                    return Onward::Ends;
                }
                action => self.done.extend(step(plugin, action)),
            }
        }
        Onward::Ends
    }

    fn leave(&mut self, plugin: &Arc<str>, actions: impl Iterator<Item = WitAction>) {
        let steps: Vec<Step> = actions.filter_map(|action| step(plugin, action)).collect();
        if !steps.is_empty() {
            self.left.push(steps);
        }
    }

    /// The message has passed all layers.
    pub(super) fn pass(&mut self, message: WitMessage) {
        self.done.push(Step::Act(if self.is_replaced {
            Action::Replace(message.into())
        } else {
            Action::Forward
        }));
    }

    /// All actions in their order, up to the first that ends the connection.
    pub(super) fn finish(self, state: &Bytes) -> Vec<Action> {
        let mut changed: Option<Bytes> = None;
        let mut all = Vec::with_capacity(self.done.len() + 1);
        for step in self
            .done
            .into_iter()
            .chain(self.left.into_iter().rev().flatten())
        {
            match step {
                Step::SetState(plugin, own) => {
                    let before = changed.as_ref().unwrap_or(state);
                    changed = Some(hub_state::with(before, &plugin, &own));
                }
                Step::Act(action) => {
                    let ends = matches!(action, Action::Close(..));
                    all.push(action);
                    if ends {
                        break;
                    }
                }
            }
        }
        if let Some(state) = changed {
            // One for all, and where it can't come too late: whoever goes is asked about with it.
            all.insert(0, Action::SetState(state));
        }
        all
    }
}

fn step(plugin: &Arc<str>, action: WitAction) -> Option<Step> {
    Some(Step::Act(match action {
        WitAction::Reply(message) => Action::Reply(message.into()),
        WitAction::Publish((room, message)) => Action::Publish(room, message.into()),
        WitAction::SendTo((client, message)) => Action::SendTo(client, message.into()),
        WitAction::Join(room) => Action::Join(room),
        WitAction::Leave(room) => Action::Leave(room),
        WitAction::SetState(state) => return Some(Step::SetState(Arc::clone(plugin), state)),
        WitAction::Close(closing) => Action::Close(closing.code, closing.reason),
        // A message goes on once, and that has been seen to.
        WitAction::Forward | WitAction::Replace(_) | WitAction::Drop => return None,
    }))
}

#[cfg(test)]
mod tests;
