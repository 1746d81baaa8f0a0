//! Direct messages on their way to clients of other gateways.
//!
//! All gateways are asked, and each says whether it has had the client. The alternative, to know of each client where it is,
//! would cost a message to all for every connection that comes or goes, and memory for it at every gateway; and it would still be
//! wrong for a client that has just come, and miss one that is connected to two gateways under one name. Redis says how many have
//! been asked, so that nobody waits for one that is not there.

use std::collections::HashMap;

use tokio::sync::oneshot;

use super::super::Refused;

/// Questions without an answer yet.
const OPEN: usize = 65_536;
/// Ticks of the link, each a second, after which an answer is given with what is known.
const PATIENCE: u32 = 3;

/// Who wants to know whether a client has got it.
pub(super) type Asker = oneshot::Sender<Result<bool, Refused>>;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Questions {
    open: HashMap<u64, Question>,
}

#[derive(Debug)]
struct Question {
    to: Asker,
    /// How many have been asked.
    asked: usize,
    /// How many have not had the client.
    noes: usize,
    age: u32,
}

impl Questions {
    /// So many have been asked. Where too many questions are open the asker is dropped, which is an answer.
    pub(super) fn ask(&mut self, number: u64, asked: usize, to: Asker) {
        if self.open.len() < OPEN {
            let question = Question {
                to,
                asked,
                noes: 0,
                age: 0,
            };
            self.open.insert(number, question);
            self.settle(number);
        }
    }

    /// A gateway has answered: `yes NUMBER`, `no NUMBER`.
    pub(super) fn hear(&mut self, answer: &[u8]) {
        let answer = std::str::from_utf8(answer).ok();
        let Some((word, number)) = answer.and_then(|answer| answer.split_once(' ')) else {
            return;
        };
        let Ok(number) = number.parse() else {
            return;
        };
        if word == "yes" {
            if let Some(question) = self.open.remove(&number) {
                let _ = question.to.send(Ok(true));
            }
        } else if let Some(question) = self.open.get_mut(&number) {
            question.noes += 1;
            self.settle(number);
        }
    }

    /// Some time has passed. `others`: gateways that are there, so that nobody else who listens is waited for.
    pub(super) fn tick(&mut self, others: usize) {
        let mut old = Vec::new();
        self.open.retain(|number, question| {
            question.age += 1;
            if question.age >= PATIENCE {
                old.push(*number);
            }
            !question.to.is_closed()
        });
        for number in old {
            if let Some(question) = self.open.remove(&number)
                && question.noes >= others
            {
                let _ = question.to.send(Ok(false));
            }
        }
    }

    /// The connection is lost: nobody will answer.
    pub(super) fn clear(&mut self) {
        self.open.clear();
    }

    fn settle(&mut self, number: u64) {
        let is_answered = self
            .open
            .get(&number)
            .is_some_and(|question| question.noes >= question.asked);
        if is_answered && let Some(question) = self.open.remove(&number) {
            let _ = question.to.send(Ok(false));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(
        questions: &mut Questions,
        number: u64,
        asked: usize,
    ) -> oneshot::Receiver<Result<bool, Refused>> {
        let (to, receiver) = oneshot::channel();
        questions.ask(number, asked, to);
        receiver
    }

    #[test]
    fn one_yes_is_enough_and_no_is_what_all_say() {
        let mut questions = Questions::default();
        let mut one = ask(&mut questions, 1, 2);
        let mut two = ask(&mut questions, 2, 2);
        let mut alone = ask(&mut questions, 3, 0);
        assert_eq!(alone.try_recv(), Ok(Ok(false)));
        questions.hear(b"no 1");
        questions.hear(b"no 2");
        assert!(one.try_recv().is_err() && two.try_recv().is_err());
        questions.hear(b"yes 1");
        assert_eq!(one.try_recv(), Ok(Ok(true)));
        questions.hear(b"no 2");
        assert_eq!(two.try_recv(), Ok(Ok(false)));
        for nonsense in [&b""[..], b"yes", b"no x", b"no 9", b"\xff 1"] {
            questions.hear(nonsense);
        }
        assert!(questions.open.is_empty());
    }

    #[test]
    fn nobody_waits_for_ever() {
        let mut questions = Questions::default();
        let mut spied = ask(&mut questions, 1, 2);
        let mut unanswered = ask(&mut questions, 2, 2);
        drop(ask(&mut questions, 3, 2));
        // Of the two that listen one is no gateway.
        questions.hear(b"no 1");
        questions.tick(1);
        assert_eq!(questions.open.len(), 2);
        questions.tick(1);
        assert!(spied.try_recv().is_err());
        questions.tick(1);
        assert_eq!(spied.try_recv(), Ok(Ok(false)));
        let closed = Err(oneshot::error::TryRecvError::Closed);
        assert_eq!(unanswered.try_recv(), closed);
        for number in 0..2 * OPEN as u64 {
            std::mem::forget(ask(&mut questions, number, 1));
        }
        assert_eq!(questions.open.len(), OPEN);
    }
}
