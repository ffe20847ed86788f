//! The data session in which a vGPU's state is read.

use super::{MigrationError, wait};
use crate::host::Host;
use crate::save::{SaveOptions, SaveState, Saver};
use godwit_types::{Gfid, PAGE_BYTES, SLOT_BYTES, SLOT_RUNS_MAX, Throttle};
use godwit_wire::mailbox::Reject;
use godwit_wire::record::{BODY_BYTES_MAX, HEADER_BYTES};

/// Bytes of a record besides its payload, at most.
const RECORD_BYTES: u64 = (HEADER_BYTES + BODY_BYTES_MAX) as u64;

/// What a reader is told before it decides to stop the vGPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrecopyInfo {
    /// Bytes that are to be read first, at most; above 0 until they are.
    pub initial_bytes: u64,
    /// Bytes that were written since, at most.
    pub dirty_bytes: u64,
    /// `initial_bytes` counts again, and `dirty_bytes` begins at 0: what was read before is sent
    /// once more, since the firmware was restarted. The second form of the call tells it, as a
    /// flag, and tells it once.
    pub reinit: bool,
}

/// Bytes of records with so many pages, at most.
fn pages_bytes(pages: u32) -> u64 {
    let records = u64::from(pages).div_ceil(SLOT_RUNS_MAX as u64) + 1;
    u64::from(pages) * u64::from(PAGE_BYTES) + records * RECORD_BYTES
}

/// Bytes of all that is told of a vGPU besides its pages, at most.
fn state_bytes(host: &Host, gfid: Gfid) -> u64 {
    let Some(info) = host.vgpu(gfid) else { return 0 };
    let channels = u64::from(info.profile.channel_count);
    let parts = u64::from(info.profile.context_bytes).div_ceil(u64::from(SLOT_BYTES));
    // The registers that the guest wrote are some words a channel.
    let records = channels * (1 + parts) + 4;
    info.profile.context_total() + records * RECORD_BYTES + channels * 64
}

/// Bytes of a vGPU's whole state, at most.
pub(super) fn whole_bytes(host: &Host, gfid: Gfid) -> u64 {
    let Some(info) = host.vgpu(gfid) else { return 0 };
    let pages = u32::try_from(info.profile.fb_bytes / u64::from(PAGE_BYTES)).unwrap_or(u32::MAX);
    pages_bytes(pages) + state_bytes(host, gfid)
}

#[derive(Debug)]
pub(super) struct Saving {
    saver: Saver,
    /// It is in the first round, or in the first after a restart.
    first: bool,
    /// Bytes of the round that were not read yet, at most.
    left: u64,
    /// The reader was told that it has come to the end for now.
    told_end: bool,
    reinit: bool,
}

impl Saving {
    pub(super) fn begin(
        host: &mut Host,
        gfid: Gfid,
        options: SaveOptions,
    ) -> Result<Self, MigrationError> {
        let saver = Saver::new(host, gfid, options);
        let mut saver = saver.ok_or(MigrationError::Refused(Reject::NoSuchVgpu))?;
        saver.begin_anew_after_restarts();
        saver.go_on(host);
        Ok(Self { saver, first: true, left: 0, told_end: false, reinit: false })
    }

    /// Fills `into`, unless it comes to an end before.
    pub(super) fn read(
        &mut self,
        host: &mut Host,
        into: &mut [u8],
    ) -> Result<usize, MigrationError> {
        let mut filled = 0;
        let end_ns = host.now_ns().saturating_add(super::PATIENCE_NS);
        self.saver.set_fetching(true);
        while filled < into.len() {
            let bytes = self.saver.take(into.len() - filled);
            into[filled..filled + bytes.len()].copy_from_slice(&bytes);
            filled += bytes.len();
            self.left = self.left.saturating_sub(bytes.len() as u64);
            if !bytes.is_empty() {
                continue;
            }
            match self.saver.step(host) {
                SaveState::Complete if self.saver.buffered() == 0 => break,
                SaveState::Undone(why) => return Err(why.into()),
                SaveState::Between if self.saver.buffered() == 0 => {
                    if !self.next_round(host, filled != 0)? {
                        break;
                    }
                }
                _ if self.saver.buffered() != 0 => {}
                _ if host.now_ns() >= end_ns => return Err(MigrationError::Late),
                _ => {
                    host.settle();
                    host.go_on();
                }
            }
        }
        let ended = matches!(self.saver.step(host), SaveState::Complete);
        if filled == 0 && !into.is_empty() && !ended {
            return Err(MigrationError::NoData);
        }
        Ok(filled)
    }

