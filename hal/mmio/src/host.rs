//! The host's side of the map: the mailbox's other end, vectors, and the guest's timer.

use crate::words::Words;
use godwit_hal::{Identity, MESSAGE_BYTES_MAX};
use godwit_regs::bits::{MAGIC, whole};
use godwit_regs::map::{
    MAIL_SLOTS, MAIL_WORDS, MailWord, SWITCH_ENTRIES, SwitchEntry, command, event, identity, intr,
    mailbox, route, switch, telemetry, timer,
};
use godwit_regs::switch_entry;
use godwit_types::{Engines, Gfid, Switch};

/// The command ring has no room, or the message is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// Wait until the firmware has taken a command.
    Full,
    /// Longer than [`MESSAGE_BYTES_MAX`].
    TooLong,
}

/// The map as the host has it.
#[derive(Debug)]
pub struct HostView<W> {
    words: W,
    event_get: u32,
}

impl<W: Words> HostView<W> {
    /// The view; loads the firmware's numbers. Events that nobody took are dropped.
    pub fn new(words: W) -> Self {
        let event_get = words.observe(mailbox::event_put());
        words.publish(mailbox::event_get(), event_get);
        Self { words, event_get }
    }

    /// How large the device is; `None` while it has not come up.
    pub fn identity(&self) -> Option<Identity> {
        if self.words.observe(identity::magic()) != MAGIC {
            return None;
        }
        Some(Identity {
            fb_bytes: self.words.read_wide(identity::fb_lo(), identity::fb_hi()),
            bar_bytes: self.words.read_wide(identity::bar_lo(), identity::bar_hi()),
            context_bytes: self.words.read_wide(identity::context_lo(), identity::context_hi()),
            context_layout: self.words.read(identity::context_layout()),
            engines: Engines::from_bits(self.words.read(identity::engines())),
        })
    }

    /// Says which version the host speaks; the firmware's, 0 while it has not started.
    pub fn exchange_version(&mut self, version: u32) -> u32 {
        self.words.publish(mailbox::host_version(), version);
        self.words.observe(mailbox::firmware_version())
    }

    /// Sends a command.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn send(&mut self, message: &[u8]) -> Result<(), SendError> {
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(SendError::TooLong);
        }
        let put = self.words.read(mailbox::command_put());
        if put.wrapping_sub(self.words.observe(mailbox::command_get())) >= MAIL_SLOTS {
            return Err(SendError::Full);
        }
        write_message(&self.words, message, |at| command::word(MailWord::of(put, at)));
        self.words.publish(mailbox::command_put(), put.wrapping_add(1));
        self.words.ring(intr::host_bell(), intr::host_ack(), 1);
        Ok(())
    }

    /// Copies the next event into private memory and frees its place. Returns its length.
    pub fn receive(&mut self, into: &mut [u8; MESSAGE_BYTES_MAX]) -> Option<usize> {
        let ahead = self.words.observe(mailbox::event_put()).wrapping_sub(self.event_get);
        if ahead == 0 || ahead > MAIL_SLOTS {
            return None;
        }
        let get = self.event_get;
        let length = read_message(&self.words, into, |at| event::word(MailWord::of(get, at)));
        self.event_get = get.wrapping_add(1);
        self.words.publish(mailbox::event_get(), self.event_get);
        if ahead == MAIL_SLOTS {
            // The firmware may wait for room.
            self.words.ring(intr::host_bell(), intr::host_ack(), 1);
        }
        Some(length)
    }

    /// Whether the firmware wants the host's attention.
    pub fn attention(&self) -> bool {
        self.words.observe(mailbox::attention()) != 0
    }

    /// Takes a vGPU's pending vectors, to signal them to its guest. None while its route is
    /// closed: they stay pending.
    pub fn take_vectors(&mut self, gfid: Gfid) -> u32 {
        self.take_vectors_of(gfid, u32::MAX)
    }

    /// The same for some of its vectors: the others stay pending.
    pub fn take_vectors_of(&mut self, gfid: Gfid, vectors: u32) -> u32 {
        if self.words.observe(route::open(gfid)) & 1 == 0 {
            return 0;
        }
        self.words.answer_some(route::raise(gfid), route::taken(gfid), vectors)
    }

    /// A vGPU's vectors that are pending, whether or not its route is open.
    pub fn pending_vectors(&self, gfid: Gfid) -> u32 {
        self.words.observe(route::raise(gfid)) ^ self.words.read(route::taken(gfid))
    }

    /// Drops what is pending: it was another vGPU's that had this id before.
    pub fn drop_vectors(&mut self, gfid: Gfid) {
        self.words.answer(route::raise(gfid), route::taken(gfid));
    }

    /// The vGPU's time.
    pub fn guest_time_ns(&self, gfid: Gfid) -> u64 {
        let offset = self.words.read_wide(route::time_lo(gfid), route::time_hi(gfid));
        device_time_ns(&self.words).wrapping_add(offset)
    }

    /// The device's time.
    pub fn device_time_ns(&self) -> u64 {
        device_time_ns(&self.words)
    }
}

