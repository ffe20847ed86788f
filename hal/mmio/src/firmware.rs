//! The firmware's side of the map: the one driver, which implements the traits.

mod copies;
mod host;
mod telemetry;
mod vgpus;
mod work;

pub use host::AttentionWord;
pub use work::leave_engines;

use crate::words::Words;
use godwit_regs::bits::Source;
use godwit_regs::map::{intr, mailbox};
use godwit_types::{RUNLIST_COUNT, RunlistId, Table};

/// What a runlist's device words said last; a change is an answer.
#[derive(Clone, Copy, Debug, Default)]
struct RunlistSeen {
    idle: u32,
    preempt: u32,
    reset: u32,
}

/// The hardware traits over a register map, with a line to the host and retained memory.
#[derive(Debug)]
pub struct Mmio<W, L, R> {
    words: W,
    line: L,
    retained: R,
    pending: Source,
    runlists: Table<RunlistId, RunlistSeen, { RUNLIST_COUNT as usize }>,
    doorbells: Option<work::HeldBells>,
    faults: Option<work::HeldBells>,
    alarm_seen: u32,
    copy_seen: u32,
    /// vGPUs, by bit, whose hints were taken up and not handed out.
    hints: u32,
    /// vGPUs, by bit, whose partition or window is being changed.
    partitions_awaited: u32,
    apertures_awaited: u32,
    peers_awaited: u32,
}

impl<W: Words, L, R> Mmio<W, L, R> {
    /// The driver of a device that has come up; loads the device's numbers.
    ///
    /// Bells that rang before are still pending, so a restarted firmware misses none. All
    /// sources count as pending once, since the one before may have acknowledged an
    /// interrupt and not got to the answer.
    pub fn new(words: W, line: L, retained: R) -> Self {
        let runlists = Table::new([RunlistSeen::default(); RUNLIST_COUNT as usize]);
        let mut mmio = Self {
            words,
            line,
            retained,
            pending: Source::KNOWN,
            runlists,
            doorbells: None,
            faults: None,
            alarm_seen: 0,
            copy_seen: 0,
            hints: 0,
            partitions_awaited: 0,
            apertures_awaited: 0,
            peers_awaited: 0,
        };
        mmio.load_numbers();
        mmio
    }

    fn load_numbers(&mut self) {
        use godwit_regs::map::{copy_ring, runlist, timer};
        for id in [RunlistId::COMPUTE, RunlistId::COPY] {
            self.runlists[id] = RunlistSeen {
                idle: self.words.observe(runlist::idle_seq(id)),
                preempt: self.words.observe(runlist::preempt_ack(id)),
                reset: self.words.observe(runlist::reset_ack(id)),
            };
        }
        self.alarm_seen = self.words.observe(timer::alarm_ack());
        // Operations of a firmware that is gone are answered to nobody.
        self.copy_seen = self.words.observe(copy_ring::put());
    }

    /// Ends the driver, and gives back what outlives it.
    pub fn into_parts(self) -> (W, L, R) {
        (self.words, self.line, self.retained)
    }

    fn kick(&self) {
        let kick = self.words.read(intr::kick());
        self.words.publish(intr::kick(), kick.wrapping_add(1));
    }
}

impl<W: Words, L, R> godwit_hal::Interrupts for Mmio<W, L, R> {
    fn collect(&mut self) -> bool {
        let fresh = self.words.answer(intr::bell(), intr::ack());
        // One that nobody here knows would be pending for ever.
        self.pending |= Source::from_bits_retain(fresh).intersection(Source::KNOWN);
        let host = self.words.answer(intr::host_bell(), intr::host_ack());
        let commands =
            self.words.observe(mailbox::command_put()) != self.words.read(mailbox::command_get());
        !self.pending.is_empty() || host != 0 || commands
    }
}

impl<W: Words, L, R> godwit_hal::Liveness for Mmio<W, L, R> {
    fn beat(&mut self) {
        let beats = self.words.read(intr::heartbeat());
        self.words.write(intr::heartbeat(), beats.wrapping_add(1));
    }

    fn idle(&mut self) {
        let count = self.words.read(intr::idle());
        self.words.publish(intr::idle(), count.wrapping_add(1));
    }
}