    /// All of a round was read: whether there is another one now. Its reader is told of each end
    /// once, before it gets more.
    fn next_round(&mut self, host: &mut Host, is_read: bool) -> Result<bool, MigrationError> {
        let begun = self.saver.round_pages().is_some() || !self.first;
        if begun && (is_read || !self.told_end) {
            self.first = false;
            self.told_end = !is_read;
            return Ok(false);
        }
        let pages = self.count(host)?;
        self.saver.set_fetching(true);
        Ok(pages != 0)
    }

    /// Begins a round, and fetches no page of it yet. Returns how many there are.
    fn count(&mut self, host: &mut Host) -> Result<u32, MigrationError> {
        self.saver.set_fetching(false);
        self.saver.round(host, Throttle::NONE);
        let pages = wait(host, |host| match self.saver.step(host) {
            SaveState::Undone(why) => Some(Err(why)),
            SaveState::Between => Some(Ok(0)),
            _ => self.saver.round_pages().map(Ok),
        })??;
        self.left = self.saver.buffered() as u64 + pages_bytes(pages);
        if pages != 0 {
            self.told_end = false;
            return Ok(pages);
        }
        // One without pages ends by itself.
        self.saver.set_fetching(true);
        wait(host, |host| match self.saver.step(host) {
            SaveState::Undone(why) => Some(Err(why)),
            SaveState::Between => Some(Ok(0)),
            _ => None,
        })?
        .map_err(MigrationError::from)
    }

    /// What there is to be read while the vGPU runs.
    pub(super) fn info(&mut self, host: &mut Host) -> Result<PrecopyInfo, MigrationError> {
        let state = self.saver.step(host);
        if self.saver.take_began_anew() {
            (self.first, self.reinit, self.told_end) = (true, true, false);
        }
        match state {
            SaveState::Undone(why) => return Err(why.into()),
            SaveState::Between if self.saver.buffered() == 0 || self.begins() => {
                self.first &= self.begins();
                self.count(host)?;
            }
            _ => {}
        }
        let left = self.left.max(self.saver.buffered() as u64);
        let reinit = std::mem::take(&mut self.reinit);
        Ok(if self.first {
            PrecopyInfo { initial_bytes: left.max(1), dirty_bytes: 0, reinit }
        } else {
            let done = self.saver.step(host) == SaveState::Between && self.saver.buffered() == 0;
            PrecopyInfo { initial_bytes: 0, dirty_bytes: if done { 0 } else { left }, reinit }
        })
    }

    /// The first round has not begun.
    fn begins(&self) -> bool {
        self.first && self.saver.round_pages().is_none()
    }

    /// Stops the vGPU. It stands still when this returns, and what is left of its state can be
    /// read.
    pub(super) fn stop(&mut self, host: &mut Host) -> Result<(), MigrationError> {
        self.saver.set_fetching(true);
        self.saver.stop(host);
        wait(host, |host| match self.saver.step(host) {
            SaveState::Undone(why) => Some(Err(why)),
            _ => self.saver.is_stopped().then_some(Ok(())),
        })??;
        self.saver.stay();
        self.first = false;
        Ok(())
    }

    /// Begins to save a vGPU that stands still.
    pub(super) fn save_still(&mut self, host: &mut Host) {
        self.first = false;
        self.saver.save_still(host);
    }

    /// Bytes that are left of the state of a vGPU that stands still, at most.
    pub(super) fn rest_bytes(&mut self, host: &mut Host) -> u64 {
        let buffered = self.saver.buffered() as u64;
        if self.saver.step(host) == SaveState::Complete {
            return buffered;
        }
        let gfid = self.saver.gfid();
        match self.saver.round_pages() {
            Some(pages) if self.saver.is_last() => {
                buffered + pages_bytes(pages) + state_bytes(host, gfid)
            }
            _ => buffered + whole_bytes(host, gfid),
        }
    }

    /// Ends the session, and leaves the vGPU running or standing still, as it is.
    pub(super) fn end(mut self, host: &mut Host) -> Result<(), MigrationError> {
        if self.saver.is_stopped() {
            self.saver.stay();
        }
        self.saver.give_up(host);
        wait(host, |host| match self.saver.step(host) {
            SaveState::Undone(_) => Some(()),
            _ => None,
        })
    }
}
