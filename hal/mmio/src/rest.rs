//! Calls and rest: how a host wakes a microcontroller that sleeps, and learns that it has
//! seen to everything.
//!
//! A call is a number in the map, and then a ring on the board's line. The firmware looks for
//! a number that it has not answered after it has cleared the line and before it sleeps, so
//! no call is lost, and a ring without a number wakes nobody for long. Between a call and its
//! answer a host that wants repeatable runs changes no word.

use crate::words::Words;
use godwit_regs::map::{MAIL_SLOTS, intr, mailbox};

/// What one call took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    /// Instructions, modulo 2^32; 0 where the core does not count them.
    pub instructions: u32,
    /// Turns of the firmware's loop.
    pub turns: u32,
}

/// The firmware's end.
#[derive(Debug)]
pub struct Callee<W> {
    words: W,
}

impl<W: Words> Callee<W> {
    /// The end of this map.
    pub const fn new(words: W) -> Self {
        Self { words }
    }

    /// The call that came last.
    pub fn call(&self) -> u32 {
        self.words.observe(intr::call())
    }

    /// Whether the call that came last is answered.
    pub fn is_answered(&self) -> bool {
        self.call() == self.words.read(intr::rest())
    }

    /// Answers a call: all that was there when it came is done.
    pub fn answer(&self, call: u32, burst: Burst) {
        self.words.write(intr::rest_instructions(), burst.instructions);
        self.words.write(intr::rest_turns(), burst.turns);
        self.words.publish(intr::rest(), call);
    }
}

/// The host's end.
#[derive(Debug)]
pub struct Caller<W> {
    words: W,
    /// Whether the firmware could have had more events than there was room for.
    was_full: bool,
}

impl<W: Words> Caller<W> {
    /// The end of this map.
    pub const fn new(words: W) -> Self {
        Self { words, was_full: false }
    }

    /// Makes a call, and returns its number. Ring the board's line next.
    pub fn call(&mut self) -> u32 {
        let call = self.words.observe(intr::rest()).wrapping_add(1);
        self.words.publish(intr::call(), call);
        call
    }

    /// Whether a call is answered.
    pub fn is_answered(&self, call: u32) -> bool {
        self.words.observe(intr::rest()) == call
    }

    /// What a call took, once it is answered.
    pub fn answered(&mut self, call: u32) -> Option<Burst> {
        if !self.is_answered(call) {
            return None;
        }
        self.was_full = self.event_count() >= MAIL_SLOTS;
        Some(Burst {
            instructions: self.words.read(intr::rest_instructions()),
            turns: self.words.read(intr::rest_turns()),
        })
    }

    /// Whether there is anything that the firmware would act on: an interrupt, a command, or
    /// room for an event after there was none.
    pub fn has_work(&self) -> bool {
        let words = &self.words;
        let differ = |one, other| words.observe(one) != words.observe(other);
        differ(intr::bell(), intr::ack())
            || differ(intr::host_bell(), intr::host_ack())
            || differ(mailbox::command_put(), mailbox::command_get())
            || (self.was_full && self.event_count() < MAIL_SLOTS)
    }

    fn event_count(&self) -> u32 {
        let put = self.words.observe(mailbox::event_put());
        put.wrapping_sub(self.words.observe(mailbox::event_get()))
    }

    /// Signs of life: turns of the loop, times that it found nothing to do, call, answer.
    pub fn signs(&self) -> [u32; 4] {
        [intr::heartbeat(), intr::idle(), intr::call(), intr::rest()]
            .map(|word| self.words.observe(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SharedWords;

    #[test]
    fn a_call_is_answered_once_and_by_its_number() {
        let words = SharedWords::new();
        let (callee, mut caller) = (Callee::new(words.clone()), Caller::new(words.clone()));
        assert!(callee.is_answered() && !caller.has_work());
        words.ring(intr::host_bell(), intr::host_ack(), 1);
        assert!(caller.has_work());
        let call = caller.call();
        assert!(!callee.is_answered());
        assert_eq!(caller.answered(call), None);
        let burst = Burst { instructions: 70, turns: 2 };
        callee.answer(callee.call(), burst);
        assert_eq!(caller.answered(call), Some(burst));
        assert!(callee.is_answered());
    }

    #[test]
    fn room_for_events_is_work_after_there_was_none() {
        let words = SharedWords::new();
        let mut caller = Caller::new(words.clone());
        words.publish(mailbox::event_put(), MAIL_SLOTS);
        let call = caller.call();
        Callee::new(words.clone()).answer(call, Burst { instructions: 0, turns: 1 });
        assert!(caller.answered(call).is_some() && !caller.has_work());
        words.publish(mailbox::event_get(), 1);
        assert!(caller.has_work());
    }
}