/// What a reader of the ring of switches finds next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwitchRead {
    /// A switch.
    Switch(Switch),
    /// So many switches were overwritten before they were read.
    Overrun(u32),
}

/// Reads the ring of switches. It keeps its own place and writes nothing.
#[derive(Debug)]
pub struct SwitchReader<W> {
    words: W,
    /// Number of the last switch that was read.
    seen: u32,
}

impl<W: Words> SwitchReader<W> {
    /// A reader of what comes from now on.
    pub fn new(words: W) -> Self {
        let seen = words.observe(telemetry::put());
        Self { words, seen }
    }

    /// What comes next; `None`: nothing yet.
    pub fn poll(&mut self) -> Option<SwitchRead> {
        let behind = self.words.observe(telemetry::put()).wrapping_sub(self.seen);
        if behind == 0 {
            return None;
        }
        // The oldest entry may be written over at any time.
        if behind >= SWITCH_ENTRIES {
            return Some(self.skip(behind.wrapping_sub(SWITCH_ENTRIES / 2)));
        }
        let number = self.seen.wrapping_add(1);
        let found = self.read(number);
        if found.is_none() {
            return Some(self.skip(1));
        }
        self.seen = number;
        found.map(SwitchRead::Switch)
    }

    fn skip(&mut self, count: u32) -> SwitchRead {
        self.seen = self.seen.wrapping_add(count);
        SwitchRead::Overrun(count)
    }

    fn read(&self, number: u32) -> Option<Switch> {
        let entry = SwitchEntry::of(number);
        let words = &self.words;
        if words.observe(switch::number(entry)) != number {
            return None;
        }
        let at_ns = words.read_wide(switch::at_lo(entry), switch::at_hi(entry));
        let lengths = [
            words.read(switch::run(entry)),
            words.read(switch::slice(entry)),
            words.read(switch::preempt(entry)),
            words.read(switch::debt(entry)),
        ];
        let found = switch_entry::parse(words.read(switch::what(entry)), at_ns, lengths)?;
        (words.observe(switch::number(entry)) == number).then_some(found)
    }
}

/// Reads the timer high, low, high. Gives up after a few tries, which a device whose high
/// word changes every 4 s never needs.
pub fn device_time_ns<W: Words>(words: &W) -> u64 {
    let mut high = words.read(timer::ns_hi());
    for _ in 0..4 {
        let low = words.read(timer::ns_lo());
        let again = words.read(timer::ns_hi());
        if again == high {
            return whole(low, high);
        }
        high = again;
    }
    whole(0, high)
}

/// Writes a message's length and bytes.
pub(crate) fn write_message<W: Words>(
    words: &W,
    message: &[u8],
    word: impl Fn(u32) -> godwit_regs::Word,
) {
    words.write(word(0), message.len() as u32);
    for (at, chunk) in (1..MAIL_WORDS).zip(message.chunks(4)) {
        let mut bytes = [0; 4];
        for (to, from) in bytes.iter_mut().zip(chunk) {
            *to = *from;
        }
        words.write(word(at), u32::from_le_bytes(bytes));
    }
}

/// Copies a message out. A length over the longest is cut to it.
pub(crate) fn read_message<W: Words>(
    words: &W,
    into: &mut [u8; MESSAGE_BYTES_MAX],
    word: impl Fn(u32) -> godwit_regs::Word,
) -> usize {
    let length = (words.read(word(0)) as usize).min(MESSAGE_BYTES_MAX);
    let word_count = length.div_ceil(4);
    for ((at, chunk), _) in (1..MAIL_WORDS).zip(into.chunks_mut(4)).zip(0..word_count) {
        for (to, from) in chunk.iter_mut().zip(words.read(word(at)).to_le_bytes()) {
            *to = from;
        }
    }
    length
}
