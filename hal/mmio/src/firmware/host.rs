//! The mailbox's firmware end, the attention line, retained memory.

use super::Mmio;
use crate::host::{read_message, write_message};
use crate::words::Words;
use core::convert::Infallible;
use embedded_hal::digital::{ErrorType, OutputPin};
use godwit_hal::{Attention, MESSAGE_BYTES_MAX, Mailbox, MailboxFull, Retained, RetainedSlot};
use godwit_regs::map::{MAIL_SLOTS, MailWord, command, event, mailbox};

const _: () = assert!(godwit_hal::MESSAGES_MAX == MAIL_SLOTS);
const _: () = assert!(MESSAGE_BYTES_MAX == godwit_regs::map::MAIL_BYTES_MAX);

impl<W: Words, L, R> Mailbox for Mmio<W, L, R> {
    fn exchange_version(&mut self, version: u32) -> u32 {
        self.words.publish(mailbox::firmware_version(), version);
        self.words.observe(mailbox::host_version())
    }

    fn receive(&mut self, into: &mut [u8; MESSAGE_BYTES_MAX]) -> Option<usize> {
        let get = self.words.read(mailbox::command_get());
        let ahead = self.words.observe(mailbox::command_put()).wrapping_sub(get);
        if ahead == 0 {
            return None;
        }
        if ahead > MAIL_SLOTS {
            // The host's counter makes no sense: what it wrote is dropped, not believed.
            self.words.publish(mailbox::command_get(), get.wrapping_add(ahead));
            return None;
        }
        let length = read_message(&self.words, into, |at| command::word(MailWord::of(get, at)));
        self.words.publish(mailbox::command_get(), get.wrapping_add(1));
        Some(length)
    }

    fn event_room(&self) -> u32 {
        let put = self.words.read(mailbox::event_put());
        let used = put.wrapping_sub(self.words.observe(mailbox::event_get()));
        MAIL_SLOTS.saturating_sub(used)
    }

    fn send(&mut self, message: &[u8]) -> Result<(), MailboxFull> {
        if message.len() > MESSAGE_BYTES_MAX || self.event_room() == 0 {
            return Err(MailboxFull);
        }
        let put = self.words.read(mailbox::event_put());
        write_message(&self.words, message, |at| event::word(MailWord::of(put, at)));
        self.words.publish(mailbox::event_put(), put.wrapping_add(1));
        Ok(())
    }
}

impl<W, L: OutputPin, R> Attention for Mmio<W, L, R> {
    type Line = L;

    fn attention(&mut self) -> &mut L {
        &mut self.line
    }
}

impl<W, L, R: Retained> Retained for Mmio<W, L, R> {
    fn load(&self, slot: RetainedSlot, at: usize, into: &mut [u8]) {
        self.retained.load(slot, at, into);
    }

    fn store(&mut self, slot: RetainedSlot, at: usize, bytes: &[u8]) {
        self.retained.store(slot, at, bytes);
    }
}

/// The attention line of a device that has no pin for it: a word of the map that the host
/// polls or is interrupted by.
#[derive(Debug)]
pub struct AttentionWord<W> {
    words: W,
}

impl<W: Words> AttentionWord<W> {
    /// The line of this map.
    pub const fn new(words: W) -> Self {
        Self { words }
    }
}

impl<W> ErrorType for AttentionWord<W> {
    type Error = Infallible;
}

impl<W: Words> OutputPin for AttentionWord<W> {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.words.publish(mailbox::attention(), 0);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.words.publish(mailbox::attention(), 1);
        Ok(())
    }
}
